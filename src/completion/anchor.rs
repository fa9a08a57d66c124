//! The anchored middle: text typed since an anchor is the beginning of the middle, so that typing appends to the prompt.
//!
//! In the order prefix, suffix, middle a growing prefix would move all of the suffix. Instead both stay as they were when
//! the cursor came to its line, and what stands on the line and was typed since follows the middle's marker. In the other
//! order the text before the cursor comes last anyway, and only the suffix is kept as it was.
//!
//! Closers that an editor puts behind the cursor are left out of the suffix: it stays as it was before what they close was
//! typed. The model writes them itself, and the filters know that they are there.

use std::sync::Arc;

use crate::completion::closers;
use crate::context::Window;
use crate::documents::Snapshot;

/// Documents whose anchors are kept.
const KEPT: usize = 8;
/// A middle that has grown to as many bytes or lines is part of the prefix from then on.
const MOST_BYTES: usize = 400;
const MOST_LINES: usize = 4;
/// What was typed since further back opens nothing that is closed behind the cursor.
const MOST_OPEN: usize = 4000;

/// The anchors of recently seen documents, the latest last.
#[derive(Default)]
pub struct Anchors(Vec<Anchor>);

struct Anchor {
    uri: Arc<str>,
    /// Where the middle begins, in bytes.
    offset: usize,
    window: Window,
}

impl Anchors {
    /// Divide the text around `offset`: what was around the anchor, and what stands between it and the cursor. `fresh`
    /// is the text around the cursor now; its line begins a new anchor where the document's last one does not fit.
    pub fn divide(&mut self, snapshot: &Snapshot, offset: usize, fresh: Window) -> (Window, String) {
        let known = self.take(snapshot);
        let fitting = known.and_then(|anchor| anchor.typed(snapshot, offset).map(|typed| (anchor, typed)));
        let (anchor, typed) = fitting.unwrap_or_else(|| Anchor::at_line(snapshot, offset, fresh));
        let window = anchor.window.clone();
        self.put(anchor);
        (window, typed)
    }

    /// The text after the cursor without closers that stand there since the anchor; as in `fresh`, which begins a new
    /// anchor, where it is another text.
    pub fn suffix(&mut self, snapshot: &Snapshot, offset: usize, fresh: &Window) -> String {
        let known = self.take(snapshot).filter(|anchor| anchor.suffix_stands(snapshot, offset));
        let anchor = known.unwrap_or_else(|| Anchor::at_line(snapshot, offset, fresh.clone()).0);
        let suffix = anchor.window.suffix.clone();
        self.put(anchor);
        suffix
    }

    fn take(&mut self, snapshot: &Snapshot) -> Option<Anchor> {
        let known = self.0.iter().position(|anchor| anchor.uri == snapshot.uri);
        known.map(|index| self.0.remove(index))
    }

    fn put(&mut self, anchor: Anchor) {
        self.0.push(anchor);
        let surplus = self.0.len().saturating_sub(KEPT);
        self.0.drain(..surplus);
    }
}

impl Anchor {
    /// An anchor at the start of the cursor's line, and what stands on the line before the cursor.
    fn at_line(snapshot: &Snapshot, offset: usize, mut window: Window) -> (Self, String) {
        let line = snapshot.text.line_to_byte(snapshot.text.byte_to_line(offset));
        let length = Some(offset - line).filter(|length| *length <= MOST_BYTES).unwrap_or(0);
        let typed = window.prefix.split_off(window.prefix.len().saturating_sub(length));
        (Self { uri: snapshot.uri.clone(), offset: offset - typed.len(), window }, typed)
    }

    /// What stands between this anchor and the cursor, if all around both is as it was.
    fn typed(&self, snapshot: &Snapshot, offset: usize) -> Option<String> {
        let prefix = &self.window.prefix;
        let room = offset.checked_sub(self.offset)?;
        let start = self.offset.checked_sub(prefix.len())?;
        if room > MOST_BYTES || !stands(snapshot, start, prefix) || !self.suffix_stands(snapshot, offset) {
            return None;
        }
        let typed = snapshot.slice(self.offset, offset);
        (typed.matches('\n').count() < MOST_LINES).then_some(typed)
    }

