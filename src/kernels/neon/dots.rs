//! The products of bytes on aarch64: with dot products, with matrix products as well, or with long products alone.
//!
//! A register of weights holds four columns of four rows. The dot product by element (`sdot`) takes the four activations
//! where a plain load puts them, without a broadcast. The intrinsics of these instructions are younger than the oldest
//! Rust that builds this, or not yet stable, so they are assembly, which also stays where it stands.

use std::arch::aarch64::*;
use std::arch::asm;

use super::{Neon, Quad, quad};
use crate::kernels::layout::Encoding;
use crate::kernels::tile::{Block, dot_run};

/// What [`crate::kernels::isa::Isa`] asks for of products, in the same words.
///
/// # Safety
/// As there.
pub trait Dots: Sized {
    type Sums: Copy;

    const TILE_TOKENS: usize;
    const SIGNED_BYTES: bool;

    unsafe fn start(correction: i32) -> Self::Sums;
    unsafe fn dot_nibbles(sums: Self::Sums, weights: Quad<uint8x16_t>, activations: i32) -> Self::Sums;
    unsafe fn dot_bytes(sums: Self::Sums, weights: Quad<uint8x16_t>, activations: i32) -> Self::Sums;
    unsafe fn sums_of_nibbles(sums: Self::Sums, correction: i32) -> Quad<float32x4_t>;
    unsafe fn sums_of_bytes(sums: Self::Sums) -> Quad<float32x4_t>;
    unsafe fn pin(sums: Self::Sums) -> Self::Sums;
    #[inline(always)]
    unsafe fn dot_run<
        const E: usize,
        const HALF: usize,
        const FROM: usize,
        const TO: usize,
        const GROUPS: usize,
        const TOKENS: usize,
    >(
        block: &Block,
        dots: &mut [[Self::Sums; TOKENS]; GROUPS],
    ) {
        // SAFETY: the caller's promise.
        unsafe { dot_run::<Neon<Self>, E, HALF, FROM, TO, GROUPS, TOKENS>(block, dots) }
    }
}

/// One instruction that adds products of two registers to a third, and stays in its place.
macro_rules! accumulate {
    ($instruction:literal, $sums:expr, $weights:expr, $activations:expr) => {{
        let mut sums: int32x4_t = $sums;
        asm!(
            $instruction,
            inout(vreg) sums,
            in(vreg) $weights,
            in(vreg) $activations,
            options(nomem, nostack, preserves_flags),
        );
        sums
    }};
}

/// Signed bytes from those with an offset of 128.
///
/// # Safety
/// Needs NEON.
#[inline(always)]
unsafe fn signed(weights: Quad<uint8x16_t>) -> Quad<uint8x16_t> {
    // SAFETY: the caller vouches for the level.
    unsafe { quad(|i| veorq_u8(weights[i], vdupq_n_u8(128))) }
}

/// With the dot products; and, if `MATRIX`, with what I8MM adds: unsigned weights, and matrix products, each of two rows and
/// two tokens, eight columns long.
pub struct DotProducts<const MATRIX: bool>;

// SAFETY of all blocks below: the caller vouches for the level and for the pointers.
impl<const MATRIX: bool> Dots for DotProducts<MATRIX> {
    type Sums = Quad<int32x4_t>;

    const TILE_TOKENS: usize = if MATRIX { 6 } else { 4 };
    const SIGNED_BYTES: bool = !MATRIX;

