//! The end of the text that repeats the start of what follows on the cursor's line goes: `foo(|)` needs no second `)`.

use super::Written;

pub fn apply(written: &Written, text: &str) -> String {
    let after = written.scene.after.trim();
    if after.is_empty() {
        return text.to_owned();
    }
    let trimmed = text.trim_end();
    // The longest end of the text that is a beginning of what follows, with all of it or at least a few characters.
    let overlap = (1..=after.len().min(trimmed.len()))
        .rev()
        .filter(|length| after.is_char_boundary(*length))
        .find(|length| trimmed.ends_with(&after[..*length]) && (*length == after.len() || *length >= 4));
    match overlap {
        Some(length) if balanced_without(trimmed, length) => trimmed[..trimmed.len() - length].to_owned(),
        _ => text.to_owned(),
    }
}

/// A closing bracket that the text itself opened is not the one that follows.
fn balanced_without(text: &str, length: usize) -> bool {
    let rest = &text[..text.len() - length];
    let balance = |open: char, close: char| rest.matches(open).count() <= rest.matches(close).count();
    balance('(', ')') && balance('[', ']') && balance('{', '}')
}

#[cfg(test)]
mod tests {
    use super::super::fixture::check;
    use super::apply;

    #[test]
    fn the_start_of_the_suffix_is_not_written_twice() {
        check(apply, "foo($0);", "a, b);", "a, b");
        check(apply, "foo($0)", "bar()", "bar()");
        check(apply, "foo($0)", "bar())", "bar()");
        check(apply, "let $0 = compute();", "value = compute();", "value ");
        check(apply, "foo($0", "a)", "a)");
    }
}
