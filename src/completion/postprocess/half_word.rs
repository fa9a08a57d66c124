//! Half a word is not shown: where writing was cut short within one, the text ends before it.

use super::Written;
use crate::engine::Finish;

pub fn apply(written: &Written, text: &str) -> String {
    if !written.half_word {
        return text.to_owned();
    }
    let whole = text.trim_end_matches(|character: char| character.is_alphanumeric() || character == '_');
    match whole.trim_end() {
        // Who allows so few tokens wants what they give.
        "" if written.finish == Finish::Length => text.to_owned(),
        whole => whole.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::check_as;
    use super::apply;
    use crate::completion::Extent::{Block, Line};
    use crate::engine::Finish;

    #[test]
    fn whole_words_are_left() {
        check_as(apply, "$0", Line, Finish::Deadline, "first + sec", "first +");
        check_as(apply, "$0", Line, Finish::Length, "first(seco", "first(");
        check_as(apply, "$0", Line, Finish::Deadline, "größ", "");
        check_as(apply, "$0", Line, Finish::Length, "größ", "größ");
        check_as(apply, "$0", Block, Finish::Deadline, "a();\n    b_c", "a();");
    }
}
