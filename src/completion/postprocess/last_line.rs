//! Half a last line is not shown: where writing was cut short, the text ends with its last whole line.

use super::Written;
use crate::engine::Finish;

pub fn apply(written: &Written, text: &str) -> String {
    let cut_short = matches!(written.finish, Finish::Length | Finish::Deadline);
    match text.trim_end().rfind('\n') {
        Some(newline) if cut_short && !text.ends_with('\n') && !text[..newline].trim().is_empty() => {
            text[..newline].to_owned()
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::check_as;
    use super::apply;
    use crate::completion::Extent::Block;
    use crate::engine::Finish;

    #[test]
    fn whole_lines_are_left() {
        check_as(apply, "$0", Block, Finish::Length, "a();\n    b(c, d", "a();");
        check_as(apply, "$0", Block, Finish::Length, "a(b, c", "a(b, c");
        check_as(apply, "$0", Block, Finish::End, "a();\n    b", "a();\n    b");
        check_as(apply, "$0", Block, Finish::Deadline, "\n    b(c", "\n    b(c");
    }
}
