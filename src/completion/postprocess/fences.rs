//! Markdown fences that models put around code are no code.

use super::Written;

pub fn apply(written: &Written, text: &str) -> String {
    if written.scene.language.name == "Markdown" {
        return text.to_owned();
    }
    text.split("```").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::fixture::check;
    use super::apply;

    #[test]
    fn text_ends_at_a_fence() {
        check(apply, "$0", "a();\n```\nThis code", "a();\n");
        check(apply, "$0", "a();", "a();");
    }
}
