//! Brackets in balance: a closing one that nothing in the text opens is kept only if the line needs it and the text
//! after the cursor does not bring it.

use super::Written;

pub fn apply(written: &Written, text: &str) -> String {
    let after = written.scene.after.trim();
    if after.is_empty() {
        return text.to_owned();
    }
    let mut open = Vec::new();
    for (index, character) in text.char_indices() {
        match character {
            '(' | '[' | '{' => open.push(character),
            ')' | ']' | '}' if open.last() == Some(&opening(character)) => {
                open.pop();
            }
            // It closes what stands before the cursor; so does the text after it.
            ')' | ']' | '}' if after.starts_with(character) => return text[..index].to_owned(),
            _ => {}
        }
    }
    // Closing characters at the very end that follow the cursor too, such as quotes.
    match after.chars().next() {
        Some(next @ ('"' | '\'' | '`')) if text.matches(next).count() % 2 == 1 => {
            text.strip_suffix(next).unwrap_or(text).to_owned()
        }
        _ => text.to_owned(),
    }
}

fn opening(closing: char) -> char {
    match closing {
        ')' => '(',
        ']' => '[',
        _ => '{',
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::check;
    use super::apply;

    #[test]
    fn what_the_line_closes_itself_is_not_closed_twice() {
        check(apply, "foo($0);", "b, bar(c));", "b, bar(c)");
        check(apply, "foo($0)", "b", "b");
        check(apply, "foo($0", "b);", "b);");
        check(apply, "let a = \"$0\";", "text\"", "text");
        check(apply, "foo[$0]", "(a)[0]]", "(a)[0]");
    }
}