    #[inline(always)]
    unsafe fn start(correction: i32) -> Self::Sums {
        // SAFETY: see above.
        unsafe { [vdupq_n_s32(correction); 4] }
    }
    #[inline(always)]
    unsafe fn dot_nibbles(sums: Self::Sums, weights: Quad<uint8x16_t>, activations: i32) -> Self::Sums {
        // A float, because those are loaded into the registers of vectors.
        let activations = f32::from_bits(activations as u32);
        // SAFETY: see above.
        unsafe {
            quad(|i| {
                if MATRIX {
                    accumulate!("usdot {0:v}.4s, {1:v}.16b, {2:v}.4b[0]", sums[i], weights[i], activations)
                } else {
                    accumulate!("sdot {0:v}.4s, {1:v}.16b, {2:v}.4b[0]", sums[i], weights[i], activations)
                }
            })
        }
    }
    #[inline(always)]
    unsafe fn dot_bytes(sums: Self::Sums, weights: Quad<uint8x16_t>, activations: i32) -> Self::Sums {
        // SAFETY: see above.
        unsafe {
            let weights = if MATRIX { weights } else { signed(weights) };
            Self::dot_nibbles(sums, weights, activations)
        }
    }
    #[inline(always)]
    unsafe fn sums_of_nibbles(sums: Self::Sums, _correction: i32) -> Quad<float32x4_t> {
        // SAFETY: see above.
        unsafe { quad(|i| vcvtq_f32_s32(sums[i])) }
    }
    #[inline(always)]
    unsafe fn sums_of_bytes(sums: Self::Sums) -> Quad<float32x4_t> {
        // SAFETY: see above.
        unsafe { quad(|i| vcvtq_f32_s32(sums[i])) }
    }
    #[inline(always)]
    unsafe fn pin(sums: Self::Sums) -> Self::Sums {
        sums
    }
    #[inline(always)]
    unsafe fn dot_run<
        const E: usize,
        const HALF: usize,
        const FROM: usize,
        const TO: usize,
        const GROUPS: usize,
        const TOKENS: usize,
    >(
        block: &Block,
        dots: &mut [[Self::Sums; TOKENS]; GROUPS],
    ) {
        // SAFETY: see above.
        unsafe {
            // High bits are put in their places by shifts of constants, which this order knows.
            if !MATRIX || TOKENS == 1 || const { Encoding::ALL[E].has_high_bits() } {
                return dot_run::<Neon<Self>, E, HALF, FROM, TO, GROUPS, TOKENS>(block, dots);
            }
            for (group, dots) in dots.iter_mut().enumerate() {
                // Eight rows at a time, so that all sums stay in registers.
                dot_pairs::<E, HALF, FROM, TO, GROUPS, TOKENS, 0>(block, group, dots);
                dot_pairs::<E, HALF, FROM, TO, GROUPS, TOKENS, 2>(block, group, dots);
            }
        }
    }
}

/// The same sums for two tokens at a time, of the eight rows in the registers `FIRST` and `FIRST + 1`. Two vectors of
/// weights, interleaved, are eight columns of two rows a register, and so are the activations of two tokens; the sums are
/// then row 0 · token 0, row 0 · token 1, row 1 · token 0, row 1 · token 1. An odd token is its own neighbour.
///
/// # Safety
/// Needs I8MM; the block must have this group and these tokens.
#[inline(always)]
unsafe fn dot_pairs<
    const E: usize,
    const HALF: usize,
    const FROM: usize,
    const TO: usize,
    const GROUPS: usize,
    const TOKENS: usize,
    const FIRST: usize,
>(
    block: &Block,
    group: usize,
    dots: &mut [Quad<int32x4_t>; TOKENS],
) {
    type Level = Neon<DotProducts<true>>;
    // SAFETY: the caller's promise.
    unsafe {
        // Only the first half is used: no array can be `TOKENS / 2` long.
        let mut sums = [[[vdupq_n_s32(0); 2]; 2]; TOKENS];
        for pair in 0..TOKENS.div_ceil(2) {
            for i in 0..2 {
                let [a, b] = [2 * pair, (2 * pair + 1).min(TOKENS - 1)].map(|token| dots[token][FIRST + i]);
                sums[pair][i] = [vzip1q_s32(a, b), vzip2q_s32(a, b)];
            }
        }
        for j in (FROM..TO).step_by(2) {
            if FIRST == 0 {
                block.prefetch::<Level, E, HALF>(j);
                block.prefetch::<Level, E, HALF>(j + 1);
            }
            let first = block.weights::<Level, E, HALF>(group, j);
            let second = block.weights::<Level, E, HALF>(group, j + 1);
            for i in 0..2 {
                let [first, second] = [first, second].map(|vector| vreinterpretq_s32_u8(vector[FIRST + i]));
                let (upper, lower) = (vzip1q_s32(first, second), vzip2q_s32(first, second));
                for pair in 0..TOKENS.div_ceil(2) {
                    let tokens = pair_activations::<TOKENS>(block, pair, j);
                    let [a, b] = sums[pair][i];
                    sums[pair][i] = [
                        accumulate!("usmmla {0:v}.4s, {1:v}.16b, {2:v}.16b", a, upper, tokens),
                        accumulate!("usmmla {0:v}.4s, {1:v}.16b, {2:v}.16b", b, lower, tokens),
                    ];
                }
            }
        }
        for token in 0..TOKENS {
            for i in 0..2 {
                let [a, b] = sums[token / 2][i];
                dots[token][FIRST + i] = if token % 2 == 0 { vuzp1q_s32(a, b) } else { vuzp2q_s32(a, b) };
            }
        }
    }
}

