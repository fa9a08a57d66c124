//! In line mode, one line: the first that is not blank.

use super::Written;
use crate::completion::Extent;

pub fn apply(written: &Written, text: &str) -> String {
    if written.extent != Extent::Line {
        return text.to_owned();
    }
    let blank = text.len() - text.trim_start_matches(['\n', ' ', '\t']).len();
    let first = text[..blank].rfind('\n').map_or(0, |newline| newline + 1);
    // Behind text on the same line, the rest of that line is what was asked for.
    let end = text[blank..].find('\n').map_or(text.len(), |newline| blank + newline);
    let starts_below = first > 0 && !written.scene.after.trim().is_empty();
    if starts_below { String::new() } else { text[..end].to_owned() }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::check_as;
    use super::apply;
    use crate::completion::Extent;
    use crate::engine::Finish;

    #[test]
    fn one_line_is_left() {
        let check = |file, text, expected| check_as(apply, file, Extent::Line, Finish::Stop, text, expected);
        check("let a = $0", "1;\nlet b", "1;");
        check("let a = 1;$0", "\n    let b = 2;\n", "\n    let b = 2;");
        check("foo($0)", "\nlet b = 2;\n", "");
        check_as(apply, "$0", Extent::Block, Finish::Stop, "a\nb", "a\nb");
    }
}
