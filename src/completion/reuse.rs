//! Memory of what was suggested: typing along a suggestion, accepting a part of it or deleting again needs no model.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use crate::completion::{Suggestion, closers};
use crate::documents::Snapshot;

/// Suggestions that are remembered, over all documents.
const KEPT: usize = 100;
/// Text before a suggestion that must be the same, in bytes.
const BEFORE: usize = 256;
/// Text after it that must be the same, in bytes.
const AFTER: usize = 64;

/// Suggestions made lately, the latest first.
#[derive(Debug, Default)]
pub struct Reuse {
    memories: VecDeque<Memory>,
}

#[derive(Debug)]
struct Memory {
    uri: Arc<str>,
    /// Where the suggestion begins, in bytes of the text it was made for.
    start: usize,
    text: String,
    before: u64,
    after: u64,
    /// The user said no to it.
    rejected: bool,
}

impl Reuse {
    /// A suggestion was made for this text.
    pub fn remember(&mut self, snapshot: &Snapshot, suggestion: &Suggestion) {
        if !suggestion.range.is_empty() {
            return;
        }
        let start = suggestion.range.start;
        let memory = Memory {
            uri: snapshot.uri.clone(),
            start,
            text: suggestion.text.clone(),
            before: hash_before(snapshot, start),
            after: hash_after(snapshot, start),
            rejected: false,
        };
        self.memories
            .retain(|known| !(known.uri == memory.uri && known.start == start && known.text == memory.text));
        self.memories.push_front(memory);
        self.memories.truncate(KEPT);
    }

    /// What remains of a remembered suggestion at `offset`: the text between its start and the cursor is the beginning
    /// of it, and all around is as it was. One that is typed to its end has nothing left to offer.
    pub fn lookup(&self, snapshot: &Snapshot, offset: usize) -> Option<Suggestion> {
        self.offered(snapshot, offset).next()
    }

    /// All that [`Reuse::lookup`] may find, each text once, the latest first.
    pub fn lookup_all(&self, snapshot: &Snapshot, offset: usize) -> Vec<Suggestion> {
        let mut all: Vec<Suggestion> = Vec::new();
        for suggestion in self.offered(snapshot, offset) {
            if !all.iter().any(|known| known.text == suggestion.text) {
                all.push(suggestion);
            }
        }
        all
    }

    fn offered<'a>(&'a self, snapshot: &'a Snapshot, offset: usize) -> impl Iterator<Item = Suggestion> + 'a {
        let kept = self.matching(snapshot, offset).filter(|(memory, _)| !memory.rejected);
        kept.map(move |(_, rest)| Suggestion { text: rest.to_owned(), range: offset..offset })
    }

    /// Whether a suggestion that the user dismissed would stand at `offset` again.
    pub fn was_rejected(&self, snapshot: &Snapshot, offset: usize, text: &str) -> bool {
        self.matching(snapshot, offset).any(|(memory, rest)| memory.rejected && rest == text)
    }

    /// The user dismissed this text at this place.
    pub fn reject(&mut self, snapshot: &Snapshot, offset: usize) {
        let wanted: Vec<(usize, String)> =
            self.matching(snapshot, offset).map(|(memory, _)| (memory.start, memory.text.clone())).collect();
        for memory in &mut self.memories {
            let same = |(start, text): &(usize, String)| *start == memory.start && *text == memory.text;
            memory.rejected |= memory.uri == snapshot.uri && wanted.iter().any(same);
        }
    }

    /// What tells a place with the text around it from others.
    pub fn mark(snapshot: &Snapshot, offset: usize) -> (Arc<str>, u64, u64) {
        (snapshot.uri.clone(), hash_before(snapshot, offset), hash_after(snapshot, offset))
    }

    /// Nothing of this document is remembered any more.
    pub fn forget(&mut self, uri: &str) {
        self.memories.retain(|memory| &*memory.uri != uri);
    }

    /// The memories that what stands before and behind the cursor agrees with, and what is left of each.
    fn matching<'a>(
        &'a self,
        snapshot: &'a Snapshot,
        offset: usize,
    ) -> impl Iterator<Item = (&'a Memory, &'a str)> + 'a {
        // An editor may have put closers behind the cursor by itself.
        let length = snapshot.text.len_bytes();
        let ends =
            closers::ends(snapshot.text.bytes_at(offset.min(length))).map(|end| offset.min(length) + end);
        let afters: Vec<(usize, u64)> = ends.map(|end| (end, hash_after(snapshot, end))).collect();
        self.memories.iter().filter_map(move |memory| {
            let (end, _) = afters.iter().find(|(_, after)| memory.after == *after)?;
            let typed = offset.checked_sub(memory.start)?;
            let fits = memory.uri == snapshot.uri
                && typed < memory.text.len()
                && memory.text.is_char_boundary(typed)
                && offset <= length
                && starts_at(snapshot, memory.start, &memory.text[..typed])
                && memory.before == hash_before(snapshot, memory.start);
            if !fits {
                return None;
            }
            let (typed, rest) = memory.text.split_at(typed);
            if *end == offset {
                return Some((memory, rest));
            }
            let rest = closers::before_closing(rest).trim_end();
            (!rest.is_empty() && closers::close(typed, &snapshot.slice(offset, *end)))
                .then_some((memory, rest))
        })
    }
}

