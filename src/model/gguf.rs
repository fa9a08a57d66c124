//! GGUF files: metadata, and tensors as slices of the mapped file. The header is parsed by candle.

use std::borrow::Cow;
use std::io::Cursor;
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
        let content = Content::read(&mut Cursor::new(&bytes[..])).map_err(|error| {
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
        let size = elements / block * info.ggml_dtype.type_size();
        let start = self.content.tensor_data_offset.saturating_add(info.offset);
        let bytes = usize::try_from(start)
            .ok()
            .and_then(|start| self.bytes.get(start..start.checked_add(size)?))
            .with_context(|| format!("{} ends inside {name}; fetch it again", self.path.display()))?;
        Ok(Some(Raw { kind: source_kind(info.ggml_dtype)?, rows, cols, bytes: Cow::Borrowed(bytes) }))
    }
}
