//! The small operations between the products: normalisation, the gate of the feed-forward part, rotary positions.

use anyhow::{Result, ensure};

use super::isa::{Isa, LANES};
use super::{Kernels, SharedPointer};

/// Values from which an operation is worth a region of all threads.
const PARALLEL: usize = 16 << 10;

/// Which two values of a head rotate together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RopeStyle {
    /// Values 2i and 2i + 1, as GGUF files of Llama models have them.
    Interleaved,
    /// Values i and i + head_dim / 2 (NeoX, Qwen2).
    Halves,
}

/// Rotates the first `heads` heads of every row of `x`, `[tokens][row]`, by the angles whose cosines and sines are
/// `[tokens][head_dim / 2]`.
///
/// # Errors
/// When `head_dim` is odd or a slice has another length than the sizes ask for.
#[allow(clippy::too_many_arguments)]
pub fn rope(
    kernels: &Kernels,
    x: &mut [f32],
    row: usize,
    heads: usize,
    head_dim: usize,
    cos: &[f32],
    sin: &[f32],
    style: RopeStyle,
) -> Result<()> {
    let pairs = head_dim / 2;
    ensure!(
        pairs > 0 && heads > 0 && head_dim.is_multiple_of(2) && heads * head_dim <= row,
        "{heads} heads of {head_dim} values in {row} cannot be rotated"
    );
    let tokens = x.len() / row;
    ensure!(
        x.len() == tokens * row && cos.len() == tokens * pairs && sin.len() == cos.len(),
        "rows of {row} values with heads of {head_dim} got {} values and {} and {} angles",
        x.len(),
        cos.len(),
        sin.len()
    );
    in_parts(kernels, x, row, |first, x| {
        for (index, token) in x.chunks_exact_mut(row).enumerate() {
            let angles = (first / row + index) * pairs..(first / row + index + 1) * pairs;
            let heads = &mut token[..heads * head_dim];
            // SAFETY: the level is available.
            unsafe { (kernels.routines.rotate)(heads, &cos[angles.clone()], &sin[angles], style) };
        }
    });
    Ok(())
}

/// Calls `f` with the offset and the values of each part of `values`, whole rows of `width`, on all threads if there
/// are enough of them.
fn in_parts(kernels: &Kernels, values: &mut [f32], width: usize, f: impl Fn(usize, &mut [f32]) + Sync) {
    if values.len() < PARALLEL || kernels.threads() == 1 {
        return f(0, values);
    }
    let rows = values.len() / width;
    let parts = rows.min(4 * kernels.threads());
    let start = SharedPointer(values.as_mut_ptr());
    kernels.pool.run(parts, &|part| {
        let (first, end) = (rows * part / parts * width, rows * (part + 1) / parts * width);
        // SAFETY: the parts lie inside `values` and do not overlap.
        f(first, unsafe { std::slice::from_raw_parts_mut(start.get().add(first), end - first) });
    });
}

/// Rotates heads of `2 · cos.len()` values, each by the same angles. Plain loops, for the compiler to make vectors of
/// at each level.
#[inline(always)]
pub(super) fn rotate(heads: &mut [f32], cos: &[f32], sin: &[f32], style: RopeStyle) {
    let turn = |a: &mut f32, b: &mut f32, cos: f32, sin: f32| {
        (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
    };
    for head in heads.chunks_exact_mut(2 * cos.len()) {
        let angles = cos.iter().zip(sin);
        match style {
            RopeStyle::Interleaved => {
                for ([a, b], (cos, sin)) in head.as_chunks_mut::<2>().0.iter_mut().zip(angles) {
                    turn(a, b, *cos, *sin);
                }
            }
            RopeStyle::Halves => {
                let (first, second) = head.split_at_mut(cos.len());
                for ((a, b), (cos, sin)) in first.iter_mut().zip(second).zip(angles) {
                    turn(a, b, *cos, *sin);
                }
            }
        }
    }
}

/// `out = x · weight / √(mean(x²) + epsilon)`; the slices are equally long.
///
/// # Safety
/// The level must be available.
#[inline(always)]
pub(super) unsafe fn rms_norm_row<I: Isa>(x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) {
    let (x_vectors, x_rest) = x.as_chunks::<LANES>();
    let (weight_vectors, weight_rest) = weight.as_chunks::<LANES>();
    let (out_vectors, out_rest) = out.as_chunks_mut::<LANES>();
    // SAFETY: the caller's promise; every access is to a whole chunk of sixteen.
    unsafe {
        // Four sums, so that additions need not wait for each other.
        let mut sums = [I::splat(0.0); 4];
        for (index, x) in x_vectors.iter().enumerate() {
            let x = I::load(x.as_ptr());
            sums[index % 4] = I::fma(x, x, sums[index % 4]);
        }
        let sum = I::sum(I::add(I::add(sums[0], sums[1]), I::add(sums[2], sums[3])));
        let squares = sum + x_rest.iter().map(|x| x * x).sum::<f32>();
        let factor = 1.0 / (squares / x.len() as f32 + epsilon).sqrt();
        for ((out, x), weight) in out_vectors.iter_mut().zip(x_vectors).zip(weight_vectors) {
            let scaled = I::mul(I::load(x.as_ptr()), I::splat(factor));
            I::store(out.as_mut_ptr(), I::mul(scaled, I::load(weight.as_ptr())));
        }
        for ((out, x), weight) in out_rest.iter_mut().zip(x_rest).zip(weight_rest) {
            *out = x * factor * weight;
        }
    }
}

/// `gate = silu(gate) · up`, with silu(x) = x / (1 + e⁻ˣ); the slices are equally long.
///
/// # Safety
/// The level must be available.
#[inline(always)]
pub(super) unsafe fn swiglu_part<I: Isa>(gate: &mut [f32], up: &[f32]) {
    let (gate_vectors, gate_rest) = gate.as_chunks_mut::<LANES>();
    let (up_vectors, up_rest) = up.as_chunks::<LANES>();
    // SAFETY: the caller's promise; every access is to a whole chunk of sixteen.
    unsafe {
        let one = I::splat(1.0);
        for (gate, up) in gate_vectors.iter_mut().zip(up_vectors) {
            let x = I::load(gate.as_ptr());
            let weight = I::div(x, I::add(one, I::exp(I::sub(I::splat(0.0), x))));
            I::store(gate.as_mut_ptr(), I::mul(weight, I::load(up.as_ptr())));
        }
    }
    for (gate, up) in gate_rest.iter_mut().zip(up_rest) {
        *gate = *gate / (1.0 + (-*gate).exp()) * up;
    }
}
