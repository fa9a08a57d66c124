//! Trailing white space goes; so does what is too short to be worth a glance.

use super::Written;

pub fn apply(_: &Written, text: &str) -> String {
    let text = text.trim_end();
    // One closing character is not worth the flicker.
    let says_something =
        text.chars().any(|character| character.is_alphanumeric()) || text.trim().chars().count() > 1;
    if says_something { text.to_owned() } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::check;
    use super::apply;

    #[test]
    fn only_text_is_left() {
        check(apply, "$0", "a + b  \n\n", "a + b");
        check(apply, "$0", ";", "");
        check(apply, "$0", "x", "x");
        check(apply, "$0", "();", "();");
    }
}
