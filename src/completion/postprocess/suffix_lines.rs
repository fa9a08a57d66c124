//! The text ends where it begins to write what stands below already.

use super::{Written, alike};

pub fn apply(written: &Written, text: &str) -> String {
    let below: Vec<&str> =
        written.scene.below.lines().filter(|line| !line.trim().is_empty()).take(3).collect();
    let mut end = 0;
    let mut lines = text.split_inclusive('\n').peekable();
    let mut first = true;
    while let Some(line) = lines.next() {
        // A single bracket below is repeated rightly in deeper blocks; a line of text is not.
        let whole = if first { format!("{}{line}", written.scene.before) } else { line.to_owned() };
        let same = below.first().is_some_and(|below| below.trim().len() > 2 && alike(below, &whole));
        let goes_on = match (lines.peek(), below.get(1)) {
            (Some(next), Some(below)) => alike(next, below) || next.trim().is_empty(),
            _ => true,
        };
        if same && (goes_on || whole.trim().len() > 10) {
            break;
        }
        end += line.len();
        first = false;
    }
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::fixture::check;
    use super::apply;

    #[test]
    fn what_stands_below_is_not_written_again() {
        let file = "fn a() {\n    $0\n    finish(1, 2);\n}\n";
        check(apply, file, "begin();\n    finish(1, 2);\n}", "begin();\n    ".trim_end_matches(' '));
        check(apply, file, "finish(1, 2);", "");
        check(apply, file, "begin();\n    finish(7, 9);", "begin();\n    finish(7, 9);");
        check(apply, "if a {\n    $0\n}", "b {\n    }\n", "b {\n    }\n");
    }
}
