//! Closers that an editor put behind the cursor by itself: who types `(` finds `()` there, and the cursor in between.
//!
//! They close what was typed and say nothing new, but they stand at the beginning of the text after the cursor, on which
//! prompts, memories and running decodes depend.

/// More bytes than these are no closers that were put there by themselves.
const MOST: usize = 64;

/// Where closers behind the cursor may end, in bytes from it: nothing of them first, then one more each. White space
/// between them counts to them: a line's end between braces puts the closing one on a line of its own.
pub fn ends(after: impl Iterator<Item = u8>) -> impl Iterator<Item = usize> {
    let closers = after.take(MOST).take_while(|byte| is_closer(char::from(*byte)) || is_space(*byte));
    let ends = closers.enumerate().filter(|(_, byte)| !is_space(*byte)).map(|(index, _)| index + 1);
    std::iter::once(0).chain(ends)
}

/// Whether these closers close what `typed` leaves open, from the inside.
pub fn close(typed: &str, closers: &str) -> bool {
    let mut open = open_brackets(typed);
    let is_odd = |quote: char| typed.matches(quote).count() % 2 == 1;
    closers.chars().filter(|character| !character.is_whitespace()).all(|closer| match closer {
        '"' | '\'' | '`' => is_odd(closer),
        _ => open.pop() == opening(closer),
    })
}

/// The text up to where it closes what it has not opened: what stands behind the cursor closes that.
pub fn before_closing(text: &str) -> &str {
    let mut depth = 0usize;
    let mut quoted = None;
    for (index, character) in text.char_indices() {
        match character {
            '"' if quoted == Some('"') => quoted = None,
            '"' if text[index + 1..].contains('"') => quoted = Some('"'),
            _ if quoted.is_some() => {}
            '"' => return &text[..index],
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth == 0 => return &text[..index],
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
    }
    text
}

fn open_brackets(text: &str) -> Vec<char> {
    let mut open = Vec::new();
    for character in text.chars() {
        match character {
            '(' | '[' | '{' => open.push(character),
            _ if open.last().copied() == opening(character) && !open.is_empty() => {
                open.pop();
            }
            _ => {}
        }
    }
    open
}

fn opening(closer: char) -> Option<char> {
    match closer {
        ')' => Some('('),
        ']' => Some('['),
        '}' => Some('{'),
        _ => None,
    }
}

fn is_closer(character: char) -> bool {
    opening(character).is_some() || matches!(character, '"' | '\'' | '`')
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closers_may_end_after_each_of_them() {
        let check = |after: &str, expected: &[usize]| {
            assert_eq!(ends(after.bytes()).collect::<Vec<_>>(), expected, "{after:?}");
        };
        check("", &[0]);
        check(";\n", &[0]);
        check(")]; ", &[0, 1, 2]);
        check("\n    }\n", &[0, 6]);
    }

    #[test]
    fn only_what_is_open_is_closed_and_from_the_inside() {
        assert!(
            close("foo(", ")") && close("foo([", "])") && close("foo(\"", "\")") && close("if a {", "\n}")
        );
        assert!(!close("foo()", ")") && !close("foo([", ")]") && !close("foo(\"a\"", "\")"));
        assert!(close("a) foo(b, ", ")"));
        assert!(close("anything", ""));
    }

    #[test]
    fn a_text_is_cut_where_it_closes_more_than_it_opens() {
        let check = |text, expected| assert_eq!(before_closing(text), expected, "{text:?}");
        check("a, b(c));", "a, b(c)");
        check("a + b;", "a + b;");
        check("text\")", "text");
        check("\"a)\", b)", "\"a)\", b");
        check("b();\n}", "b();\n");
    }
}
