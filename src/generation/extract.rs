//! Code out of an answer, and fitted into the place where it goes.

use std::ops::Range;

use crate::context::indentation;
use crate::documents::Snapshot;
use crate::generation::prompt::Shape;

/// Code found in an answer so far.
pub struct Code {
    pub text: String,
    /// The answer went on to something else: nothing more will come.
    pub complete: bool,
}

/// The code in an answer. Models that were asked for code alone open a fence of their own all the same.
pub fn code(answer: &str, shape: Shape) -> Code {
    match shape {
        Shape::OpenFence => {
            let (inside, closed) = match answer.split_once("```") {
                Some((inside, rest)) if inside.trim().is_empty() => {
                    let rest = rest.split_once('\n').map_or("", |(_, code)| code);
                    rest.split_once("```").map_or((rest, false), |(inside, _)| (inside, true))
                }
                Some((inside, _)) => (inside, true),
                None => (answer, false),
            };
            // Half a fence at the end is no code.
            let inside = if closed { inside } else { inside.trim_end_matches('`') };
            Code { text: inside.to_owned(), complete: closed }
        }
        Shape::Continuation => {
            let leading = answer.len() - answer.trim_start_matches('\n').len();
            let end = answer[leading..].find("\n\n\n").map(|end| leading + end + 1);
            let text = &answer[..end.unwrap_or(answer.len())];
            Code { text: text.to_owned(), complete: end.is_some() }
        }
    }
}

/// The code with the indentation of the place where it goes, and the line endings of the file. On a line of its own
/// it keeps lines of its own.
pub fn fit(snapshot: &Snapshot, range: &Range<usize>, code: &str) -> String {
    let (before, _) = snapshot.line_around(range.start);
    let selected = snapshot.slice(range.start, range.end);
    // A selection that begins with the line's indentation brings it along.
    let first = selected.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let own: String = if before.trim().is_empty() && before.is_empty() {
        first.chars().take_while(|character| matches!(character, ' ' | '\t')).collect()
    } else {
        before.chars().take_while(|character| matches!(character, ' ' | '\t')).collect()
    };
    let code = code.trim_matches(['\n', '\r']).trim_end();
    let common = code.lines().filter(|line| !line.trim().is_empty()).map(indentation).min().unwrap_or(0);
    let lines: Vec<String> = code
        .lines()
        .enumerate()
        .map(|(number, line)| {
            let line = strip(line, common);
            let starts_line = number > 0 || before.is_empty();
            if line.trim().is_empty() || !starts_line { line.to_owned() } else { format!("{own}{line}") }
        })
        .collect();
    let uses_crlf = snapshot.text.lines().take(50).any(|line| line.to_string().ends_with("\r\n"));
    let mut text = lines.join(if uses_crlf { "\r\n" } else { "\n" });
    if selected.ends_with('\n') {
        text.push_str(if uses_crlf { "\r\n" } else { "\n" });
    }
    text
}

/// The line without `width` columns of white space at its start.
fn strip(line: &str, width: usize) -> &str {
    let mut left = width;
    let mut rest = line;
    while let Some(character) = rest.chars().next().filter(|c| left > 0 && matches!(c, ' ' | '\t')) {
        left = left.saturating_sub(if character == '\t' { 4 } else { 1 });
        rest = &rest[1..];
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_found_and_its_end_is_seen() {
        let check = |answer, expected: &str, complete| {
            let code = code(answer, Shape::OpenFence);
            assert_eq!((code.text.as_str(), code.complete), (expected, complete), "{answer:?}");
        };
        check("let a = 1;\n", "let a = 1;\n", false);
        check("let a = 1;\n``", "let a = 1;\n", false);
        check("let a = 1;\n```\nThis sets a.", "let a = 1;\n", true);
        check("```rust\nlet a = 1;\n```\n", "let a = 1;\n", true);
        let code = code("\n\néé()\n\n\nmore", Shape::Continuation);
        assert_eq!((code.text.as_str(), code.complete), ("\n\néé()\n", true));
    }

    #[test]
    fn code_takes_the_indentation_of_its_place() {
        let check = |text: &str, code: &str, expected: &str| {
            let start = text.find("$0").unwrap();
            let text = text.replacen("$0", "", 1);
            let end = text.find("$1").unwrap_or(start);
            let snapshot = Snapshot::detached(None, "rust", &text.replacen("$1", "", 1));
            assert_eq!(fit(&snapshot, &(start..end), code), expected, "{text:?}");
        };
        check("fn a() {\n    $0\n}", "if b {\n    c\n}\n", "if b {\n        c\n    }");
        check("$0", "\nfn a() {\n}\n\n", "fn a() {\n}");
        check("fn a() {\n$0    old();\n$1}\n", "new();\nnewer();", "    new();\n    newer();\n");
        check("fn a() {\n    $0old();$1\n}\n", "    new();\n    newer();", "new();\n    newer();");
        check("a\r\n$0\r\n", "b\nc", "b\r\nc");
    }
}
