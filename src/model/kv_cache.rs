//! Keys and values of all tokens read so far: allocated once, rolled back by forgetting a length.

use candle_core::{DType, Result, Tensor};

use crate::model::ops::{Heads, Ops};

/// One pair of `[kv heads, capacity, head dim]` tensors in f16 per layer.
pub struct KvCache {
    layers: Vec<(Tensor, Tensor)>,
    length: usize,
    capacity: usize,
}

impl KvCache {
    /// An empty cache. Its pages are touched as tokens come.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn new(ops: &Ops, layers: usize, heads: Heads, capacity: usize) -> Result<Self> {
        let zeros = || Tensor::zeros((heads.kv, capacity, heads.dim), DType::F16, ops.device());
        let layers = (0..layers).map(|_| Ok((zeros()?, zeros()?))).collect::<Result<_>>()?;
        Ok(Self { layers, length: 0, capacity })
    }

    /// Keys and values of one layer, whole.
    pub fn layer(&self, layer: usize) -> (&Tensor, &Tensor) {
        let (keys, values) = &self.layers[layer];
        (keys, values)
    }

    /// Tokens that are held.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Tokens that can be held.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// `count` tokens have been stored in every layer.
    pub fn grow(&mut self, count: usize) {
        self.length += count;
        debug_assert!(self.length <= self.capacity);
    }

    /// Forget what stands after the first `length` tokens.
    pub fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
    }

    /// Bytes allocated.
    pub fn bytes(&self) -> usize {
        self.layers.iter().map(|(keys, _)| 2 * keys.elem_count() * DType::F16.size_in_bytes()).sum()
    }
}
