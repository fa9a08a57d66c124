//! What editors do about brackets and quotes: who opens one finds its closer behind the cursor, and types over it later.

/// The closers that stand behind the cursor and are still to be typed over, the outermost first.
#[derive(Default)]
pub struct Closing(Vec<Pending>);

struct Pending {
    /// What stands there: a closer, or a line of its own for it.
    text: String,
    /// Where it belongs in the hole's text.
    at: usize,
}

impl Closing {
    /// How far the hole's text may be written before it meets what stands there already.
    pub fn limit(&self, hole: &str) -> usize {
        self.0.last().map_or(hole.len(), |pending| pending.at)
    }

    /// Whether `hole[from..to]` stands behind the cursor and is only gone over.
    pub fn types_over(&mut self, hole: &str, from: usize, to: usize) -> bool {
        let Some(pending) = self.0.last_mut() else { return false };
        if pending.at != from || !pending.text.starts_with(&hole[from..to]) {
            return false;
        }
        pending.text.drain(..to - from);
        pending.at = to;
        if pending.text.is_empty() {
            self.0.pop();
        }
        true
    }

    /// What the editor writes behind the cursor when `hole[from..to]` is typed.
    pub fn behind(&mut self, hole: &str, from: usize, to: usize) -> String {
        let typed = &hole[from..to];
        if typed.starts_with('\n') {
            return self.line_for_closer(hole, from);
        }
        let in_quotes = self.0.last().is_some_and(|pending| pending.text.starts_with('"'));
        let Some(opener @ ('(' | '[' | '{' | '"')) = typed.chars().next_back().filter(|_| !in_quotes) else {
            return String::new();
        };
        let Some(at) = closer(hole, opener, to).filter(|at| *at < self.limit(hole)) else {
            return String::new();
        };
        let text = hole[at..at + 1].to_owned();
        self.0.push(Pending { text: text.clone(), at });
        text
    }

    /// A line's end right between brackets puts the closing one on a line of its own, if that is where it belongs.
    fn line_for_closer(&mut self, hole: &str, from: usize) -> String {
        let between = hole[..from].ends_with(['(', '[', '{']);
        let Some(pending) = self.0.last_mut().filter(|_| between) else { return String::new() };
        let before = hole[..pending.at].trim_end_matches([' ', '\t']);
        // The very end that is typed is not the one before the closer.
        if !before.ends_with('\n') || before.len() <= from + 1 {
            return String::new();
        }
        let added = hole[before.len() - 1..pending.at].to_owned();
        pending.at = before.len() - 1;
        pending.text.insert_str(0, &added);
        added
    }
}

/// Where the text from `start` on closes what was opened just before.
fn closer(text: &str, opener: char, start: usize) -> Option<usize> {
    let closer = match opener {
        '(' => ')',
        '[' => ']',
        '{' => '}',
        _ => {
            let line = text[start..].split('\n').next()?;
            return line.find('"').filter(|end| !line[..*end].ends_with('\\')).map(|end| start + end);
        }
    };
    let (mut depth, mut quoted, mut escaped) = (0usize, false, false);
    for (index, letter) in text[start..].char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' | '\n' => quoted = letter == '"' && !quoted,
            _ if quoted => {}
            _ if letter == opener => depth += 1,
            _ if letter == closer && depth == 0 => return Some(start + index),
            _ if letter == closer => depth -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Type a hole letter by letter, with each line's indentation at once; the text around the cursor after each key.
    fn typed(hole: &str) -> Vec<String> {
        let (mut closing, mut text, mut cursor, mut from) = (Closing::default(), String::new(), 0, 0);
        let mut states = Vec::new();
        while let Some(letter) = hole[from..].chars().next() {
            let mut to = from + letter.len_utf8();
            if letter == '\n' {
                to += hole[to..].len() - hole[to..].trim_start_matches(' ').len();
            }
            if !closing.types_over(hole, from, to) {
                text.insert_str(cursor, &hole[from..to]);
                let behind = closing.behind(hole, from, to);
                text.insert_str(cursor + to - from, &behind);
            }
            cursor += to - from;
            states.push(format!("{}|{}", &text[..cursor], &text[cursor..]));
            from = to;
        }
        states
    }

    #[test]
    fn closers_come_and_are_typed_over() {
        let states = typed("f(\"(\", [1]);");
        assert_eq!(states[1], "f(|)");
        assert_eq!(states[2], "f(\"|\")");
        assert_eq!(states[3], "f(\"(|\")");
        assert_eq!(states[4], "f(\"(\"|)");
        assert_eq!(states[7], "f(\"(\", [|])");
        assert_eq!(states.last().unwrap(), "f(\"(\", [1]);|");
    }

    #[test]
    fn a_block_gets_its_closing_line() {
        let states = typed("if a {\n  b(\n    c)\n}\nd");
        assert!(states.contains(&"if a {\n  |\n}".to_owned()), "{states:?}");
        assert!(states.contains(&"if a {\n  b(\n    |)\n}".to_owned()), "{states:?}");
        assert_eq!(states.last().unwrap(), "if a {\n  b(\n    c)\n}\nd|");
        // What the hole does not close is not closed.
        assert_eq!(typed("if a {\n  b(").last().unwrap(), "if a {\n  b(|");
    }
}
