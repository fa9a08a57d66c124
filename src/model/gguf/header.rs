//! The header of a GGUF file, read where it stands: texts are ranges of the file, so that a vocabulary with its merges costs
//! no allocation and next to no time.
//!
//! Specification: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>, little-endian, versions 2 and 3.

use std::collections::HashMap;
use std::ops::Range;

use anyhow::{Context, bail, ensure};

const ALIGNMENT: &str = "general.alignment";
const DEFAULT_ALIGNMENT: u64 = 32;
/// The format knows no more dimensions.
const MOST_DIMENSIONS: u32 = 4;
/// Lists in lists that are passed over; nothing has more.
const DEEPEST: usize = 4;
/// The type number of a text.
const TEXT: u32 = 8;

/// What a file says of itself and where its tensors are.
pub struct Header {
    pub metadata: HashMap<String, Value>,
    pub tensors: HashMap<String, TensorInfo>,
    /// Where the tensors' data begins.
    pub data: u64,
}

/// A metadata value.
#[derive(Debug)]
pub enum Value {
    Unsigned(u64),
    Signed(i64),
    Fraction(f64),
    /// Where it stands.
    Text(Range<usize>),
    List(List),
}

/// Values of one type, where they stand.
#[derive(Debug)]
pub struct List {
    kind: u32,
    count: usize,
    bytes: Range<usize>,
}

/// One tensor.
pub struct TensorInfo {
    /// The fastest dimension first: columns, rows.
    pub dimensions: Vec<u64>,
    /// GGML's number of the format.
    pub kind: u32,
    /// From where the data begins.
    pub offset: u64,
}

impl Header {
    /// Read the header of the file with these bytes.
    ///
    /// # Errors
    /// When it is cut off or breaks the format.
    pub fn read(bytes: &[u8]) -> anyhow::Result<Self> {
        let mut reader = Reader { bytes, at: 0 };
        ensure!(reader.take(4)? == *b"GGUF", "it does not begin with GGUF");
        let version = reader.u32()?;
        ensure!((2..=3).contains(&version), "it is of version {version}, not 2 or 3");
        let (tensor_count, value_count) = (reader.u64()?, reader.u64()?);

        let mut metadata = HashMap::new();
        for _ in 0..value_count {
            let key = reader.text()?;
            let key = text(bytes, &key)?.to_owned();
            let kind = reader.u32()?;
            let value = reader.value(kind, 0).with_context(|| format!("the value of {key}"))?;
            metadata.insert(key, value);
        }
        let mut tensors = HashMap::new();
        for _ in 0..tensor_count {
            let name = reader.text()?;
            let name = text(bytes, &name)?.to_owned();
            let count = reader.u32()?;
            ensure!(count <= MOST_DIMENSIONS, "the tensor {name} has {count} dimensions");
            let dimensions = (0..count).map(|_| reader.u64()).collect::<anyhow::Result<_>>()?;
            tensors.insert(name, TensorInfo { dimensions, kind: reader.u32()?, offset: reader.u64()? });
        }
        let alignment = match metadata.get(ALIGNMENT) {
            None => DEFAULT_ALIGNMENT,
            Some(Value::Unsigned(0)) => bail!("an alignment of zero"),
            Some(Value::Unsigned(alignment)) => *alignment,
            Some(_) => bail!("the alignment is not a whole number"),
        };
        let data = (reader.at as u64).checked_next_multiple_of(alignment).context("a huge alignment")?;
        Ok(Self { metadata, tensors, data })
    }
}

impl List {
    /// The texts, if they are texts; nothing is known of the type of none.
    pub fn texts<'a>(
        &self,
        bytes: &'a [u8],
    ) -> Option<impl ExactSizeIterator<Item = anyhow::Result<&'a str>>> {
        let mut reader = Reader { bytes: &bytes[..self.bytes.end], at: self.bytes.start };
        (self.kind == TEXT || self.count == 0)
            .then(|| (0..self.count).map(move |_| text(bytes, &reader.text()?)))
    }

    /// The numbers, if they are whole.
    pub fn numbers(&self, bytes: &[u8]) -> Option<Vec<i64>> {
        let mut reader = Reader { bytes: &bytes[..self.bytes.end], at: self.bytes.start };
        (0..self.count)
            .map(|_| match reader.value(self.kind, 0).ok()? {
                Value::Unsigned(number) => i64::try_from(number).ok(),
                Value::Signed(number) => Some(number),
                _ => None,
            })
            .collect()
    }
}

