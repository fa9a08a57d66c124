//! GGUF files: metadata, and tensors as slices of the mapped file.

mod header;

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};

use crate::kernels::SourceKind;
use crate::model::source::Bytes;
use crate::model::weights::Raw;

use header::{Header, List, TensorInfo, Value};

/// An open GGUF file.
pub struct GgufFile {
    path: PathBuf,
    bytes: Bytes,
    header: Header,
}

impl GgufFile {
    /// Map the file and parse its header.
    ///
    /// # Errors
    /// When it cannot be read or is no GGUF file.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        Self::parse(path, Bytes::map(path)?)
    }

    /// Parse the header of a file that is part of the program.
    ///
    /// # Errors
    /// When it is no GGUF file.
    pub fn embedded(bytes: &'static [u8]) -> anyhow::Result<Self> {
        Self::parse(Path::new("the embedded model"), Bytes::Static(bytes))
    }

    fn parse(path: &Path, bytes: Bytes) -> anyhow::Result<Self> {
        let header = Header::read(&bytes).map_err(|error| {
            anyhow!(
                "{} is not a readable GGUF file ({error:#}); fetch it again or choose another",
                path.display()
            )
        })?;
        Ok(Self { path: path.to_owned(), bytes, header })
    }

    /// `general.architecture`: "llama", "qwen2"…
    ///
    /// # Errors
    /// When the file does not say.
    pub fn architecture(&self) -> anyhow::Result<&str> {
        self.text("general.architecture")
    }

    fn value(&self, key: &str) -> anyhow::Result<&Value> {
        self.header
            .metadata
            .get(key)
            .with_context(|| format!("{} says nothing of {key}", self.path.display()))
    }

    fn list(&self, key: &str) -> anyhow::Result<&List> {
        match self.value(key)? {
            Value::List(list) => Ok(list),
            _ => bail!("{key} is not a list"),
        }
    }

    /// A metadata value that is a text.
    ///
    /// # Errors
    /// When it is missing or something else.
    pub fn text(&self, key: &str) -> anyhow::Result<&str> {
        match self.value(key)? {
            Value::Text(range) => header::text(&self.bytes, range),
            _ => bail!("{key} is not a text"),
        }
    }

    /// A metadata value that is a whole number, of whatever width.
    ///
    /// # Errors
    /// When it is missing, negative, or something else.
    pub fn number(&self, key: &str) -> anyhow::Result<usize> {
        match self.value(key)? {
            Value::Unsigned(number) => usize::try_from(*number).with_context(|| format!("{key} is {number}")),
            Value::Signed(number) => usize::try_from(*number).with_context(|| format!("{key} is {number}")),
            _ => bail!("{key} is not a whole number"),
        }
    }

    /// A metadata value that is a number with a fraction.
    ///
    /// # Errors
    /// When it is missing or something else.
    pub fn fraction(&self, key: &str) -> anyhow::Result<f64> {
        match self.value(key)? {
            Value::Fraction(value) => Ok(*value),
            _ => bail!("{key} is not a fraction"),
        }
    }

    /// A metadata value that is a list of texts.
    ///
    /// # Errors
    /// When it is missing or something else.
    pub fn texts(&self, key: &str) -> anyhow::Result<impl ExactSizeIterator<Item = anyhow::Result<&str>>> {
        let texts = self.list(key)?.texts(&self.bytes);
        texts.with_context(|| format!("{key} is a list, but not of texts"))
    }

    /// A metadata value that is a list of whole numbers.
    ///
    /// # Errors
    /// When it is missing or something else.
    pub fn numbers(&self, key: &str) -> anyhow::Result<Vec<i64>> {
        let numbers = self.list(key)?.numbers(&self.bytes);
        numbers.with_context(|| format!("{key} is a list, but not of whole numbers"))
    }

    /// The whole file.
    pub(super) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// See [`crate::model::weights::Weights::find`].
    pub(super) fn find(&self, name: &str) -> anyhow::Result<Option<Raw<'_>>> {
        let Some(info) = self.header.tensors.get(name) else { return Ok(None) };
        let (rows, cols) = match info.dimensions[..] {
            [cols] => (1, cols),
            [cols, rows] => (rows, cols),
            _ => bail!("the tensor {name} has {} dimensions", info.dimensions.len()),
        };
        let (rows, cols) = (usize::try_from(rows)?, usize::try_from(cols)?);
        let kind = source_kind(info.kind)?;
        let block = kind.block().0;
        if cols % block != 0 {
            bail!("the tensor {name} has rows of {cols} values, not a multiple of {block}");
        }
        let elements = rows.checked_mul(cols).with_context(|| format!("the tensor {name} is too large"))?;
        let bytes = self
            .slice(info, kind, elements)
            .with_context(|| format!("{} ends inside {name}; fetch it again", self.path.display()))?;
        Ok(Some(Raw { kind, rows, cols, bytes: Cow::Borrowed(bytes) }))
    }

    fn slice(&self, info: &TensorInfo, kind: SourceKind, elements: usize) -> Option<&[u8]> {
        let start = usize::try_from(self.header.data.checked_add(info.offset)?).ok()?;
        self.bytes.get(start..start.checked_add(kind.bytes(elements)?)?)
    }
}

/// The kernels' name of the GGML format with this number.
///
/// # Errors
/// For formats that have no kernels.
fn source_kind(number: u32) -> anyhow::Result<SourceKind> {
    Ok(match number {
        0 => SourceKind::F32,
        1 => SourceKind::F16,
        2 => SourceKind::Q4_0,
        3 => SourceKind::Q4_1,
        6 => SourceKind::Q5_0,
        7 => SourceKind::Q5_1,
        8 => SourceKind::Q8_0,
        12 => SourceKind::Q4K,
        13 => SourceKind::Q5K,
        14 => SourceKind::Q6K,
        30 => SourceKind::BF16,
        other => {
            bail!("weights in GGML's format {other} are not supported; use a Q4_0, Q4_K_M, Q8_0 or F16 file")
        }
    })
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