/// Whether `text` stands at the byte offset `start`.
fn starts_at(snapshot: &Snapshot, start: usize, text: &str) -> bool {
    snapshot.text.bytes_at(start).take(text.len()).eq(text.bytes())
}

fn hash_before(snapshot: &Snapshot, offset: usize) -> u64 {
    let mut hasher = DefaultHasher::new();
    offset.hash(&mut hasher);
    snapshot.text.bytes_at(offset).reversed().take(BEFORE).for_each(|byte| byte.hash(&mut hasher));
    hasher.finish()
}

fn hash_after(snapshot: &Snapshot, offset: usize) -> u64 {
    let mut hasher = DefaultHasher::new();
    let offset = offset.min(snapshot.text.len_bytes());
    snapshot.text.bytes_at(offset).take(AFTER).for_each(|byte| byte.hash(&mut hasher));
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn snapshot(text: &str) -> Snapshot {
        Snapshot::detached(None, "rust", text)
    }

    fn suggestion(text: &str, offset: usize) -> Suggestion {
        Suggestion { text: text.to_owned(), range: offset..offset }
    }

    proptest! {
        #[test]
        fn typing_any_part_of_a_suggestion_leaves_its_rest(
            before in "[a-z\n🦀]{0,300}", text in "[a-z(){};\né🦀 ]{1,80}", after in "[a-z\n]{0,100}"
        ) {
            let mut reuse = Reuse::default();
            let offset = before.len();
            reuse.remember(&snapshot(&format!("{before}{after}")), &suggestion(&text, offset));
            for (typed, _) in text.char_indices() {
                let now = snapshot(&format!("{before}{}{after}", &text[..typed]));
                let rest = reuse.lookup(&now, offset + typed);
                prop_assert_eq!(rest, Some(suggestion(&text[typed..], offset + typed)));
            }
            let whole = snapshot(&format!("{before}{text}{after}"));
            prop_assert_eq!(reuse.lookup(&whole, offset + text.len()), None);
        }
    }

    #[test]
    fn other_text_and_other_places_are_not_served() {
        let mut reuse = Reuse::default();
        reuse.remember(&snapshot("let a = \nend"), &suggestion("b + 1;", 8));
        assert!(reuse.lookup(&snapshot("let a = c\nend"), 9).is_none());
        assert!(reuse.lookup(&snapshot("let x = b\nend"), 9).is_none());
        assert!(reuse.lookup(&snapshot("let a = b\nENd"), 9).is_none());
        assert!(reuse.lookup(&snapshot("let a"), 5).is_none());
        assert_eq!(reuse.lookup(&snapshot("let a = b \nend"), 10).unwrap().text, "+ 1;");
    }

    #[test]
    fn closers_that_come_by_themselves_are_not_offered_again() {
        let mut reuse = Reuse::default();
        reuse.remember(&snapshot("call\nend"), &suggestion("(a[0], b);", 4));
        let rest = |text: &str, offset| reuse.lookup(&snapshot(text), offset).map(|rest| rest.text);
        assert_eq!(rest("call()\nend", 5).as_deref(), Some("a[0], b"));
        assert_eq!(rest("call(a[])\nend", 7).as_deref(), Some("0"));
        assert_eq!(rest("call(a[0], b)\nend", 12), None);
        assert_eq!(rest("call(a[0], b)\nend", 13).as_deref(), Some(";"));
        assert_eq!(rest("call)\nend", 4), None);
        let mut reuse = Reuse::default();
        reuse.remember(&snapshot("if a \nend"), &suggestion("{\n  b();\n}", 5));
        let rest = reuse.lookup(&snapshot("if a {\n  \n}\nend"), 9).map(|rest| rest.text);
        assert_eq!(rest.as_deref(), Some("b();"));
    }

    #[test]
    fn alternatives_that_still_match_stay_and_what_was_dismissed_does_not() {
        let mut reuse = Reuse::default();
        let start = snapshot("let a = ");
        reuse.remember(&start, &suggestion("bar;", 8));
        reuse.remember(&start, &suggestion("foo;", 8));
        assert_eq!(reuse.lookup(&start, 8).unwrap().text, "foo;");
        assert_eq!(reuse.lookup(&snapshot("let a = b"), 9).unwrap().text, "ar;");
        let texts = |text: &str| -> Vec<String> {
            let all = reuse.lookup_all(&snapshot(text), text.len());
            all.into_iter().map(|suggestion| suggestion.text).collect()
        };
        assert_eq!(texts("let a = "), ["foo;", "bar;"]);
        assert_eq!(texts("let a = f"), ["oo;"]);
        reuse.reject(&start, 8);
        assert!(reuse.lookup(&start, 8).is_none());
        assert!(reuse.was_rejected(&start, 8, "foo;"));
        reuse.forget(&start.uri);
        assert!(!reuse.was_rejected(&start, 8, "foo;"));
    }
}