/// The text that stands there. Some writers end texts with zeros, which the format does not want.
pub fn text<'a>(bytes: &'a [u8], range: &Range<usize>) -> anyhow::Result<&'a str> {
    let text = std::str::from_utf8(&bytes[range.clone()]).context("a text is not UTF-8")?;
    Ok(text.trim_end_matches('\0'))
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn skip(&mut self, length: u64) -> anyhow::Result<Range<usize>> {
        let start = self.at;
        let end = usize::try_from(length).ok().and_then(|length| start.checked_add(length));
        self.at = end.filter(|end| *end <= self.bytes.len()).context("it is cut off")?;
        Ok(start..self.at)
    }

    fn take<const COUNT: usize>(&mut self, count: u64) -> anyhow::Result<[u8; COUNT]> {
        let range = self.skip(count)?;
        Ok(self.bytes[range].try_into()?)
    }

    fn u32(&mut self) -> anyhow::Result<u32> {
        Ok(u32::from_le_bytes(self.take(4)?))
    }

    fn u64(&mut self) -> anyhow::Result<u64> {
        Ok(u64::from_le_bytes(self.take(8)?))
    }

    fn text(&mut self) -> anyhow::Result<Range<usize>> {
        let length = self.u64()?;
        self.skip(length)
    }

    /// A value of the type with this number, in so many lists.
    fn value(&mut self, kind: u32, depth: usize) -> anyhow::Result<Value> {
        Ok(match kind {
            0 => Value::Unsigned(u8::from_le_bytes(self.take(1)?).into()),
            1 => Value::Signed(i8::from_le_bytes(self.take(1)?).into()),
            2 => Value::Unsigned(u16::from_le_bytes(self.take(2)?).into()),
            3 => Value::Signed(i16::from_le_bytes(self.take(2)?).into()),
            4 => Value::Unsigned(self.u32()?.into()),
            5 => Value::Signed(i32::from_le_bytes(self.take(4)?).into()),
            6 => Value::Fraction(f32::from_le_bytes(self.take(4)?).into()),
            // A truth value is one byte.
            7 => Value::Unsigned(u8::from_le_bytes(self.take(1)?).into()),
            TEXT => Value::Text(self.text()?),
            9 => {
                ensure!(depth < DEEPEST, "lists in lists in lists");
                let (kind, count) = (self.u32()?, usize::try_from(self.u64()?)?);
                let start = self.at;
                match size_of(kind) {
                    Some(size) => {
                        self.skip((count as u64).checked_mul(size).context("it is cut off")?)?;
                    }
                    // Each takes bytes of the file, so a wrong count ends with it.
                    None => (0..count).try_for_each(|_| self.value(kind, depth + 1).map(drop))?,
                }
                Value::List(List { kind, count, bytes: start..self.at })
            }
            10 => Value::Unsigned(self.u64()?),
            11 => Value::Signed(i64::from_le_bytes(self.take(8)?)),
            12 => Value::Fraction(f64::from_le_bytes(self.take(8)?)),
            other => bail!("values of the unknown type {other}"),
        })
    }
}

