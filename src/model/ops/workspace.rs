//! Where the kernels write what a pass computes.

use candle_core::{DType, Device, Result, Tensor};

use super::{Heads, by_kernels};

/// Room for passes of up to a chunk of tokens, allocated once.
pub struct Workspace {
    whole: Rows,
    /// The rows of the tokens of this pass. Kept for the next, which mostly has as many: a view of a tensor is a few allocations.
    rows: Rows,
}

/// A row for each token.
pub(super) struct Rows {
    /// `[tokens, width]`
    pub(super) x: Tensor,
    /// `[tokens, queries + keys + values]`
    pub(super) qkv: Tensor,
    /// `[tokens, heads * dim]`
    pub(super) attended: Tensor,
    /// `[tokens, ffn]`
    pub(super) gated: Tensor,
    /// `[tokens, dim / 2]` each
    pub(super) cos_sin: [Tensor; 2],
}

impl Rows {
    fn narrow(&self, tokens: usize) -> Result<Rows> {
        let Self { x, qkv, attended, gated, cos_sin: [cos, sin] } = self;
        let of = |room: &Tensor| room.narrow(0, 0, tokens);
        let cos_sin = [of(cos)?, of(sin)?];
        Ok(Rows { x: of(x)?, qkv: of(qkv)?, attended: of(attended)?, gated: of(gated)?, cos_sin })
    }
}

impl Workspace {
    /// Room for up to `chunk` tokens.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn new(chunk: usize, width: usize, heads: Heads, ffn: usize) -> Result<Self> {
        let room = |width| Tensor::zeros((chunk, width), DType::F32, &Device::Cpu);
        let whole = Rows {
            x: room(width)?,
            qkv: room(heads.row())?,
            attended: room(heads.query * heads.dim)?,
            gated: room(ffn)?,
            cos_sin: [room(heads.dim / 2)?, room(heads.dim / 2)?],
        };
        Ok(Self { rows: whole.narrow(chunk)?, whole })
    }

    /// Begin a pass over so many tokens.
    ///
    /// # Errors
    /// When they are more than there is room for.
    pub fn begin(&mut self, tokens: usize) -> Result<()> {
        if self.rows.x.dim(0)? != tokens {
            self.rows = self.whole.narrow(tokens)?;
        }
        Ok(())
    }

    pub(super) fn rows(&self) -> &Rows {
        &self.rows
    }

    /// What the first layer reads, `[tokens, width]`, written by `write`.
    ///
    /// # Errors
    /// Those of `write`.
    pub fn embedded(&self, write: impl FnOnce(&mut [f32]) -> anyhow::Result<()>) -> Result<Tensor> {
        by_kernels::write(&self.rows.x, |x| write(x).map_err(candle_core::Error::wrap))?;
        Ok(self.rows.x.clone())
    }

    /// Cosines and sines, `[tokens, dim / 2]` each, written by `write`.
    ///
    /// # Errors
    /// Never, as both are in memory.
    pub fn angles(&self, write: impl FnOnce(&mut [f32], &mut [f32])) -> Result<[Tensor; 2]> {
        let [cos, sin] = &self.rows.cos_sin;
        by_kernels::write(cos, |cos| {
            by_kernels::write(sin, |sin| {
                write(cos, sin);
                Ok(())
            })
        })?;
        Ok(self.rows.cos_sin.clone())
    }
}
