//! Writing keys and values into a cache.

use half::f16;
use half::slice::HalfFloatSliceExt;

use super::task::HeadCache;
use crate::kernels::isa::LANES;

impl HeadCache {
    /// Writes the key and the value of a position, equally long rows, a multiple of sixteen.
    ///
    /// # Safety
    /// The position must be inside the cache of such rows, and nobody else may use it meanwhile. Others of its block of sixteen
    /// may be written: only the position's own numbers are touched.
    pub unsafe fn store(self, position: usize, key: &[f32], value: &[f32]) {
        let head_dim = key.len();
        // The key's first number; the others follow, sixteen apart.
        let key_start = position / LANES * LANES * head_dim + position % LANES;
        let value_start = position * head_dim;
        // SAFETY: the caller's promise.
        unsafe {
            match self {
                HeadCache::Halves { keys, values } => {
                    let mut halves = [f16::ZERO; LANES];
                    for (part, key) in key.chunks_exact(LANES).enumerate() {
                        halves.convert_from_f32_slice(key);
                        for (index, half) in halves.into_iter().enumerate() {
                            keys.add(key_start + (part * LANES + index) * LANES).write(half);
                        }
                    }
                    let values = std::slice::from_raw_parts_mut(values.add(value_start), head_dim);
                    values.convert_from_f32_slice(value);
                }
                HeadCache::Bytes { keys, values, key_scales, value_scales } => {
                    let scale = to_bytes(key, keys.add(key_start), LANES);
                    key_scales.add(position).write_unaligned(scale);
                    let scale = to_bytes(value, values.add(value_start), 1);
                    value_scales.add(position).write_unaligned(scale);
                }
            }
        }
    }
}

/// Rounds a row to bytes that are `stride` apart, and returns the factor that makes values of them.
///
/// # Safety
/// The bytes must be there, for nobody else.
unsafe fn to_bytes(row: &[f32], bytes: *mut i8, stride: usize) -> f32 {
    // Added and taken away, it leaves no place for fractions: 1.5 · 2²³.
    const ROUND: f32 = 12_582_912.0;
    let largest = row.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    // Of a row of zeros, or nearly, nothing is left.
    let inverse = if largest > 1e-30 { 127.0 / largest } else { 0.0 };
    for (index, value) in row.iter().enumerate() {
        // SAFETY: the caller's promise.
        unsafe { bytes.add(index * stride).write(((value * inverse + ROUND) - ROUND) as i8) };
    }
    largest / 127.0
}
