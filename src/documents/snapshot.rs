//! The state of one document at one moment.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ropey::Rope;

use crate::documents::positions;
use crate::documents::{Change, Encoding, Position, uri_of_path};

/// The state of one document at one moment. Cloning is cheap; lines end at LF, CRLF or CR alone.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub uri: Arc<str>,
    /// The file behind a `file:` URI.
    pub path: Option<PathBuf>,
    pub language_id: Arc<str>,
    pub version: i32,
    pub text: Rope,
}

impl Snapshot {
    /// A document that no editor has open: a file on disk, a line of a benchmark.
    pub fn detached(path: Option<&Path>, language_id: &str, text: &str) -> Self {
        let uri = path.map_or_else(|| "detached:".to_owned(), uri_of_path);
        Self {
            uri: uri.into(),
            path: path.map(Path::to_owned),
            language_id: language_id.into(),
            version: 0,
            text: Rope::from_str(text),
        }
    }

    /// The byte offset of a position; one outside the text is moved to the nearest place inside.
    pub fn offset_of(&self, position: Position, encoding: Encoding) -> usize {
        positions::offset_of(&self.text, position, encoding)
    }

    /// The position of a byte offset; one inside a character is moved to its start.
    pub fn position_of(&self, offset: usize, encoding: Encoding) -> Position {
        positions::position_of(&self.text, offset, encoding)
    }

    /// The nearest byte offset at or before this one that lies inside the text and between two characters.
    pub fn clamp(&self, offset: usize) -> usize {
        self.text.char_to_byte(self.text.byte_to_char(offset.min(self.text.len_bytes())))
    }

    /// The text from one byte offset to another; both must lie between characters.
    pub fn slice(&self, start: usize, end: usize) -> String {
        self.text.byte_slice(start..end).to_string()
    }

    /// The text from the start of the line to `offset`, and from there to the end of the line without its ending.
    pub fn line_around(&self, offset: usize) -> (String, String) {
        let line = self.text.byte_to_line(offset);
        let start = self.text.line_to_byte(line);
        let end = self.text.line_to_byte(line + 1);
        let after = self.slice(offset, end);
        (self.slice(start, offset), after.trim_end_matches(['\r', '\n']).to_owned())
    }

    /// A copy in which `range` (bytes between characters) is replaced.
    pub fn with_replaced(&self, range: std::ops::Range<usize>, text: &str) -> Self {
        let mut copy = self.clone();
        let (start, end) = (copy.text.byte_to_char(range.start), copy.text.byte_to_char(range.end));
        copy.text.remove(start..end);
        copy.text.insert(start, text);
        copy
    }

    pub(super) fn apply(&mut self, change: &Change, encoding: Encoding) {
        let Some((start, end)) = change.range else {
            self.text = Rope::from_str(&change.text);
            return;
        };
        let (start, end) = (self.offset_of(start, encoding), self.offset_of(end, encoding));
        let (start, end) = (start.min(end), start.max(end));
        let (start, end) = (self.text.byte_to_char(start), self.text.byte_to_char(end));
        self.text.remove(start..end);
        self.text.insert(start, &change.text);
    }
}
