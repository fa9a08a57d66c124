//! A matrix of the model that multiplies rows: packed for our kernels, or as candle's quantised matrix on a GPU.

use std::sync::Arc;

use candle_core::quantized::{QMatMul, QStorage, QTensor};
use candle_core::{Module, Result, Tensor};

use crate::kernels::{Kernels, PackedMatrix};
use crate::model::ops::{Ops, by_kernels};
use crate::model::weights::{Raw, ggml_dtype};

/// `y = x Wᵀ + b`.
pub struct Linear {
    matrix: Matrix,
    bias: Option<Tensor>,
}

/// Cheap to clone: the output matrix is often the embedding's.
#[derive(Clone)]
pub enum Matrix {
    Packed(Arc<Kernels>, Arc<PackedMatrix>),
    Candle(Arc<QTensor>),
}

impl Matrix {
    /// Bring a matrix of the file into the form that `ops` computes with.
    ///
    /// # Errors
    /// When its bytes do not fit its shape.
    pub fn load(ops: &Ops, raw: &Raw) -> anyhow::Result<Self> {
        Ok(match ops {
            Ops::Kernels(kernels) => {
                let packed = PackedMatrix::pack(kernels, raw.kind, raw.rows, raw.cols, &raw.bytes)?;
                Self::Packed(kernels.clone(), Arc::new(packed))
            }
            Ops::Candle(device) => {
                let storage = QStorage::from_data(raw.bytes.as_ref().into(), device, ggml_dtype(raw.kind))?;
                Self::Candle(Arc::new(QTensor::new(storage, (raw.rows, raw.cols))?))
            }
        })
    }

    /// Bytes that the matrix takes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Packed(_, packed) => packed.bytes(),
            Self::Candle(tensor) => tensor.storage_size_in_bytes(),
        }
    }
}

impl Linear {
    /// A matrix with its bias, `[rows]`, if it has one.
    pub fn new(matrix: Matrix, bias: Option<Tensor>) -> Self {
        Self { matrix, bias }
    }

    /// Bytes of the matrix.
    pub fn bytes(&self) -> usize {
        self.matrix.bytes()
    }

    /// `x` `[tokens, cols]` to `[tokens, rows]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = match &self.matrix {
            Matrix::Packed(kernels, packed) => by_kernels::multiply(kernels, packed, x)?,
            Matrix::Candle(tensor) => QMatMul::from_arc(tensor.clone())?.forward(x)?,
        };
        match &self.bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }
}
