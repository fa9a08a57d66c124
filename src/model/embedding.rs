//! Token ids to rows of the embedding matrix.

use candle_core::{Result, Tensor};

use crate::model::linear::Linear;
use crate::model::ops::Ops;

/// The embedding matrix, `[vocabulary, width]`.
pub struct Embedding {
    matrix: Linear,
    /// On a GPU the rows are looked up in this table of f32.
    table: Option<Tensor>,
}

impl Embedding {
    /// Wrap the embedding matrix.
    ///
    /// # Errors
    /// When a GPU has no memory for the table.
    pub fn new(ops: &Ops, matrix: Linear) -> anyhow::Result<Self> {
        let table = match &matrix {
            Linear::Packed(_) => None,
            Linear::Candle { matrix, .. } => Some(matrix.dequantize(ops.device())?),
        };
        Ok(Self { matrix, table })
    }

    /// The matrix.
    pub fn linear(&self) -> &Linear {
        &self.matrix
    }

    /// Rows of these tokens, `[tokens, width]`.
    pub fn rows(&self, tokens: &[u32], width: usize) -> Result<Tensor> {
        match (&self.matrix, &self.table) {
            (_, Some(table)) => table.index_select(&Tensor::new(tokens, table.device())?, 0),
            (Linear::Packed(packed), None) => {
                let mut rows = vec![0.0; tokens.len() * width];
                for (row, token) in rows.chunks_exact_mut(width).zip(tokens) {
                    packed.row(*token as usize, row).map_err(candle_core::Error::wrap)?;
                }
                Tensor::from_vec(rows, (tokens.len(), width), &candle_core::Device::Cpu)
            }
            (Linear::Candle { .. }, None) => candle_core::bail!("the embedding has no table"),
        }
    }
}
