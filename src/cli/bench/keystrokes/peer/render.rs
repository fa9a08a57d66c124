//! What llama.vim shows of an answer: nothing where it only repeats what stands there.

use crate::cli::bench::keystrokes::document::{Document, Place};

/// An answer as it is shown.
pub struct Hint {
    /// Its lines, the rest of the cursor's line at the last one's end.
    pub lines: Vec<String>,
    /// What would be inserted.
    pub text: String,
    pub can_be_taken: bool,
}

pub fn render(document: &Document, place: Place, answer: &str) -> Hint {
    let lines: Vec<&str> = document.text.split('\n').collect();
    let get = |line: usize| lines.get(line).copied().unwrap_or_default();
    let mut content: Vec<&str> = answer.split('\n').collect();
    while content.last().is_some_and(|line| line.is_empty()) {
        content.pop();
    }
    let is_empty = content.is_empty();
    if is_empty {
        content.push("");
    }
    let current = get(place.line);
    let (mut before, mut after) = current.split_at_checked(place.column).unwrap_or((current, ""));
    if current.trim().is_empty() {
        // On a blank line the answer brings its own indentation; what stands of it is not shown again.
        let blank = content[0].len() - content[0].trim_start().len();
        let (lead, rest) = content[0].split_at(blank.min(current.len()));
        content[0] = rest;
        (before, after) = lead.split_at_checked(place.column).unwrap_or((lead, ""));
    }
    if repeats(&content, &lines, place.line, before, after) {
        content = vec![""];
    }
    let text = content.join("\n");
    let mut shown: Vec<String> = content.iter().map(|line| (*line).to_owned()).collect();
    if let Some(last) = shown.last_mut() {
        last.push_str(after);
    }
    let can_be_taken = !is_empty && !shown.join("\n").trim().is_empty();
    Hint { lines: shown, text, can_be_taken }
}

fn repeats(content: &[&str], lines: &[&str], line: usize, before: &str, after: &str) -> bool {
    let get = |line: usize| lines.get(line).copied().unwrap_or_default();
    let range = |start: usize, count: usize| {
        lines.get(start.min(lines.len())..(start + count).min(lines.len())).unwrap_or_default()
    };
    if content.len() > 1 && content[0].is_empty() && content[1..] == *range(line + 1, content.len() - 1) {
        return true;
    }
    if content.len() == 1 && content[0] == after {
        return true;
    }
    let mut next = line + 1;
    while next + 1 < lines.len() && get(next).trim().is_empty() {
        next += 1;
    }
    if format!("{before}{}", content[0]) != get(next) {
        return false;
    }
    match content {
        [_] => true,
        [_, second] => get(next + 1).starts_with(second),
        _ => content[1..] == *range(next + 1, content.len() - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::keystrokes::peer::tests::document;

    fn check(text: &str, line: usize, column: usize, answer: &str, expected: &str) {
        let hint = render(&document(text), Place { line, column }, answer);
        assert_eq!(hint.text, expected, "{text:?} {answer:?}");
        assert_eq!(hint.can_be_taken, !expected.trim().is_empty(), "{text:?} {answer:?}");
    }

    #[test]
    fn answers_are_shown_unless_they_repeat() {
        check("a = \n", 0, 4, "b;\n", "b;");
        check("if a\n  \nend\n", 1, 2, "  b()\n", "b()");
        check("a\nb\nc\n", 0, 1, "\nb\nc", "");
        // What stands behind the cursor already can be taken, and brings nothing.
        let hint = render(&document("f()\n"), Place { line: 0, column: 2 }, ")");
        assert_eq!((hint.text.as_str(), hint.can_be_taken), ("", true));
        check("a\nab\n", 0, 1, "b", "");
        check("a\n", 0, 1, "\n\n", "");
    }
}
