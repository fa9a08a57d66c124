//! The steps of a Transformer layer on candle tensors: by our kernels on the CPU, by candle's own operations elsewhere.
//!
//! Both ways compute the same; a test compares them. Tensors are f32; `[tokens, …]` comes first.

mod by_candle;
mod by_kernels;
mod workspace;

use std::sync::Arc;

use candle_core::{Device, Result, Tensor};

use crate::kernels::{Kernels, RopeStyle, Sight};
use crate::model::KvKind;
use crate::model::linear::Linear;
pub use workspace::Workspace;

/// Who computes.
#[derive(Clone)]
pub enum Ops {
    /// Our kernels, on the CPU.
    Kernels(Arc<Kernels>),
    /// Candle's operations, on any device.
    Candle(Device),
}

/// Heads of an attention layer.
#[derive(Clone, Copy, Debug)]
pub struct Heads {
    pub query: usize,
    pub kv: usize,
    /// Values in each.
    pub dim: usize,
}

impl Heads {
    /// Values of a token's queries, keys and values together.
    pub fn row(self) -> usize {
        (self.query + 2 * self.kv) * self.dim
    }
}

/// Cosines and sines of some positions, `[tokens, head_dim / 2]` each.
pub struct Angles {
    pub cos: Tensor,
    pub sin: Tensor,
    pub style: RopeStyle,
}

/// Where the tokens of a pass stand.
pub struct Place<'a> {
    /// The position in the cache of the first; the others follow it there.
    pub start: usize,
    /// Of their positions in the text.
    pub angles: Angles,
    /// What they see.
    pub sight: Sight<'a>,
}

/// Root mean square normalisation of rows. Zhang and Sennrich 2019, arXiv 1910.07467.
pub struct Norm {
    /// `[width]`
    pub weight: Tensor,
    pub epsilon: f32,
}

/// Keys and values of one layer: see [`Ops::new_cache`].
pub type LayerCache = [Tensor];

impl Ops {
    /// The device that tensors live on.
    pub fn device(&self) -> &Device {
        match self {
            Self::Kernels(_) => &Device::Cpu,
            Self::Candle(device) => device,
        }
    }

    /// An empty cache of one layer for `capacity` tokens, a multiple of 16. Candle's operations know one kind.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn new_cache(&self, heads: Heads, capacity: usize, kind: KvKind) -> Result<Vec<Tensor>> {
        match self {
            Self::Kernels(_) => by_kernels::new_cache(heads, capacity, kind),
            Self::Candle(device) => by_candle::new_cache(device, heads, capacity),
        }
    }

    /// Copy the first `length` tokens from one layer's cache to another.
    ///
    /// # Errors
    /// When the device fails.
    pub fn copy_cache(&self, from: &LayerCache, to: &LayerCache, heads: Heads, length: usize) -> Result<()> {
        match self {
            Self::Kernels(_) => by_kernels::copy_cache(from, to, heads, length),
            Self::Candle(_) => by_candle::copy_cache(from, to, length),
        }
    }

    /// Queries, keys and values of normalised `x`, side by side: `[tokens, (heads + 2 * kv heads) * dim]`.
    pub fn project(&self, work: &Workspace, x: &Tensor, norm: &Norm, qkv: &[Linear; 3]) -> Result<Tensor> {
        match self {
            Self::Kernels(kernels) => by_kernels::project(kernels, &work.rows().qkv, x, norm, qkv),
            Self::Candle(_) => by_candle::project(x, norm, qkv),
        }
    }

    /// Rotate queries and keys to their positions (Su et al. 2021, arXiv 2104.09864); store keys and values; attend to the
    /// positions that each token sees (Vaswani et al. 2017, arXiv 1706.03762): `[wanted, heads * dim]`, those of so many of the
    /// last tokens.
    pub fn attend(
        &self,
        work: &Workspace,
        qkv: &Tensor,
        cache: &LayerCache,
        place: &Place,
        heads: Heads,
        wanted: usize,
    ) -> Result<Tensor> {
        match self {
            Self::Kernels(kernels) => {
                let room = work.rows().attended.narrow(0, 0, wanted)?;
                by_kernels::attend(kernels, room, qkv, &cache[0], place, heads)
            }
            Self::Candle(_) => by_candle::attend(qkv, cache, place, heads, wanted),
        }
    }

    /// `silu(gate(x)) * up(x)` of normalised `x`. Shazeer 2020, arXiv 2002.05202.
    pub fn gate(
        &self,
        work: &Workspace,
        x: &Tensor,
        norm: &Norm,
        gate: &Linear,
        up: &Linear,
    ) -> Result<Tensor> {
        match self {
            Self::Kernels(kernels) => by_kernels::gate(kernels, &work.rows().gated, x, norm, gate, up),
            Self::Candle(_) => by_candle::gate(x, norm, gate, up),
        }
    }

    /// `x + linear(y)`, in the memory of `x` where that can be.
    pub fn add(&self, x: Tensor, linear: &Linear, y: &Tensor) -> Result<Tensor> {
        match self {
            Self::Kernels(kernels) => by_kernels::add(kernels, x, linear, y),
            Self::Candle(_) => x + linear.forward(y)?,
        }
    }

    /// Scores of all tokens after each row of normalised `x`: `[tokens, vocabulary]` into `out`.
    pub fn score(&self, x: &Tensor, norm: &Norm, head: &Linear, out: &mut Vec<f32>) -> Result<()> {
        match self {
            Self::Kernels(kernels) => by_kernels::score(kernels, x, norm, head, out),
            Self::Candle(_) => by_candle::score(x, norm, head, out),
        }
    }

    /// The same, of which only the highest have to be exact.
    pub fn score_top(&self, x: &Tensor, norm: &Norm, head: &Linear, out: &mut Vec<f32>) -> Result<()> {
        match self {
            Self::Kernels(kernels) => by_kernels::score_top(kernels, x, norm, head, out),
            Self::Candle(_) => by_candle::score(x, norm, head, out),
        }
    }
}
