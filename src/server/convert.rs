//! Between LSP's types and ours.

use std::ops::Range as Bytes;

use tower_lsp::ls_types::{Position, PositionEncodingKind, Range};

use crate::documents::{self, Encoding, Snapshot};

/// The client's first encoding that we know; UTF-16 if it offers none.
pub fn encoding(offered: Option<&[PositionEncodingKind]>) -> Encoding {
    let known = |kind: &PositionEncodingKind| match kind.as_str() {
        "utf-8" => Some(Encoding::Utf8),
        "utf-16" => Some(Encoding::Utf16),
        "utf-32" => Some(Encoding::Utf32),
        _ => None,
    };
    offered.unwrap_or_default().iter().find_map(known).unwrap_or_default()
}

/// LSP's name of an encoding.
pub fn encoding_kind(encoding: Encoding) -> PositionEncodingKind {
    match encoding {
        Encoding::Utf8 => PositionEncodingKind::UTF8,
        Encoding::Utf16 => PositionEncodingKind::UTF16,
        Encoding::Utf32 => PositionEncodingKind::UTF32,
    }
}

pub fn position(position: Position) -> documents::Position {
    documents::Position { line: position.line, column: position.character }
}

/// Bytes of a range; its ends are put in order.
pub fn bytes(snapshot: &Snapshot, range: Range, encoding: Encoding) -> Bytes<usize> {
    let offset = |at| snapshot.offset_of(position(at), encoding);
    let (start, end) = (offset(range.start), offset(range.end));
    start.min(end)..start.max(end)
}

/// The range of bytes.
pub fn range(snapshot: &Snapshot, bytes: &Bytes<usize>, encoding: Encoding) -> Range {
    let position = |offset| {
        let at = snapshot.position_of(offset, encoding);
        Position::new(at.line, at.column)
    };
    Range::new(position(bytes.start), position(bytes.end))
}
