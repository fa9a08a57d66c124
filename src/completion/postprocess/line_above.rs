//! A suggestion that only writes the line above once more is none.

use super::{Written, alike};

pub fn apply(written: &Written, text: &str) -> String {
    let scene = written.scene;
    let whole_line = format!("{}{}", scene.before, text.lines().next().unwrap_or_default());
    let starts_below = text.trim_start_matches([' ', '\t']).starts_with('\n');
    let first = if starts_below || whole_line.trim().is_empty() { text.trim() } else { whole_line.trim() };
    let above = if starts_below && !scene.before.trim().is_empty() {
        Some(scene.before.as_str())
    } else {
        scene.line_above()
    };
    let first = first.lines().next().unwrap_or_default();
    // Short lines such as `}` or `end` stand below each other rightly.
    let repeats = first.len() > 6
        && above.is_some_and(|above| above.trim() == first || alike(above, first) && first.len() > 20);
    if repeats && text.trim().lines().count() == 1 { String::new() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::check;
    use super::apply;

    #[test]
    fn the_line_above_is_not_repeated() {
        check(apply, "    push(values, 1);\n    $0", "push(values, 1);", "");
        check(apply, "    push(values, 1);\n    $0", "push(values, 22);", "push(values, 22);");
        check(apply, "    }\n    $0", "}", "}");
        check(apply, "let a = first;$0", "\nsecond(third);", "\nsecond(third);");
        check(apply, "let a = first;$0", "\nlet a = first;", "");
        check(
            apply,
            "    let a = long_enough(1);\n    $0",
            "let b = long_enough(2);",
            "let b = long_enough(2);",
        );
    }
}
