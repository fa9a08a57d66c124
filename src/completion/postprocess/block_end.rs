//! In block mode, what belongs to the block: up to the first line that stands shallower than the cursor's.
//! A line that only closes the block stays where the text below does not close it already.

use super::Written;
use crate::completion::Extent;
use crate::context::indentation;

pub fn apply(written: &Written, text: &str) -> String {
    if written.extent != Extent::Block {
        return text.to_owned();
    }
    let own = indentation(&written.scene.before);
    let mut end = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let shallower = number > 0 && !line.trim().is_empty() && indentation(line) < own;
        if shallower {
            let closes =
                line.trim().chars().all(|character| matches!(character, '}' | ')' | ']' | ';' | ','));
            let closed_below =
                written.scene.next_line().is_some_and(|below| below.trim().starts_with(&line.trim()[..1]));
            if closes && !closed_below {
                end += line.len();
            }
            break;
        }
        end += line.len();
    }
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::fixture::check;
    use super::apply;

    #[test]
    fn the_block_ends_where_it_gets_shallower() {
        let open = "fn a() {\n    $0\n";
        check(apply, open, "b();\n    c();\n}\n\nfn d() {}", "b();\n    c();\n}\n");
        check(apply, open, "b();\n\nfn d() {}", "b();\n\n");
        check(apply, "fn a() {\n    $0\n}\n", "b();\n    c();\n}\n\nfn d() {}", "b();\n    c();\n");
        check(apply, "$0", "a\nb", "a\nb");
    }
}
