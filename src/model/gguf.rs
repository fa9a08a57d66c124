//! GGUF files: metadata, and tensors as slices of the mapped file. The header is parsed by candle.

use std::borrow::Cow;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use candle_core::quantized::gguf_file::{Content, Value};

use crate::model::source::Bytes;
use crate::model::weights::{Raw, source_kind};

/// An open GGUF file.
pub struct GgufFile {
    path: PathBuf,
    bytes: Bytes,
    content: Content,
}

impl GgufFile {
    /// Map the file and parse its header.
    ///
    /// # Errors
    /// When it cannot be read or is no GGUF file.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        Self::parse(path, Bytes::Mapped(crate::model::mapped::map(path)?))
    }

    /// Parse the header of a file that is part of the program.
    ///
    /// # Errors
    /// When it is no GGUF file.
    pub fn embedded(bytes: &'static [u8]) -> anyhow::Result<Self> {
        Self::parse(Path::new("the embedded model"), Bytes::Static(bytes))
    }

    fn parse(path: &Path, bytes: Bytes) -> anyhow::Result<Self> {
        let mut header = Header { bytes: Cursor::new(&bytes[..]), since_alignment: None };
        let content = Content::read(&mut header).map_err(|error| {
            // Candle appends a backtrace when RUST_BACKTRACE is set; users want the first line.
            let error = error.to_string().lines().next().unwrap_or_default().to_owned();
            anyhow!(
                "{} is not a readable GGUF file ({error}); fetch it again or choose another",
                path.display()
            )
        })?;
        Ok(Self { path: path.to_owned(), bytes, content })
    }

    /// `general.architecture`: "llama", "qwen2"…
    ///
    /// # Errors
    /// When the file does not say.
    pub fn architecture(&self) -> anyhow::Result<&str> {
        self.text("general.architecture")
    }

    /// A metadata value.
    ///
    /// # Errors
    /// When it is missing.
    pub fn value(&self, key: &str) -> anyhow::Result<&Value> {
        self.find_value(key).with_context(|| format!("{} says nothing of {key}", self.path.display()))
    }

    /// A metadata value, if it is there.
    pub fn find_value(&self, key: &str) -> Option<&Value> {
        self.content.metadata.get(key)
    }

    /// A metadata value that is a text.
    ///
    /// # Errors
    /// When it is missing or something else.
    pub fn text(&self, key: &str) -> anyhow::Result<&str> {
        match self.value(key)? {
            Value::String(text) => Ok(text),
            other => bail!("{key} is {:?}, not a text", other.value_type()),
        }
    }

    /// A metadata value that is a whole number, of whatever width.
    ///
    /// # Errors
    /// When it is missing, negative, or something else.
    pub fn number(&self, key: &str) -> anyhow::Result<usize> {
        let number = match self.value(key)? {
            Value::I8(value) => i64::from(*value),
            Value::I16(value) => i64::from(*value),
            Value::I32(value) => i64::from(*value),
            Value::I64(value) => *value,
            other => i64::try_from(other.to_u64().map_err(|_| anyhow!("{key} is not a whole number"))?)?,
        };
        usize::try_from(number).with_context(|| format!("{key} is {number}"))
    }

    /// A metadata value that is a number with a fraction.
    ///
    /// # Errors
    /// When it is missing or something else.
    pub fn fraction(&self, key: &str) -> anyhow::Result<f64> {
        match self.value(key)? {
            Value::F32(value) => Ok(f64::from(*value)),
            Value::F64(value) => Ok(*value),
            other => bail!("{key} is {:?}, not a fraction", other.value_type()),
        }
    }

    /// A metadata value that is a list of texts.
    ///
    /// # Errors
    /// When it is missing or something else.
    pub fn texts(&self, key: &str) -> anyhow::Result<Vec<&str>> {
        let Value::Array(values) = self.value(key)? else { bail!("{key} is not a list") };
        values
            .iter()
            .map(|value| match value {
                Value::String(text) => Ok(text.as_str()),
                other => bail!("{key} holds {:?}, not texts", other.value_type()),
            })
            .collect()
    }

    /// A metadata value that is a list of whole numbers.
    ///
    /// # Errors
    /// When it is missing or something else.
    pub fn numbers(&self, key: &str) -> anyhow::Result<Vec<i64>> {
        let Value::Array(values) = self.value(key)? else { bail!("{key} is not a list") };
        values
            .iter()
            .map(|value| match value {
                Value::I32(value) => Ok(i64::from(*value)),
                Value::U32(value) => Ok(i64::from(*value)),
                other => bail!("{key} holds {:?}, not whole numbers", other.value_type()),
            })
            .collect()
    }

    /// The whole file.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// See [`crate::model::weights::Weights::find`].
    pub(super) fn find(&self, name: &str) -> anyhow::Result<Option<Raw<'_>>> {
        let Some(info) = self.content.tensor_infos.get(name) else { return Ok(None) };
        let (rows, cols) = match info.shape.dims() {
            [cols] => (1, *cols),
            [rows, cols] => (*rows, *cols),
            other => bail!("the tensor {name} has {} dimensions", other.len()),
        };
        let elements = rows.checked_mul(cols).with_context(|| format!("the tensor {name} is too large"))?;
        let block = info.ggml_dtype.block_size();
        if cols % block != 0 {
            bail!("the tensor {name} has rows of {cols} values, not a multiple of {block}");
        }
        let size = (elements / block).checked_mul(info.ggml_dtype.type_size());
        let start = self.content.tensor_data_offset.saturating_add(info.offset);
        let bytes = usize::try_from(start)
            .ok()
            .and_then(|start| self.bytes.get(start..start.checked_add(size?)?))
            .with_context(|| format!("{} ends inside {name}; fetch it again", self.path.display()))?;
        Ok(Some(Raw { kind: source_kind(info.ggml_dtype)?, rows, cols, bytes: Cow::Borrowed(bytes) }))
    }
}

