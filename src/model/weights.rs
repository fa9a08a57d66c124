//! Named matrices of a model, whatever file they stand in. Names are GGUF's (`blk.0.attn_q.weight`).

use std::borrow::Cow;

use anyhow::Context;
use candle_core::quantized::GgmlDType;

use crate::kernels::SourceKind;
use crate::model::gguf::GgufFile;
use crate::model::safetensors::SafetensorsFiles;
use crate::model::source::Bytes;

/// The weights of one model, open but not yet packed.
pub enum Weights {
    Gguf(GgufFile),
    Safetensors(SafetensorsFiles),
}

/// One matrix or vector as it stands in the file: `[rows][cols]`, row-major blocks of `kind`.
pub struct Raw<'a> {
    pub kind: SourceKind,
    pub rows: usize,
    pub cols: usize,
    pub bytes: Cow<'a, [u8]>,
}

impl Weights {
    /// The tensor of this name, if there is one.
    ///
    /// # Errors
    /// When it exists but has an unknown format, more than two dimensions, or reaches past the end of the file.
    pub fn find(&self, name: &str) -> anyhow::Result<Option<Raw<'_>>> {
        match self {
            Self::Gguf(file) => file.find(name),
            Self::Safetensors(files) => files.find(name),
        }
    }

    /// The bytes of all files.
    pub(super) fn files(&self) -> Vec<&Bytes> {
        match self {
            Self::Gguf(file) => vec![file.bytes()],
            Self::Safetensors(files) => files.bytes().collect(),
        }
    }

    /// The tensor of this name.
    ///
    /// # Errors
    /// As [`Weights::find`], and when there is none.
    pub fn get(&self, name: &str) -> anyhow::Result<Raw<'_>> {
        self.find(name)?.with_context(|| {
            format!("the weights have no tensor {name}; the file is of another family, or incomplete")
        })
    }
}

impl Raw<'_> {
    /// All values, row-major, as f32.
    ///
    /// # Errors
    /// When the bytes are not as many as the shape needs.
    pub fn to_f32(&self) -> anyhow::Result<Vec<f32>> {
        let mut values = vec![0.0; self.rows * self.cols];
        crate::kernels::dequantize(self.kind, &self.bytes, &mut values)?;
        Ok(values)
    }
}

/// GGML's name of a format of the kernels.
pub fn ggml_dtype(kind: SourceKind) -> GgmlDType {
    match kind {
        SourceKind::F32 => GgmlDType::F32,
        SourceKind::F16 => GgmlDType::F16,
        SourceKind::BF16 => GgmlDType::BF16,
        SourceKind::Q4_0 => GgmlDType::Q4_0,
        SourceKind::Q4_1 => GgmlDType::Q4_1,
        SourceKind::Q5_0 => GgmlDType::Q5_0,
        SourceKind::Q5_1 => GgmlDType::Q5_1,
        SourceKind::Q8_0 => GgmlDType::Q8_0,
        SourceKind::Q4K => GgmlDType::Q4K,
        SourceKind::Q5K => GgmlDType::Q5K,
        SourceKind::Q6K => GgmlDType::Q6K,
    }
}