/// Eight columns of the two tokens of a pair, from vector `j` on.
///
/// # Safety
/// The block must have them.
#[inline(always)]
unsafe fn pair_activations<const TOKENS: usize>(block: &Block, pair: usize, j: usize) -> int32x4_t {
    let token = 2 * pair;
    // SAFETY: the caller's promise.
    unsafe {
        if token + 1 == TOKENS {
            let [first, second] = [j, j + 1].map(|j| vdupq_n_s32(block.value::<TOKENS>(j, token)));
            return vzip1q_s32(first, second);
        }
        let [first, second] = [j, j + 1].map(|j| vld1_s32(block.values.add(j * TOKENS + token)));
        vzip1q_s32(vcombine_s32(first, first), vcombine_s32(second, second))
    }
}

/// NEON alone: products of bytes are 16 bits long. A block of nibbles fits in them, and of five bits, 8 · 31 · 127 = 31496,
/// and half a block of six, 4 · 63 · 127 = 32004; bytes are added in pairs to 32 bits at once. Each register of weights gives two of sums, which are put together at the end.
pub struct LongProducts;

// SAFETY of all blocks below: as above.
impl Dots for LongProducts {
    type Sums = [int32x4_t; 8];

    const TILE_TOKENS: usize = 2;
    const SIGNED_BYTES: bool = true;

    /// Zero: a correction would not fit into the 16-bit sums of nibbles.
    #[inline(always)]
    unsafe fn start(_correction: i32) -> Self::Sums {
        // SAFETY: see above.
        unsafe { [vdupq_n_s32(0); 8] }
    }
    #[inline(always)]
    unsafe fn dot_nibbles(mut sums: Self::Sums, weights: Quad<uint8x16_t>, activations: i32) -> Self::Sums {
        // SAFETY: see above.
        unsafe {
            let activations = vreinterpretq_s8_s32(vdupq_n_s32(activations));
            for i in 0..4 {
                let weights = vreinterpretq_s8_u8(weights[i]);
                let (low, high) =
                    (vreinterpretq_s16_s32(sums[2 * i]), vreinterpretq_s16_s32(sums[2 * i + 1]));
                let low = vmlal_s8(low, vget_low_s8(weights), vget_low_s8(activations));
                let high = vmlal_high_s8(high, weights, activations);
                (sums[2 * i], sums[2 * i + 1]) = (vreinterpretq_s32_s16(low), vreinterpretq_s32_s16(high));
            }
            sums
        }
    }
    #[inline(always)]
    unsafe fn dot_bytes(mut sums: Self::Sums, weights: Quad<uint8x16_t>, activations: i32) -> Self::Sums {
        // SAFETY: see above.
        unsafe {
            let activations = vreinterpretq_s8_s32(vdupq_n_s32(activations));
            let weights = signed(weights);
            for i in 0..4 {
                let weights = vreinterpretq_s8_u8(weights[i]);
                let low = vmull_s8(vget_low_s8(weights), vget_low_s8(activations));
                sums[2 * i] = vpadalq_s16(sums[2 * i], low);
                sums[2 * i + 1] = vpadalq_s16(sums[2 * i + 1], vmull_high_s8(weights, activations));
            }
            sums
        }
    }
    #[inline(always)]
    unsafe fn sums_of_nibbles(sums: Self::Sums, correction: i32) -> Quad<float32x4_t> {
        // SAFETY: see above.
        unsafe {
            let pairs = sums.map(|sums| vpaddlq_s16(vreinterpretq_s16_s32(sums)));
            let rows = |i| vpaddq_s32(pairs[2 * i], pairs[2 * i + 1]);
            quad(|i| vcvtq_f32_s32(vaddq_s32(rows(i), vdupq_n_s32(correction))))
        }
    }
    #[inline(always)]
    unsafe fn sums_of_bytes(sums: Self::Sums) -> Quad<float32x4_t> {
        // SAFETY: see above.
        unsafe { quad(|i| vcvtq_f32_s32(vpaddq_s32(sums[2 * i], sums[2 * i + 1]))) }
    }
    #[inline(always)]
    unsafe fn pin(sums: Self::Sums) -> Self::Sums {
        sums.map(|mut sums| {
            // SAFETY: no instruction at all.
            unsafe { asm!("/* {0:v} */", inout(vreg) sums, options(nomem, nostack, preserves_flags)) };
            sums
        })
    }
}
