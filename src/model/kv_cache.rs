//! Keys and values of all tokens read so far: allocated once, rolled back by forgetting a length.

use candle_core::{DType, Device, Result, Tensor};
use half::f16;
use half::vec::HalfBitsVecExt;

use crate::model::ops::{Heads, Ops};

/// One pair of `[kv heads, capacity, head dim]` tensors in f16 per layer.
pub struct KvCache {
    layers: Vec<(Tensor, Tensor)>,
    length: usize,
    capacity: usize,
    /// Whether it ever held anything.
    used: bool,
}

impl KvCache {
    /// An empty cache. On a CPU its pages are touched as tokens come: a slot that is not used takes no memory.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn new(ops: &Ops, layers: usize, heads: Heads, capacity: usize) -> Result<Self> {
        let shape = (heads.kv, capacity, heads.dim);
        let zeros = || match ops.device() {
            // Whole numbers come zeroed from the system, without being written; `Tensor::zeros` would write each f16.
            Device::Cpu => {
                let zeros: Vec<f16> = vec![0_u16; heads.kv * capacity * heads.dim].reinterpret_into();
                Tensor::from_vec(zeros, shape, &Device::Cpu)
            }
            device => Tensor::zeros(shape, DType::F16, device),
        };
        let layers = (0..layers).map(|_| Ok((zeros()?, zeros()?))).collect::<Result<_>>()?;
        Ok(Self { layers, length: 0, capacity, used: false })
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
    /// When the device fails.
    pub fn copy_from(&mut self, other: &Self, length: usize) -> Result<()> {
        let length = length.min(other.length);
        self.length = 0;
        if length > 0 {
            for ((keys, values), (other_keys, other_values)) in self.layers.iter().zip(&other.layers) {
                keys.slice_set(&other_keys.narrow(1, 0, length)?.contiguous()?, 1, 0)?;
                values.slice_set(&other_values.narrow(1, 0, length)?.contiguous()?, 1, 0)?;
            }
        }
        self.grow(length);
        Ok(())
    }

    /// Bytes that it may take; none before it is used.
    pub fn bytes(&self) -> usize {
        if !self.used {
            return 0;
        }
        self.layers.iter().map(|(keys, _)| 2 * keys.elem_count() * DType::F16.size_in_bytes()).sum()
    }
}
