//! Token ids to rows of the embedding matrix.

use candle_core::{Result, Tensor};

use crate::model::linear::Linear;
use crate::model::ops::{Ops, Workspace};

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

    /// Rows of these tokens, `[tokens, width]`, as many as the pass that `work` has begun.
    ///
    /// # Errors
    /// When there is no such token, or the device fails.
    pub fn rows(&self, work: &Workspace, tokens: &[u32]) -> Result<Tensor> {
        match (&self.matrix, &self.table) {
            (_, Some(table)) => table.index_select(&Tensor::new(tokens, table.device())?, 0),
            (Linear::Packed(packed), None) => work.embedded(|rows| {
                let mut rows = rows.chunks_exact_mut(packed.cols()).zip(tokens);
                rows.try_for_each(|(row, token)| packed.row(*token as usize, row))
            }),
            (Linear::Candle { .. }, None) => candle_core::bail!("the embedding has no table"),
        }
    }
}
