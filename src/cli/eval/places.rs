//! Where holes are cut: seeded places of four kinds in a source file.

use std::ops::Range;

use crate::cli::eval::sample::Seeded;
use crate::languages::Language;

/// Shapes of holes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// A whole line, but for its indentation
    Line,
    /// The rest of a line, from any place in it
    Rest,
    /// The lines of a small block, from the first one's indentation on
    Block,
    /// All that stands between the parentheses of a call
    Argument,
}

impl Kind {
    pub const ALL: &[Self] = &[Self::Line, Self::Rest, Self::Block, Self::Argument];

    /// As results call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Line => "line",
            Self::Rest => "rest",
            Self::Block => "block",
            Self::Argument => "argument",
        }
    }
}

/// Lines of a block that is cut out.
const BLOCK_LINES: Range<usize> = 2..9;

/// A line of the text without its line end.
struct Line<'a> {
    /// Where it begins, in bytes.
    start: usize,
    text: &'a str,
}

impl Line<'_> {
    fn indentation(&self) -> usize {
        self.text.len() - self.text.trim_start().len()
    }

    /// Bytes of the text between indentation and trailing white space.
    fn code(&self) -> Range<usize> {
        self.start + self.indentation()..self.start + self.text.trim_end().len()
    }

    fn is_code(&self, language: &Language) -> bool {
        let code = self.text.trim();
        let comment = !language.line_comment.is_empty() && code.starts_with(language.line_comment);
        code.len() >= 8
            && !comment
            && !code.starts_with(['*', '/', '"', '\'', '#'])
            && !code.starts_with("--")
    }
}

/// All holes of a kind that the text has, in bytes, in order. The seed says where in a line the rest begins.
pub fn places(text: &str, language: &Language, kind: Kind, seeded: &mut Seeded) -> Vec<Range<usize>> {
    let mut start = 0;
    let lines: Vec<Line> = text
        .split('\n')
        .map(|text| {
            let line = Line { start, text };
            start += text.len() + 1;
            line
        })
        .collect();
    let mut found = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        if !line.is_code(language) {
            continue;
        }
        let code = line.code();
        match kind {
            Kind::Line => found.push(code),
            Kind::Rest => {
                let mut at = code.start + 1 + seeded.below(code.len() - 3);
                while !text.is_char_boundary(at) {
                    at += 1;
                }
                found.push(at..code.end);
            }
            Kind::Block => found.extend(body(&lines, number)),
            Kind::Argument => found.extend(arguments(text, code)),
        }
    }
    found
}

/// The deeper lines below a line that opens a block.
fn body(lines: &[Line], number: usize) -> Option<Range<usize>> {
    let opener = &lines[number];
    if !opener.text.trim_end().ends_with(['{', ':']) {
        return None;
    }
    let outer = opener.indentation();
    let deeper = |line: &&Line| line.text.trim().is_empty() || line.indentation() > outer;
    let inside: Vec<&Line> = lines[number + 1..].iter().take_while(deeper).collect();
    let last = inside.iter().rposition(|line| !line.text.trim().is_empty())?;
    let (first, last) = (inside.first()?, inside[last]);
    let count = inside.iter().filter(|line| !line.text.trim().is_empty()).count();
    let begins = !first.text.trim().is_empty();
    (begins && BLOCK_LINES.contains(&count)).then(|| first.code().start..last.code().end)
}

/// What stands in the line's first parentheses after a name, if they close in the line.
fn arguments(text: &str, code: Range<usize>) -> Option<Range<usize>> {
    let line = &text[code.clone()];
    let open = line
        .match_indices('(')
        .find(|(at, _)| line[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))?;
    let inside = open.0 + 1;
    let mut depth = 1;
    for (at, character) in line[inside..].char_indices() {
        depth += match character {
            '(' | '[' | '{' => 1,
            ')' | ']' | '}' => -1,
            _ => 0,
        };
        if depth == 0 {
            return (3..60).contains(&at).then(|| code.start + inside..code.start + inside + at);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::languages;

    fn cut<'a>(text: &'a str, id: &str, kind: Kind) -> Vec<&'a str> {
        let language = languages::by_id(id).unwrap();
        places(text, language, kind, &mut Seeded::new(1)).into_iter().map(|range| &text[range]).collect()
    }

    const RUST: &str = "fn add(a: i32, b: i32) -> i32 {\n    // Sums are fine.\n    let sum = checked(a, b);\n\n    sum.unwrap()\n}\n";

    #[test]
    fn lines_and_their_rests() {
        let lines = cut(RUST, "rust", Kind::Line);
        assert_eq!(lines, ["fn add(a: i32, b: i32) -> i32 {", "let sum = checked(a, b);", "sum.unwrap()"]);
        for (rest, line) in cut(RUST, "rust", Kind::Rest).into_iter().zip(lines) {
            assert!(line.ends_with(rest) && rest.len() >= 2 && rest.len() < line.len(), "{line:?} {rest:?}");
        }
    }

    #[test]
    fn a_block_is_the_deeper_lines() {
        let python = "def add(a, b):\n    total = a + b\n\n    return total\n\n\nclass A:\n    pass\n";
        assert_eq!(cut(python, "python", Kind::Block), ["total = a + b\n\n    return total"]);
        let block = "// Sums are fine.\n    let sum = checked(a, b);\n\n    sum.unwrap()";
        assert_eq!(cut(RUST, "rust", Kind::Block), [block]);
    }

    #[test]
    fn arguments_close_in_their_line() {
        assert_eq!(cut(RUST, "rust", Kind::Argument), ["a: i32, b: i32", "a, b"]);
        let nested = "    result = call(f(x), [1, 2])\n    broken = call(a,\n";
        assert_eq!(cut(nested, "python", Kind::Argument), ["f(x), [1, 2]"]);
    }
}
