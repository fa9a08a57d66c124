//! The text of open documents: ropes, edits, and positions in every encoding that LSP knows.

mod positions;
mod snapshot;
mod uri;

use std::collections::HashMap;
use std::sync::Arc;

use ropey::Rope;

pub use positions::{Encoding, Position};
pub use snapshot::Snapshot;
pub use uri::{path_of_uri, uri_of_path};

/// One change as a client sends it: `range` is replaced by `text`; without a range the whole text is.
#[derive(Clone, Debug)]
pub struct Change {
    pub range: Option<(Position, Position)>,
    pub text: String,
}

/// All open documents, changed only through the client's notifications.
#[derive(Debug, Default)]
pub struct Documents {
    open: HashMap<Arc<str>, Snapshot>,
}

impl Documents {
    /// A document was opened, or opened anew.
    pub fn open(&mut self, uri: &str, language_id: &str, version: i32, text: &str) {
        let uri: Arc<str> = uri.into();
        let path = path_of_uri(&uri);
        let (language_id, text) = (language_id.into(), Rope::from_str(text));
        self.open.insert(uri.clone(), Snapshot { uri, path, language_id, version, text });
    }

    /// Apply changes in their order. False if the document is not open.
    pub fn change(&mut self, uri: &str, version: i32, changes: &[Change], encoding: Encoding) -> bool {
        let Some(document) = self.open.get_mut(uri) else { return false };
        for change in changes {
            document.apply(change, encoding);
        }
        document.version = version;
        true
    }

    /// A document was closed; its text is forgotten.
    pub fn close(&mut self, uri: &str) {
        self.open.remove(uri);
    }

    /// All of them, in no order.
    pub fn all(&self) -> impl Iterator<Item = &Snapshot> {
        self.open.values()
    }

    /// The document as it is now.
    pub fn get(&self, uri: &str) -> Option<&Snapshot> {
        self.open.get(uri)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The same edits on a plain string, with positions counted character by character.
    fn naive_offset(text: &str, position: Position, encoding: Encoding) -> usize {
        let (mut line, mut start, bytes) = (0, 0, text.as_bytes());
        let mut at = 0;
        while line < position.line && at < bytes.len() {
            let ends = bytes[at] == b'\n' || (bytes[at] == b'\r' && bytes.get(at + 1) != Some(&b'\n'));
            at += 1;
            if ends {
                line += 1;
                start = at;
            }
        }
        if line < position.line {
            return text.len();
        }
        let mut units = 0;
        for (index, character) in text[start..].char_indices() {
            let width = match encoding {
                Encoding::Utf8 => character.len_utf8(),
                Encoding::Utf16 => character.len_utf16(),
                Encoding::Utf32 => 1,
            };
            if matches!(character, '\n' | '\r') || units + width > position.column as usize {
                return start + index;
            }
            units += width;
        }
        text.len()
    }

    fn texts() -> impl Strategy<Value = String> {
        proptest::collection::vec(
            prop_oneof![
                Just("a"),
                Just("é"),
                Just("🦀"),
                Just("\n"),
                Just("\r\n"),
                Just("\r"),
                Just("\u{2028}"),
                Just("word ")
            ],
            0..12,
        )
        .prop_map(|parts| parts.concat())
    }

    fn edits() -> impl Strategy<Value = (Option<(Position, Position)>, String)> {
        let position = || (0u32..8, 0u32..12).prop_map(|(line, column)| Position { line, column });
        (proptest::option::weighted(0.95, (position(), position())), texts())
    }

    proptest! {
        #[test]
        fn any_edits_give_the_text_of_a_plain_string(
            start in texts(),
            edits in proptest::collection::vec(edits(), 0..12),
            encoding in prop_oneof![Just(Encoding::Utf8), Just(Encoding::Utf16), Just(Encoding::Utf32)],
        ) {
            let mut naive = start.clone();
            let mut documents = Documents::default();
            documents.open("file:///a.rs", "rust", 0, &start);
            for (version, (range, text)) in edits.into_iter().enumerate() {
                match range {
                    None => naive = text.clone(),
                    Some((a, b)) => {
                        let (a, b) = (naive_offset(&naive, a, encoding), naive_offset(&naive, b, encoding));
                        naive.replace_range(a.min(b)..a.max(b), &text);
                    }
                }
                documents.change("file:///a.rs", version as i32, &[Change { range, text }], encoding);
                prop_assert_eq!(documents.get("file:///a.rs").unwrap().text.to_string(), naive.clone());
            }
            let snapshot = documents.get("file:///a.rs").unwrap();
            for (offset, _) in naive.char_indices() {
                let inside_line_end = offset > 0 && naive.as_bytes()[offset - 1..].starts_with(b"\r\n");
                if !inside_line_end {
                    let position = snapshot.position_of(offset, encoding);
                    prop_assert_eq!(snapshot.offset_of(position, encoding), offset);
                }
            }
        }
    }

    #[test]
    fn a_closed_document_is_unknown() {
        let mut documents = Documents::default();
        documents.open("untitled:1", "rust", 0, "");
        documents.close("untitled:1");
        assert!(documents.get("untitled:1").is_none());
        assert!(!documents.change("untitled:1", 1, &[], Encoding::Utf8));
    }
}
