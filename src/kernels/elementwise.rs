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

/// `out = x · weight / √(mean(x²) + eps)` for every row of `weight.len()` values.
///
/// # Errors
/// When `x` is not whole rows, or `out` has another length.
pub fn rms_norm(kernels: &Kernels, x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) -> Result<()> {
    let width = weight.len();
    ensure!(
        width > 0 && x.len().is_multiple_of(width) && out.len() == x.len(),
        "rows of {width} values got {} values and room for {}",
        x.len(),
        out.len()
    );
    in_parts(kernels, out, width, |first, out| {
        for (x, out) in x[first..first + out.len()].chunks_exact(width).zip(out.chunks_exact_mut(width)) {
            // SAFETY: the level is available.
            unsafe { (kernels.routines.rms_norm_row)(x, weight, eps, out) };
        }
    });
    Ok(())
}

/// `gate = silu(gate) · up`, with silu(x) = x / (1 + e⁻ˣ).
///
/// # Errors
/// When the lengths differ.
pub fn swiglu(kernels: &Kernels, gate: &mut [f32], up: &[f32]) -> Result<()> {
    ensure!(gate.len() == up.len(), "{} gates for {} values", gate.len(), up.len());
    in_parts(kernels, gate, 1, |first, gate| {
        // SAFETY: the level is available.
        unsafe { (kernels.routines.swiglu)(gate, &up[first..first + gate.len()]) };
    });
    Ok(())
}

/// Rotates the heads of `x`, `[tokens][heads][head_dim]`, by the angles whose cosines and sines are
/// `[tokens][head_dim / 2]`.
///
/// # Errors
/// When `head_dim` is odd or a slice has another length than the sizes ask for.
#[allow(clippy::too_many_arguments)]
pub fn rope(
    kernels: &Kernels,
    x: &mut [f32],
    tokens: usize,
    heads: usize,
    head_dim: usize,
    cos: &[f32],
    sin: &[f32],
    style: RopeStyle,
) -> Result<()> {
    let pairs = head_dim / 2;
    ensure!(
        pairs > 0 && heads > 0 && head_dim.is_multiple_of(2),
        "{heads} heads of {head_dim} values cannot be rotated"
    );
    ensure!(
        x.len() == tokens * heads * head_dim && cos.len() == tokens * pairs && sin.len() == cos.len(),
        "{tokens} tokens of {heads} heads of {head_dim} values got {} values and {} and {} angles",
        x.len(),
        cos.len(),
        sin.len()
    );
    let width = heads * head_dim;
    in_parts(kernels, x, width, |first, x| {
        for (index, token) in x.chunks_exact_mut(width).enumerate() {
            let angles = (first / width + index) * pairs..(first / width + index + 1) * pairs;
            for head in token.chunks_exact_mut(head_dim) {
                rotate(head, &cos[angles.clone()], &sin[angles.clone()], style);
            }
        }
    });
    Ok(())
}

/// `x += y`
///
/// # Panics
/// When the lengths differ.
pub fn add_in_place(x: &mut [f32], y: &[f32]) {
    assert_eq!(x.len(), y.len(), "two vectors of one length");
    x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
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

fn rotate(head: &mut [f32], cos: &[f32], sin: &[f32], style: RopeStyle) {
    let turn = |a: &mut f32, b: &mut f32, cos: f32, sin: f32| {
        (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
    };
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

/// One row of [`rms_norm`]; the slices are equally long.
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

/// [`swiglu`] on one thread; the slices are equally long.
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
