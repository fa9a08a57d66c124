//! Positions: lines and columns as clients count them, to byte offsets and back.

use ropey::{Rope, RopeSlice};

/// How a client counts the columns of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    Utf8,
    #[default]
    Utf16,
    Utf32,
}

/// A place in a text: line and column from 0, the column in units of an [`Encoding`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub line: u32,
    pub column: u32,
}

/// The byte offset of a position; one outside the text is moved to the nearest place inside, one inside a character to
/// its start. Lines end at LF, CRLF or CR alone.
pub fn offset_of(text: &Rope, position: Position, encoding: Encoding) -> usize {
    let line_index = position.line as usize;
    if line_index >= text.len_lines() {
        return text.len_bytes();
    }
    let line = without_ending(text.line(line_index));
    let column = position.column as usize;
    let character = match encoding {
        Encoding::Utf8 => line.byte_to_char(column.min(line.len_bytes())),
        Encoding::Utf16 => line.utf16_cu_to_char(column.min(line.len_utf16_cu())),
        Encoding::Utf32 => column.min(line.len_chars()),
    };
    text.line_to_byte(line_index) + line.char_to_byte(character)
}

/// The position of a byte offset; one inside a character is moved to its start, one past the end to the end.
pub fn position_of(text: &Rope, offset: usize, encoding: Encoding) -> Position {
    let character = text.byte_to_char(offset.min(text.len_bytes()));
    let line_index = text.char_to_line(character);
    let line = text.line(line_index);
    let in_line = character - text.line_to_char(line_index);
    let column = match encoding {
        Encoding::Utf8 => line.char_to_byte(in_line),
        Encoding::Utf16 => line.char_to_utf16_cu(in_line),
        Encoding::Utf32 => in_line,
    };
    Position { line: line_index as u32, column: column as u32 }
}

fn without_ending(line: RopeSlice) -> RopeSlice {
    let mut end = line.len_chars();
    for ending in ['\n', '\r'] {
        if end > 0 && line.char(end - 1) == ending {
            end -= 1;
        }
    }
    line.slice(..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_in_the_clients_units_and_are_clamped() {
        let text = Rope::from_str("a🦀b\r\né\n");
        let check = |line, column, encoding, expected| {
            assert_eq!(
                offset_of(&text, Position { line, column }, encoding),
                expected,
                "{line}:{column} {encoding:?}"
            );
        };
        check(0, 5, Encoding::Utf8, 5);
        check(0, 3, Encoding::Utf8, 1);
        check(0, 3, Encoding::Utf16, 5);
        check(0, 2, Encoding::Utf16, 1);
        check(0, 2, Encoding::Utf32, 5);
        check(0, 99, Encoding::Utf16, 6);
        check(1, 1, Encoding::Utf16, 10);
        check(2, 4, Encoding::Utf16, 11);
        check(9, 0, Encoding::Utf16, 11);
    }
}