/// The bytes as candle reads them. It divides by the alignment that a file states, so one of zero ends the reading here.
struct Header<'a> {
    bytes: Cursor<&'a [u8]>,
    /// Reads since the alignment's key: its type comes next, then its value.
    since_alignment: Option<usize>,
}

impl Read for Header<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.bytes.read(buffer)?;
        // Candle takes zeros off the end of a key.
        let length = buffer.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        self.since_alignment = match self.since_alignment {
            _ if &buffer[..length] == b"general.alignment" => Some(0),
            Some(0) => Some(1),
            Some(_) if length == 0 => return Err(io::Error::other("an alignment of zero")),
            _ => None,
        };
        Ok(count)
    }
}

impl Seek for Header<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.bytes.seek(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const U32: u32 = 4;

    /// A file with one number in its metadata and one vector of f32, of which nothing follows.
    fn open(key: &str, value: u32, cols: u64) -> anyhow::Result<GgufFile> {
        let mut bytes = b"GGUF\x03\0\0\0".to_vec();
        bytes.extend([1u64, 1].map(u64::to_le_bytes).concat());
        bytes.extend((key.len() as u64).to_le_bytes());
        bytes.extend(key.as_bytes());
        bytes.extend([U32, value].map(u32::to_le_bytes).concat());
        bytes.extend(1u64.to_le_bytes());
        bytes.extend(b"v");
        bytes.extend(1u32.to_le_bytes());
        bytes.extend(cols.to_le_bytes());
        bytes.extend(0u32.to_le_bytes());
        bytes.extend(0u64.to_le_bytes());
        GgufFile::embedded(bytes.leak())
    }

    #[test]
    fn an_alignment_of_zero_is_an_error() {
        for key in ["general.alignment", "general.alignment\0"] {
            assert!(open(key, 32, 1).is_ok());
            let error = open(key, 0, 1).err().expect("an error").to_string();
            assert!(error.contains("not a readable GGUF file (an alignment of zero)"), "{error}");
        }
        assert!(open("another", 0, 1).is_ok());
    }

    #[test]
    fn a_tensor_larger_than_memory_ends_past_the_file() {
        for cols in [1, 1 << 62, u64::MAX] {
            let file = open("a", 0, cols).unwrap();
            let error = file.find("v").err().expect("an error").to_string();
            assert!(error.contains("ends inside v"), "{error}");
        }
    }
}
