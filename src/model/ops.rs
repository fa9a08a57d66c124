//! The steps of a Transformer layer on candle tensors: by our kernels on the CPU, by candle's own operations elsewhere.
//!
//! Both ways compute the same; a test compares them. Tensors are f32; `[tokens, …]` comes first.

mod by_candle;
pub(super) mod by_kernels;

use std::sync::Arc;

use candle_core::{Device, Result, Tensor};

use crate::kernels::{Kernels, RopeStyle};

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

/// Cosines and sines of some positions, `[tokens, head_dim / 2]` each.
pub struct Angles {
    pub cos: Tensor,
    pub sin: Tensor,
}

impl Ops {
    /// The device that tensors live on.
    pub fn device(&self) -> &Device {
        match self {
            Self::Kernels(_) => &Device::Cpu,
            Self::Candle(device) => device,
        }
    }

    /// Root mean square normalisation of each row, times `weight`. Zhang and Sennrich 2019, arXiv 1910.07467.
    pub fn rms_norm(&self, x: &Tensor, weight: &Tensor, epsilon: f32) -> Result<Tensor> {
        match self {
            Self::Kernels(kernels) => by_kernels::rms_norm(kernels, x, weight, epsilon),
            Self::Candle(_) => by_candle::rms_norm(x, weight, epsilon),
        }
    }

    /// Rotate `x` `[tokens, heads * dim]` by its positions' angles. Su et al. 2021, arXiv 2104.09864.
    pub fn rope(&self, x: Tensor, dim: usize, angles: &Angles, style: RopeStyle) -> Result<Tensor> {
        match self {
            Self::Kernels(kernels) => by_kernels::rope(kernels, x, dim, angles, style),
            Self::Candle(_) => by_candle::rope(&x, dim, angles, style),
        }
    }

    /// Write `x` `[tokens, kv heads * dim]` into `cache` `[kv heads, capacity, dim]` from position `start` on.
    pub fn store(&self, cache: &Tensor, x: &Tensor, start: usize) -> Result<()> {
        match self {
            Self::Kernels(_) => by_kernels::store(cache, x, start),
            Self::Candle(_) => by_candle::store(cache, x, start),
        }
    }

    /// Causal attention of queries `[tokens, heads * dim]`, the first at position `start`, over the cached keys and
    /// values; the result has the queries' shape. Vaswani et al. 2017, arXiv 1706.03762.
    pub fn attend(&self, q: &Tensor, k: &Tensor, v: &Tensor, start: usize, heads: Heads) -> Result<Tensor> {
        match self {
            Self::Kernels(kernels) => by_kernels::attend(kernels, q, k, v, start, heads),
            Self::Candle(_) => by_candle::attend(q, k, v, start, heads),
        }
    }

    /// `silu(gate) * up`. Shazeer 2020, arXiv 2002.05202.
    pub fn swiglu(&self, gate: Tensor, up: &Tensor) -> Result<Tensor> {
        match self {
            Self::Kernels(kernels) => by_kernels::swiglu(kernels, gate, up),
            Self::Candle(_) => candle_nn::ops::silu(&gate)? * up,
        }
    }

    /// `x + y`, in the memory of `x` where that can be.
    pub fn add(&self, x: Tensor, y: &Tensor) -> Result<Tensor> {
        match self {
            Self::Kernels(_) => by_kernels::add(x, y),
            Self::Candle(_) => x + y,
        }
    }
}
