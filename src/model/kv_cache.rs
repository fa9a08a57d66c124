//! Keys and values of all tokens read so far: allocated once, rolled back by forgetting a length.

use candle_core::{Result, Tensor};
use serde::Deserialize;

use crate::model::ops::{Heads, LayerCache, Ops};

/// What keys and values are kept as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KvKind {
    /// Half precision.
    #[default]
    F16,
    /// Bytes, with a factor for each key and each value of a head: half of the memory, and so twice as many slots, for
    /// rounding that is about that of the activations.
    Int8,
}

impl KvKind {
    /// Bytes of a key, or a value, of so many numbers.
    fn bytes(self, dim: usize) -> usize {
        match self {
            Self::F16 => 2 * dim,
            Self::Int8 => dim + size_of::<f32>(),
        }
    }
}

/// The caches of all layers. On a CPU their pages are touched as tokens come: one that is not used takes no memory.
pub struct KvCache {
    layers: Vec<Vec<Tensor>>,
    heads: Heads,
    length: usize,
    capacity: usize,
    /// Whether it ever held anything.
    used: bool,
}

impl KvCache {
    /// An empty cache for `capacity` tokens, a multiple of 16.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn new(ops: &Ops, layers: usize, heads: Heads, capacity: usize, kind: KvKind) -> Result<Self> {
        let layers = (0..layers).map(|_| ops.new_cache(heads, capacity, kind)).collect::<Result<_>>()?;
        Ok(Self { layers, heads, length: 0, capacity, used: false })
    }

    /// Bytes of one for `capacity` tokens: a key and a value in each layer.
    pub fn bytes_for(layers: usize, heads: Heads, capacity: usize, kind: KvKind) -> usize {
        2 * layers * heads.kv * kind.bytes(heads.dim) * capacity
    }

    /// Keys and values of one layer, whole.
    pub fn layer(&self, layer: usize) -> &LayerCache {
        &self.layers[layer]
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
        self.used = true;
        debug_assert!(self.length <= self.capacity);
    }

    /// Forget what stands after the first `length` tokens.
    pub fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
    }

    /// Become a cache of the first `length` tokens of `other`, which has the same shape.
    ///
    /// # Errors
    /// When the device fails; the cache is empty then.
    pub fn copy_from(&mut self, ops: &Ops, other: &Self, length: usize) -> Result<()> {
        let length = length.min(other.length);
        self.length = 0;
        if length > 0 {
            for (to, from) in self.layers.iter().zip(&other.layers) {
                ops.copy_cache(from, to, self.heads, length)?;
            }
            self.grow(length);
        }
        Ok(())
    }

    /// Bytes that it may take; none before it is used.
    pub fn bytes(&self) -> usize {
        let bytes = |tensor: &Tensor| tensor.elem_count() * tensor.dtype().size_in_bytes();
        if self.used { self.layers.iter().flatten().map(bytes).sum() } else { 0 }
    }
}
