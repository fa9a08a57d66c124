//! How far the running decode is, for those who type while it runs: what they type may be what it writes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::completion::closers;
use crate::documents::Snapshot;

/// Text around the decode's place that must be as it was, in bytes.
const AROUND: usize = 512;

/// Shared by the thread that writes and the one that hears of keys.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    place: Option<Place>,
    written: String,
    /// What may have been typed at the place since the decode began; none before.
    typed: Vec<String>,
}

/// The text that the decode is for, and where it goes.
#[derive(Clone, Debug)]
struct Place {
    snapshot: Snapshot,
    offset: usize,
}

impl Progress {
    /// A decode for this place begins.
    pub fn begin(&self, snapshot: &Snapshot, offset: usize) {
        let place = Some(Place { snapshot: snapshot.clone(), offset });
        *self.lock() = State { place, ..State::default() };
    }

    /// A text for this place is known already, and something is computed that follows from it.
    pub fn begin_after(&self, snapshot: &Snapshot, offset: usize, written: &str) {
        self.begin(snapshot, offset);
        written.clone_into(&mut self.lock().written);
    }

    /// Nothing runs that anybody could type along.
    pub fn end(&self) {
        *self.lock() = State::default();
    }

    /// The decode has written this so far. False if the user typed something else: it is of no use any more.
    pub fn publish(&self, text: &str) -> bool {
        let mut state = self.lock();
        if state.place.is_none() {
            return true;
        }
        text.clone_into(&mut state.written);
        state.typed.is_empty() || state.typed.iter().any(|typed| agree(&state.written, typed))
    }

    /// Whether this newer text is the one that the decode is for, with nothing but a text typed at its place that it has
    /// written or may still write. With `offset`, the cursor must stand behind what was typed.
    pub fn follow(&self, snapshot: &Snapshot, offset: Option<usize>) -> bool {
        let mut state = self.lock();
        let Some(place) = &state.place else { return false };
        let agrees = |typed: &String| {
            let stands_behind = place.offset + typed.len();
            agree(&state.written, typed) && offset.is_none_or(|offset| offset == stands_behind)
        };
        let typed: Vec<String> = place.typed(snapshot).into_iter().filter(agrees).collect();
        let follows = !typed.is_empty();
        if follows {
            state.typed = typed;
        }
        follows
    }

    /// Whether this newer text belongs to the document of the decode.
    pub fn is_of(&self, uri: &str) -> bool {
        self.lock().place.as_ref().is_some_and(|place| &*place.snapshot.uri == uri)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// What may have been typed here, if the text is the same but for that: all that is new, and that without closers at
    /// its end, which editors put there by themselves.
    fn typed(&self, now: &Snapshot) -> Vec<String> {
        let (old, new) = (&self.snapshot.text, &now.text);
        let Some(length) = new.len_bytes().checked_sub(old.len_bytes()) else { return Vec::new() };
        let end = self.offset + length;
        let backwards = |text: &ropey::Rope, at: usize| {
            let bytes: Vec<u8> = text.bytes_at(at).reversed().take(AROUND).collect();
            bytes
        };
        let is_boundary = now.clamp(end) == end && now.clamp(self.offset) == self.offset;
        let same = now.uri == self.snapshot.uri
            && is_boundary
            && backwards(old, self.offset) == backwards(new, self.offset)
            && old.bytes_at(self.offset).take(AROUND).eq(new.bytes_at(end).take(AROUND));
        if !same {
            return Vec::new();
        }
        let all = now.slice(self.offset, end);
        let shorter = all.char_indices().rev().map(|(index, _)| all.split_at(index));
        let shorter = shorter
            .take_while(|(_, closers)| closers::ends(closers.bytes()).last() == Some(closers.len()))
            .filter(|(typed, closers)| closers::close(typed, closers))
            .map(|(typed, _)| typed.to_owned());
        let mut typed: Vec<String> = shorter.collect();
        typed.insert(0, all);
        typed
    }
}

/// Whether one of two texts is the beginning of the other.
fn agree(a: &str, b: &str) -> bool {
    a.starts_with(b) || b.starts_with(a)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(text: &str) -> Snapshot {
        Snapshot::detached(None, "rust", text)
    }

    #[test]
    fn what_is_written_may_be_typed_before_and_after() {
        let progress = Progress::default();
        progress.begin(&snapshot("let a = ;"), 8);
        assert!(progress.follow(&snapshot("let a = fo;"), Some(10)));
        assert!(!progress.follow(&snapshot("let a = fo;"), Some(9)));
        assert!(progress.publish("f"));
        assert!(progress.publish("foo("));
        assert!(progress.follow(&snapshot("let a = foo;"), None));
        assert!(!progress.follow(&snapshot("let a = fox;"), None));
        // Typed ahead of the decode, which then goes another way.
        assert!(progress.follow(&snapshot("let a = foo(b;"), None));
        assert!(!progress.publish("foo(c"));
    }

    #[test]
    fn closers_that_come_by_themselves_are_not_typed() {
        let progress = Progress::default();
        progress.begin(&snapshot("let a = ;"), 8);
        assert!(progress.publish("foo("));
        assert!(progress.follow(&snapshot("let a = foo();"), Some(12)));
        assert!(progress.follow(&snapshot("let a = foo([]);"), None));
        assert!(progress.publish("foo([b"));
        assert!(!progress.follow(&snapshot("let a = foo(]);"), None));
    }

    #[test]
    fn another_text_or_place_is_not_followed() {
        let progress = Progress::default();
        assert!(!progress.follow(&snapshot("let a = ;"), None));
        assert!(progress.publish("nobody listens"));
        progress.begin(&snapshot("let a = ;"), 8);
        assert!(progress.follow(&snapshot("let a = ;"), Some(8)));
        assert!(!progress.follow(&snapshot("let b = f;"), None));
        assert!(!progress.follow(&snapshot("let a =;"), None));
        assert!(!progress.follow(&snapshot("let a = f;)"), None));
        progress.end();
        assert!(!progress.follow(&snapshot("let a = ;"), None));
    }
}
