//! Any edits that a client might send: positions outside the text, inside characters, ends before starts.
#![no_main]

use arbitrary::Arbitrary;
use foretype::documents::{Change, Documents, Encoding, Position};
use libfuzzer_sys::fuzz_target;

const URI: &str = "file:///a.rs";

#[derive(Arbitrary, Debug)]
struct Input {
    encoding: u8,
    text: String,
    edits: Vec<Edit>,
}

#[derive(Arbitrary, Debug)]
struct Edit {
    range: Option<(Place, Place)>,
    text: String,
}

/// Mostly near the text.
#[derive(Arbitrary, Debug)]
enum Place {
    Near(u8, u8),
    Any(u32, u32),
}

impl From<Place> for Position {
    fn from(place: Place) -> Self {
        match place {
            Place::Near(line, column) => Position { line: line.into(), column: column.into() },
            Place::Any(line, column) => Position { line, column },
        }
    }
}

fuzz_target!(|input: Input| {
    let encoding = [Encoding::Utf8, Encoding::Utf16, Encoding::Utf32][usize::from(input.encoding % 3)];
    let mut documents = Documents::default();
    documents.open(URI, "rust", 0, &input.text);
    for Edit { range, text } in input.edits {
        let range = range.map(|(start, end)| (start.into(), end.into()));
        assert!(documents.change(URI, 1, &[Change { range, text }], encoding));
        let snapshot = documents.get(URI).unwrap();
        let length = snapshot.text.len_bytes();
        let (start, end) = range.unwrap_or_default();
        for position in [start, end] {
            let offset = snapshot.offset_of(position, encoding);
            assert!(offset <= length && snapshot.clamp(offset) == offset);
            let (before, after) = snapshot.line_around(offset);
            assert!(before.len() + after.len() <= length);
            let (line, column) = (position.line as usize, position.column as usize);
            for offset in [line, column, length.saturating_sub(column)] {
                snapshot.position_of(offset, encoding);
            }
        }
    }
});