/// Bytes of a value, where all of the type have as many.
fn size_of(kind: u32) -> Option<u64> {
    Some(match kind {
        0 | 1 | 7 => 1,
        2 | 3 => 2,
        4..=6 => 4,
        10..=12 => 8,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(values: &[&[u8]]) -> Vec<u8> {
        let mut bytes = b"GGUF\x03\0\0\0".to_vec();
        bytes.extend([0, values.len() as u64].map(u64::to_le_bytes).concat());
        bytes.extend(values.concat());
        bytes
    }

    fn entry(key: &str, kind: u32, value: &[u8]) -> Vec<u8> {
        [&(key.len() as u64).to_le_bytes(), key.as_bytes(), &kind.to_le_bytes(), value].concat()
    }

    fn list(kind: u32, count: u64, values: &[u8]) -> Vec<u8> {
        [&kind.to_le_bytes()[..], &count.to_le_bytes(), values].concat()
    }

    fn string(text: &str) -> Vec<u8> {
        [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
    }

    #[test]
    fn every_type_is_read_and_a_cut_is_an_error() {
        let texts = list(TEXT, 3, &[string("a"), string(""), string("caf\u{e9}\0")].concat());
        let whole = header(&[
            &entry("u8", 0, &[200]),
            &entry("i8", 1, &[200]),
            &entry("u16", 2, &[1, 2]),
            &entry("i16", 3, &[255, 255]),
            &entry("u32", 4, &7_u32.to_le_bytes()),
            &entry("i32", 5, &(-7_i32).to_le_bytes()),
            &entry("f32", 6, &1.5_f32.to_le_bytes()),
            &entry("true", 7, &[1]),
            &entry("text", TEXT, &string("words")),
            &entry("texts", 9, &texts),
            &entry("numbers", 9, &list(5, 2, &[1, 0, 0, 0, 255, 255, 255, 255])),
            &entry("nested", 9, &list(9, 2, &[list(0, 1, &[9]), list(4, 0, &[])].concat())),
            &entry("u64", 10, &u64::MAX.to_le_bytes()),
            &entry("i64", 11, &i64::MIN.to_le_bytes()),
            &entry("f64", 12, &0.25_f64.to_le_bytes()),
        ]);
        let found = Header::read(&whole).unwrap();
        let shown = |key: &str| match &found.metadata[key] {
            Value::Text(range) => text(&whole, range).unwrap().to_owned(),
            Value::List(values) => match values.texts(&whole) {
                Some(texts) => format!("{:?}", texts.map(Result::unwrap).collect::<Vec<_>>()),
                None => format!("{:?}", values.numbers(&whole)),
            },
            other => format!("{other:?}"),
        };
        let keys =
            ["u8", "i8", "u16", "i16", "u32", "i32", "f32", "true", "text", "texts", "numbers", "nested"];
        expect_test::expect![[r#"
            Unsigned(200)
            Signed(-56)
            Unsigned(513)
            Signed(-1)
            Unsigned(7)
            Signed(-7)
            Fraction(1.5)
            Unsigned(1)
            words
            ["a", "", "café"]
            Some([1, -1])
            None
            Unsigned(18446744073709551615)
            Signed(-9223372036854775808)
            Fraction(0.25)"#]]
        .assert_eq(&keys.into_iter().chain(["u64", "i64", "f64"]).map(shown).collect::<Vec<_>>().join("\n"));
        assert_eq!(found.data, (whole.len() as u64).next_multiple_of(DEFAULT_ALIGNMENT));
        for length in 0..whole.len() {
            assert!(Header::read(&whole[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn what_is_claimed_must_be_there() {
        let errors = [
            header(&[&entry("huge", 9, &list(10, u64::MAX / 2, &[]))]),
            header(&[&entry("huge", 9, &list(TEXT, u64::MAX, &[]))]),
            header(&[&entry("long", TEXT, &u64::MAX.to_le_bytes())]),
            header(&[&entry(
                "deep",
                9,
                &list(9, 1, &list(9, 1, &list(9, 1, &list(9, 1, &list(0, 0, &[]))))),
            )]),
            header(&[&entry("strange", 13, &[0; 16])]),
            b"GGUF\x01\0\0\0\0\0\0\0\0\0\0\0".to_vec(),
        ]
        .map(|bytes| format!("{:#}", Header::read(&bytes).err().expect("an error")));
        expect_test::expect![[r#"
            the value of huge: it is cut off
            the value of huge: it is cut off
            the value of long: it is cut off
            the value of deep: lists in lists in lists
            the value of strange: values of the unknown type 13
            it is of version 1, not 2 or 3"#]]
        .assert_eq(&errors.join("\n"));
    }
}
