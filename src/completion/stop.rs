//! When the model has written enough: asked after every token with all the text so far.

use crate::completion::Extent;
use crate::completion::prompt::{HeldBack, held_back_len};
use crate::completion::scene::Scene;
use crate::context::indentation;

/// Lines that a block may have.
const MOST_LINES: usize = 16;
/// A line that is as long is not waited for.
const LONGEST_LINE: usize = 400;

/// The rules that end a decode.
pub struct Stop {
    extent: Extent,
    /// Bytes at the start that repeat the white space before the cursor.
    held_back: usize,
    /// Indentation of the cursor's line; a block ends where a line stands shallower.
    indentation: usize,
    /// The first line below that is not blank, if it says enough to recognise it.
    next_line: Option<String>,
}

impl Stop {
    /// The rules for this scene.
    pub fn new(extent: Extent, scene: &Scene, held_back: &HeldBack) -> Self {
        let next_line = scene.next_line().map(str::trim).filter(|line| line.len() > 3).map(str::to_owned);
        Self {
            extent,
            held_back: held_back_len(held_back),
            indentation: indentation(&scene.before),
            next_line,
        }
    }

    /// Whether the text is complete, or no good any more.
    pub fn holds(&mut self, text: &str) -> bool {
        let Some(written) = text.get(self.held_back.min(text.len())..) else { return false };
        let Some((complete, last)) = written.rsplit_once('\n') else { return written.len() > LONGEST_LINE };
        if last.len() > LONGEST_LINE {
            return true;
        }
        let mut filled = complete.lines().filter(|line| !line.trim().is_empty());
        if self.extent == Extent::Line {
            return filled.next().is_some();
        }
        if complete.lines().count() >= MOST_LINES || loops(complete) {
            return true;
        }
        let newest = complete.lines().next_back().unwrap_or_default();
        if self.next_line.as_deref() == Some(newest.trim()) {
            return true;
        }
        // Once a line of the block stands, one that is shallower ends it: at its first character that is no space.
        let begun = filled.next().is_some();
        let last_begins = !last.trim().is_empty();
        begun && last_begins && indentation(last) < self.indentation
    }
}

/// The newest line has stood four times in the last eight.
fn loops(text: &str) -> bool {
    let mut newest = text.lines().rev().filter(|line| !line.trim().is_empty());
    let Some(last) = newest.next() else { return false };
    last.trim().len() > 2 && newest.take(7).filter(|line| line.trim() == last.trim()).count() >= 3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::completion::scene::fixture::with_scene;

    /// The text at which a decode of `written` stops, fed character by character.
    fn stopped(fixture: &str, extent: Extent, written: &str) -> String {
        with_scene("rust", fixture, |scene| {
            let mut stop = Stop::new(extent, scene, &HeldBack::default());
            let ends = written.char_indices().map(|(index, character)| index + character.len_utf8());
            ends.map(|end| &written[..end]).find(|text| stop.holds(text)).unwrap_or(written).to_owned()
        })
    }

    #[test]
    fn a_line_ends_after_its_first_text() {
        assert_eq!(stopped("let a = $0", Extent::Line, "1;\nlet b = 2;\n"), "1;\n");
        assert_eq!(stopped("let a = 1;$0", Extent::Line, "\n\nlet b = 2;\nlet c"), "\n\nlet b = 2;\n");
    }

    #[test]
    fn a_block_ends_where_it_gets_shallower() {
        let body = "fn a() {\n    $0\n}\n";
        assert_eq!(stopped(body, Extent::Block, "let b = 1;\n    b\n}\n\nfn c"), "let b = 1;\n    b\n}");
        assert_eq!(
            stopped(body, Extent::Block, "if b {\n        c\n    }\n    d\n}"),
            "if b {\n        c\n    }\n    d\n}"
        );
    }

    #[test]
    fn a_block_ends_at_the_line_below_and_in_a_loop() {
        let fixture = "fn a() {\n    $0\n    finish_it();\n}\n";
        assert_eq!(
            stopped(fixture, Extent::Block, "go();\n    finish_it();\n    x"),
            "go();\n    finish_it();\n"
        );
        let looping = "go();\n    ".repeat(10);
        assert_eq!(stopped(fixture, Extent::Block, &looping).matches("go").count(), 4);
    }
}
