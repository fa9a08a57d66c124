//! The bytes behind a token, and text out of a stream of such bytes.

/// Bytes of a token of a byte-level BPE, where each byte is written as one printable character (GPT-2's table). What is
/// written otherwise stands for itself.
pub fn byte_level(token: &str) -> Box<[u8]> {
    let mut bytes = Vec::with_capacity(token.len());
    push_byte_level(token, &mut bytes);
    bytes.into()
}

/// Add them; false if the token is written otherwise.
fn push_byte_level(token: &str, bytes: &mut Vec<u8>) -> bool {
    let is_byte_level = push_bytes_of(token, bytes);
    if !is_byte_level {
        bytes.extend_from_slice(token.as_bytes());
    }
    is_byte_level
}

/// Add the bytes of such a token; false, and nothing is added, if it is written otherwise.
pub fn push_bytes_of(token: &str, bytes: &mut Vec<u8>) -> bool {
    let before = bytes.len();
    for character in token.chars() {
        let Some(byte) = byte_of(character) else {
            bytes.truncate(before);
            return false;
        };
        bytes.push(byte);
    }
    true
}

/// Bytes of a token of a SentencePiece vocabulary: `▁` is a space, `<0x0A>` a byte.
pub fn sentence_piece(token: &str) -> Box<[u8]> {
    let byte = token.strip_prefix("<0x").and_then(|rest| rest.strip_suffix('>'));
    match byte.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
        Some(byte) => Box::new([byte]),
        None => token.replace('\u{2581}', " ").into_bytes().into(),
    }
}

/// The byte that a character of GPT-2's table stands for. Printable Latin-1 stands for itself; the others follow from
/// U+0100 on, in their order.
fn byte_of(character: char) -> Option<u8> {
    const OTHERS: [u8; 68] = others();
    let code = u32::from(character);
    match code {
        _ if stands_for_itself(code) => Some(code as u8),
        0x100.. => OTHERS.get(code as usize - 0x100).copied(),
        _ => None,
    }
}

const fn stands_for_itself(code: u32) -> bool {
    matches!(code, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff)
}

const fn others() -> [u8; 68] {
    let (mut table, mut count, mut byte) = ([0; 68], 0, 0);
    while byte < 256 {
        if !stands_for_itself(byte) {
            table[count] = byte as u8;
            count += 1;
        }
        byte += 1;
    }
    table
}

/// The bytes of all tokens of a vocabulary, in one piece of memory.
#[derive(Default)]
pub struct Pieces {
    bytes: Vec<u8>,
    /// Where each token's bytes end.
    ends: Vec<u32>,
}

impl Pieces {
    /// Add the bytes of the next token, as [`byte_level`] has them; false if it stands for itself.
    pub fn push_byte_level(&mut self, token: &str) -> bool {
        let is_byte_level = push_byte_level(token, &mut self.bytes);
        self.ends.push(self.bytes.len() as u32);
        is_byte_level
    }

    /// Add the bytes of the next token.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.ends.push(self.bytes.len() as u32);
    }

    /// The bytes of a token; none of one that is not there.
    pub fn get(&self, token: u32) -> &[u8] {
        let token = token as usize;
        let Some(&end) = self.ends.get(token) else { return &[] };
        let start = token.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start as usize..end as usize]
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.ends.len()
    }
}

impl FromIterator<Box<[u8]>> for Pieces {
    fn from_iter<I: IntoIterator<Item = Box<[u8]>>>(pieces: I) -> Self {
        let mut all = Self::default();
        pieces.into_iter().for_each(|piece| all.push(&piece));
        all
    }
}

/// Collects the bytes of tokens and gives out whole characters only.
#[derive(Default)]
pub struct TextStream {
    text: String,
    /// The beginning of a character whose other bytes are still to come: at most three.
    partial: Vec<u8>,
}

impl TextStream {
    /// Add a token's bytes. Bytes that can never become a character are replaced by U+FFFD.
    pub fn push(&mut self, bytes: &[u8]) {
        self.partial.extend_from_slice(bytes);
        loop {
            match std::str::from_utf8(&self.partial) {
                Ok(text) => {
                    self.text.push_str(text);
                    self.partial.clear();
                    return;
                }
                Err(error) => {
                    let (good, rest) = self.partial.split_at(error.valid_up_to());
                    self.text.push_str(&String::from_utf8_lossy(good));
                    let Some(broken) = error.error_len() else {
                        self.partial = rest.to_vec();
                        return;
                    };
                    self.text.push(char::REPLACEMENT_CHARACTER);
                    self.partial = rest[broken..].to_vec();
                }
            }
        }
    }

    /// All whole characters so far.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text; the beginning of an unfinished character is dropped.
    pub fn into_text(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_byte_table_is_a_bijection() {
        let mut bytes: Vec<u8> = (0x21..=0x143u32).filter_map(char::from_u32).filter_map(byte_of).collect();
        bytes.sort_unstable();
        assert_eq!(bytes, (0..=255).collect::<Vec<u8>>());
        assert_eq!(*byte_level("Ġab"), *b" ab");
        assert_eq!(*byte_level("Ċ"), *b"\n");
        assert_eq!(*sentence_piece("\u{2581}ab"), *b" ab");
        assert_eq!(*sentence_piece("<0x0A>"), *b"\n");
    }

    #[test]
    fn half_a_character_waits_for_its_other_half() {
        let mut stream = TextStream::default();
        let crab = "🦀".as_bytes();
        stream.push(b"a");
        stream.push(&crab[..2]);
        assert_eq!(stream.text(), "a");
        stream.push(&crab[2..]);
        stream.push(b"b\xff\xe2");
        assert_eq!(stream.text(), "a🦀b\u{fffd}");
        assert_eq!(stream.into_text(), "a🦀b\u{fffd}");
    }
}