    /// Whether this anchor's suffix stands behind the cursor, with nothing in between but closers of what was typed.
    fn suffix_stands(&self, snapshot: &Snapshot, offset: usize) -> bool {
        let suffix = &self.window.suffix;
        let length = snapshot.text.len_bytes();
        closers::ends(snapshot.text.bytes_at(offset)).any(|end| {
            let at = offset + end;
            // An empty suffix is the document's end.
            let there = stands(snapshot, at, suffix) && (!suffix.is_empty() || at == length);
            there && (end == 0 || closers::close(&self.since(snapshot, offset), &snapshot.slice(offset, at)))
        })
    }

    /// What was typed since the anchor, or its end.
    fn since(&self, snapshot: &Snapshot, offset: usize) -> String {
        let start = self.offset.max(offset.saturating_sub(MOST_OPEN));
        snapshot.slice(snapshot.clamp(start.min(offset)), offset)
    }
}

/// Whether `wanted` stands at a byte offset.
fn stands(snapshot: &Snapshot, at: usize, wanted: &str) -> bool {
    let text = &snapshot.text;
    at + wanted.len() <= text.len_bytes() && text.bytes_at(at).take(wanted.len()).eq(wanted.bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(prefix: &str, suffix: &str) -> Window {
        Window { head: String::new(), prefix: prefix.to_owned(), suffix: suffix.to_owned() }
    }

    /// The prefix and the typed text for a cursor at `$0` in each of these texts, one after the other.
    fn divided(texts: &[&str]) -> Vec<(String, String)> {
        let mut anchors = Anchors::default();
        let mut divide = |text: &&str| {
            let (before, after) = text.split_once("$0").unwrap();
            let snapshot = Snapshot::detached(None, "rust", &format!("{before}{after}"));
            let (window, typed) = anchors.divide(&snapshot, before.len(), window(before, after));
            (window.prefix, typed)
        };
        texts.iter().map(&mut divide).collect()
    }

    fn pair(prefix: &str, typed: &str) -> (String, String) {
        (prefix.to_owned(), typed.to_owned())
    }

    #[test]
    fn what_is_typed_goes_to_the_middle() {
        let divided = divided(&["b();\nlet $0;", "b();\nlet a$0;", "b();\nlet a(\n$0;", "b();\nle$0;"]);
        let prefix = "b();\n";
        assert_eq!(
            divided,
            [pair(prefix, "let "), pair(prefix, "let a"), pair(prefix, "let a(\n"), pair(prefix, "le")]
        );
    }

    #[test]
    fn closers_that_come_by_themselves_change_nothing() {
        let texts = [
            "a\n$0\nb",
            "a\nf($0)\nb",
            "a\nf(g[$0])\nb",
            "a\nf(g[]$0)\nb",
            "a\nf(g[]) {\n  $0\n}\nb",
            "a\nf$0)\nb",
        ];
        let typed: Vec<String> = divided(&texts).into_iter().map(|(_, typed)| typed).collect();
        assert_eq!(typed, ["", "f(", "f(g[", "f(g[]", "f(g[]) {\n  ", "f"]);
        let mut anchors = Anchors::default();
        let suffixes = texts.map(|text| {
            let (before, after) = text.split_once("$0").unwrap();
            let snapshot = Snapshot::detached(None, "rust", &format!("{before}{after}"));
            anchors.suffix(&snapshot, before.len(), &window(before, after))
        });
        // The last one closes what was not typed: it is another text.
        assert_eq!(suffixes, ["\nb", "\nb", "\nb", "\nb", "\nb", ")\nb"]);
    }

    #[test]
    fn another_place_another_text_and_a_long_middle_need_a_new_anchor() {
        assert_eq!(divided(&["a\nb\nc$0;", "a\nb\ncd$0);"])[1], pair("a\nb\n", "cd"));
        assert_eq!(divided(&["a\nb\nc$0;", "a\nb$0\nc;"])[1], pair("a\n", "b"));
        assert_eq!(divided(&["a\nb\nc$0;", "a\nB\nc$0;"])[1], pair("a\nB\n", "c"));
        let long = format!("{}$0;", "x".repeat(MOST_BYTES + 1));
        assert_eq!(divided(&["$0;", &long])[1].1, "");
        let lines = format!("{}b$0;", "a\n".repeat(MOST_LINES));
        assert_eq!(divided(&["$0;", &lines])[1].1, "b");
    }
}
