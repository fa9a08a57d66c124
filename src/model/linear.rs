//! A matrix of the model that multiplies rows: packed for our kernels, or as candle's quantised matrix on a GPU.

use std::sync::Arc;

use candle_core::quantized::{QMatMul, QStorage, QTensor};
use candle_core::{Module, Result, Tensor};

use crate::kernels::PackedMatrix;
use crate::model::ops::Ops;
use crate::model::weights::{Raw, ggml_dtype};

/// `y = x Wᵀ + b`. Cheap to clone: the output matrix is often the embedding's.
#[derive(Clone)]
pub enum Linear {
    Packed(Arc<PackedMatrix>),
    Candle { matrix: Arc<QTensor>, bias: Option<Tensor> },
}

impl Linear {
    /// Bring a matrix of the file, and its bias if it has one, into the form that `ops` computes with.
    ///
    /// # Errors
    /// When the bytes do not fit the shape.
    pub fn load(ops: &Ops, raw: &Raw, bias: Option<Vec<f32>>) -> anyhow::Result<Self> {
        match ops {
            Ops::Kernels(kernels) => {
                let packed = PackedMatrix::pack(kernels, raw.kind, raw.rows, raw.cols, &raw.bytes)?;
                Self::packed(packed, bias)
            }
            Ops::Candle(device) => {
                let storage = QStorage::from_data(raw.bytes.as_ref().into(), device, ggml_dtype(raw.kind))?;
                let matrix = Arc::new(QTensor::new(storage, (raw.rows, raw.cols))?);
                let bias = bias.map(|bias| Tensor::from_vec(bias, raw.rows, device)).transpose()?;
                Ok(Self::Candle { matrix, bias })
            }
        }
    }

    /// The same for the output matrix, of whose products mostly the largest are wanted.
    ///
    /// # Errors
    /// As [`Linear::load`].
    pub fn load_head(ops: &Ops, raw: &Raw) -> anyhow::Result<Self> {
        let Ops::Kernels(kernels) = ops else { return Self::load(ops, raw, None) };
        let packed = PackedMatrix::pack(kernels, raw.kind, raw.rows, raw.cols, &raw.bytes)?;
        Self::packed(packed.into_planes(), None)
    }

    /// A matrix that is packed already.
    ///
    /// # Errors
    /// When there are not as many biases as rows.
    pub fn packed(matrix: PackedMatrix, bias: Option<Vec<f32>>) -> anyhow::Result<Self> {
        let matrix = match bias {
            Some(bias) => matrix.with_bias(&bias)?,
            None => matrix,
        };
        Ok(Self::Packed(Arc::new(matrix)))
    }

    /// Bytes of the matrix.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Packed(packed) => packed.bytes(),
            Self::Candle { matrix, .. } => matrix.storage_size_in_bytes(),
        }
    }

    /// Of them, what a token reads where only the largest products are wanted.
    pub fn bytes_for_top(&self) -> usize {
        match self {
            Self::Packed(packed) => packed.bytes_for_top(),
            Self::Candle { .. } => self.bytes(),
        }
    }

    /// `x` `[tokens, cols]` to `[tokens, rows]`, in candle's operations.
    ///
    /// # Errors
    /// When the shapes do not fit, or the matrix is packed.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let Self::Candle { matrix, bias } = self else { candle_core::bail!("a packed matrix on a device") };
        let y = QMatMul::from_arc(matrix.clone())?.forward(x)?;
        match bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }
}
