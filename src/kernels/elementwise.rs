//! The small operations between the products: normalisation, the gate of the feed-forward part, rotary positions.

use std::ops::Range;

use anyhow::{Result, ensure};

use super::isa::{Isa, LANES};

/// Which two values of a head rotate together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RopeStyle {
    /// Values 2i and 2i + 1, as GGUF files of Llama models have them.
    Interleaved,
    /// Values i and i + head_dim / 2 (NeoX, Qwen2).
    Halves,
}

/// Cosines and sines of the angles by which tokens are rotated, `[tokens][head_dim / 2]` each.
#[derive(Debug, Clone, Copy)]
pub struct Angles<'a> {
    pub cos: &'a [f32],
    pub sin: &'a [f32],
    pub style: RopeStyle,
}

impl<'a> Angles<'a> {
    /// Whether they are those of so many tokens.
    pub(super) fn check(&self, tokens: usize, head_dim: usize) -> Result<()> {
        let &Angles { cos, sin, .. } = self;
        ensure!(
            2 * cos.len() == tokens * head_dim && sin.len() == cos.len(),
            "{tokens} tokens with heads of {head_dim} got {} and {} angles",
            cos.len(),
            sin.len()
        );
        Ok(())
    }

    /// Those of some of the tokens.
    #[inline(always)]
    pub(super) fn of_tokens(&self, tokens: Range<usize>, head_dim: usize) -> Self {
        let pairs = head_dim / 2;
        let range = tokens.start * pairs..tokens.end * pairs;
        Angles { cos: &self.cos[range.clone()], sin: &self.sin[range], ..*self }
    }
}

/// Rotates heads of `2 · cos.len()` values, each by the same angles. Plain loops, for the compiler to make vectors of
/// at each level.
#[inline(always)]
pub(super) fn rotate(heads: &mut [f32], Angles { cos, sin, style, .. }: Angles) {
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

/// `out = silu(gate) · up`, with silu(x) = x / (1 + e⁻ˣ); all three are equally long.
///
/// # Safety
/// The level must be available.
#[inline(always)]
pub(super) unsafe fn swiglu_part<I: Isa>(gate: &[f32], up: &[f32], out: &mut [f32]) {
    let (gate_vectors, gate_rest) = gate.as_chunks::<LANES>();
    let (up_vectors, up_rest) = up.as_chunks::<LANES>();
    let (out_vectors, out_rest) = out.as_chunks_mut::<LANES>();
    // SAFETY: the caller's promise; every access is to a whole chunk of sixteen.
    unsafe {
        let one = I::splat(1.0);
        for ((gate, up), out) in gate_vectors.iter().zip(up_vectors).zip(out_vectors) {
            let x = I::load(gate.as_ptr());
            let weight = I::div(x, I::add(one, I::exp(I::sub(I::splat(0.0), x))));
            I::store(out.as_mut_ptr(), I::mul(weight, I::load(up.as_ptr())));
        }
    }
    for ((gate, up), out) in gate_rest.iter().zip(up_rest).zip(out_rest) {
        *out = gate / (1.0 + (-gate).exp()) * up;
    }
}
