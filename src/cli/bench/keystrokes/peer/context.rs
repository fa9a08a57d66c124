//! What llama.vim sends of the text around the cursor.

use crate::cli::bench::keystrokes::document::Document;

/// Lines before and after the cursor that are sent.
pub const PREFIX_LINES: usize = 256;
pub const SUFFIX_LINES: usize = 64;

/// The text around a place.
pub struct Context {
    pub prefix: String,
    /// The line up to the cursor.
    pub middle: String,
    pub suffix: String,
    pub indent: usize,
    /// The rest of the line.
    pub line_suffix: String,
}

impl Context {
    /// At a line and a byte of it, or as if `previous`, a suggestion for the line's end, had been taken there.
    pub fn at(
        document: &Document,
        line: usize,
        column: usize,
        previous: &[String],
        last_indent: usize,
    ) -> Self {
        let lines: Vec<&str> = document.text.split('\n').collect();
        let current = lines.get(line).copied().unwrap_or_default();
        let column = floor(current, column);
        let suffix_end = (line + 1 + SUFFIX_LINES).min(lines.len());
        let after = lines.get(line + 1..suffix_end).unwrap_or_default().join("\n");
        let begin = (line + previous.len().saturating_sub(1)).saturating_sub(PREFIX_LINES);
        let mut before: Vec<&str> = lines[begin.min(line)..line].to_vec();
        let joined;
        let (middle, line_suffix, indent) = match previous {
            [] if current.trim().is_empty() => (String::new(), String::new(), 0),
            [] => {
                let (middle, rest) = current.split_at(column);
                (middle.to_owned(), rest.to_owned(), current.len() - current.trim_start().len())
            }
            [only] => (format!("{current}{only}"), String::new(), last_indent),
            [first, inner @ .., last] => {
                joined = format!("{current}{first}");
                before.push(&joined);
                before.extend(inner.iter().map(String::as_str));
                (last.clone(), String::new(), last_indent)
            }
        };
        Self {
            prefix: before.join("\n") + "\n",
            middle,
            suffix: format!("{line_suffix}\n{after}\n"),
            indent,
            line_suffix,
        }
    }

    /// The keys under which the answer is kept: with all lines, and without the first one, two and three.
    pub fn keys(&self) -> Vec<String> {
        let mut keys = vec![key(&self.prefix, &self.middle, &self.suffix)];
        let mut prefix = self.prefix.as_str();
        for _ in 0..3 {
            match prefix.split_once('\n') {
                Some((_, rest)) if !rest.is_empty() => prefix = rest,
                _ => break,
            }
            keys.push(key(prefix, &self.middle, &self.suffix));
        }
        keys
    }
}

pub fn key(prefix: &str, middle: &str, suffix: &str) -> String {
    format!("{prefix}{middle}\u{ce}{suffix}")
}

fn floor(text: &str, mut at: usize) -> usize {
    at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::keystrokes::peer::tests::document;

    #[test]
    fn the_line_is_the_middle_and_a_blank_one_is_left_out() {
        let document = document("a\n  b = c\n  \nd\n");
        let context = Context::at(&document, 1, 5, &[], 0);
        assert_eq!((context.prefix.as_str(), context.middle.as_str()), ("a\n", "  b ="));
        assert_eq!((context.suffix.as_str(), context.indent), (" c\n  \nd\n\n", 2));
        let context = Context::at(&document, 2, 2, &[], 0);
        assert_eq!((context.middle.as_str(), context.suffix.as_str()), ("", "\nd\n\n"));
        assert_eq!(context.keys().len(), 2);
    }

    #[test]
    fn a_suggestion_is_taken_in_advance() {
        let previous = ["c(".to_owned(), "x".to_owned(), ")".to_owned()];
        let context = Context::at(&document("a\nb = \nd\n"), 1, 4, &previous, 0);
        assert_eq!((context.prefix.as_str(), context.middle.as_str()), ("a\nb = c(\nx\n", ")"));
        assert_eq!(context.suffix, "\nd\n\n");
    }
}
