//! The vector operations that every kernel is written in, once for all instruction levels.
//!
//! A vector has sixteen lanes at every level: one AVX-512 register, two AVX2 registers, four of NEON or an array. Kernels are
//! generic functions over [`Isa`], marked `#[inline(always)]`; each level instantiates them inside functions that
//! carry its `#[target_feature]` (see `routines.rs`), so the operations below become single instructions there.

use half::f16;

use super::layout::Encoding;
use super::tile::{self, Block};

/// Lanes of a vector, and rows of a group of packed weights.
pub(super) const LANES: usize = 16;

/// One instruction level.
///
/// # Safety
/// Every method may use instructions of its level: call it only where the CPU has them, and inline it into a
/// function with the matching `#[target_feature]`. Pointers must be valid for the sixteen elements (or 64 bytes of
/// weights) that a method reads or writes; they need no alignment except for weights, which lie on 64 bytes.
pub(super) trait Isa: Sized {
    /// Sixteen `f32`.
    type Floats: Copy;
    /// Sixteen `i32` sums, or what the level accumulates in before [`Isa::sums`].
    type Sums: Copy;
    /// 64 bytes of weights: four consecutive columns of each of sixteen rows.
    type Weights: Copy;

    /// Row groups that share one load of the activations when there are many tokens.
    const WIDE_GROUPS: usize;
    /// Tokens of the widest tile, at most [`super::tile::MAX_TOKENS`].
    const TILE_TOKENS: usize;
    /// Up to so many tokens, if there are no more, are one tile, over one group of rows; at most [`super::tile::MAX_TOKENS`].
    const FEW_TOKENS: usize = Self::TILE_TOKENS;
    /// Vectors of columns in an attention tile.
    const PANEL_COLUMNS: usize;
    /// Whether 8-bit sums are over signed weights, so that they need no correction for the offset of 128.
    const SIGNED_BYTES: bool;
    /// Whether the high nibble is used where it stands, 16 times its value.
    const HIGH_NIBBLE_IN_PLACE: bool;
    /// Whether 16 bits hold the sixteen products of a block that are added up in a lane. Without a correction, which makes
    /// them smaller, they do so for weights of four bits, and for half a block of more.
    const ADDS_IN_16_BITS: bool;

    /// From how many tiles of tokens on products are faster if weights of this encoding are made first what
    /// [`Encoding::for_many_tokens`] says; none where that was not measured.
    #[inline(always)]
    fn tiles_worth_preparing(_encoding: Encoding) -> Option<usize> {
        None
    }

    unsafe fn splat(value: f32) -> Self::Floats;
    unsafe fn load(from: *const f32) -> Self::Floats;
    unsafe fn load_half(from: *const f16) -> Self::Floats;
    unsafe fn load_bytes(from: *const i8) -> Self::Floats;
    unsafe fn store(to: *mut f32, value: Self::Floats);
    unsafe fn add(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    unsafe fn sub(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    unsafe fn mul(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    unsafe fn div(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    unsafe fn max(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    unsafe fn min(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    unsafe fn abs(a: Self::Floats) -> Self::Floats;
    /// a · b + c
    unsafe fn fma(a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats;
    /// To the nearest whole number, ties to even.
    unsafe fn round(a: Self::Floats) -> Self::Floats;
    /// a · 2ⁿ for whole `n`; neither `a` nor the result may be zero, denormal or infinite.
    unsafe fn times_power_of_two(a: Self::Floats, n: Self::Floats) -> Self::Floats;
    unsafe fn sum(a: Self::Floats) -> f32;
    unsafe fn largest(a: Self::Floats) -> f32;
    /// Rounds two vectors (ties to even) to `i8`; the values lie within ±127. Returns the bytes and the sum of each vector's.
    unsafe fn to_bytes(a: [Self::Floats; 2]) -> ([[i8; LANES]; 2], [i32; 2]);

    unsafe fn weights(from: *const u8) -> Self::Weights;
    unsafe fn store_weights(to: *mut u8, weights: Self::Weights);
    unsafe fn low_nibbles(a: Self::Weights) -> Self::Weights;
    /// The high nibbles, or 16 times them: see [`Isa::HIGH_NIBBLE_IN_PLACE`].
    unsafe fn high_nibbles(a: Self::Weights) -> Self::Weights;
    /// The bits of every byte, so many places to the right, or to the left if negative. What comes from a neighbour may be
    /// anything.
    unsafe fn shift(a: Self::Weights, places: i32) -> Self::Weights;
    /// Nibbles with those of `bits` that are in `MASK`.
    unsafe fn with_high_bits<const MASK: i8>(nibbles: Self::Weights, bits: Self::Weights) -> Self::Weights;
    /// What an offset of the weights, or that and a half, adds to the sums of 16 or 32 columns, as [`Isa::start`] and
    /// [`Isa::sums_of_nibbles`] take it; `sum` is that of all `bytes`.
    #[inline(always)]
    unsafe fn correction(_bytes: &[[i8; LANES]], sum: i32, offset: i32, and_half: bool) -> i32 {
        sum.wrapping_mul(offset) + if and_half { sum >> 1 } else { 0 }
    }
    /// What sums of nibbles start from. A level may add `correction` here or in [`Isa::sums_of_nibbles`].
    unsafe fn start(correction: i32) -> Self::Sums;
    /// `sums[r] += Σᵢ weights[4r + i] · activations[i]`, weights 0…63 (or 0…15 times 16, in place), activations `i8`.
    unsafe fn dot_nibbles(sums: Self::Sums, weights: Self::Weights, activations: i32) -> Self::Sums;
    /// The same for bytes of weights, which are stored with an offset of 128.
    unsafe fn dot_bytes(sums: Self::Sums, weights: Self::Weights, activations: i32) -> Self::Sums;
    /// Adds the products of the vectors `FROM..TO` of a block to the sums of each group and token; a level may do so in
    /// another order.
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
        // SAFETY: the caller vouches for the level and the block.
        unsafe { tile::dot_run::<Self, E, HALF, FROM, TO, GROUPS, TOKENS>(block, dots) }
    }
    unsafe fn sums_of_nibbles(sums: Self::Sums, correction: i32) -> Self::Floats;
    unsafe fn sums_of_bytes(sums: Self::Sums) -> Self::Floats;
    /// The same sums, at this place of the program: the compiler may not compute them earlier or later.
    #[inline(always)]
    unsafe fn pin(sums: Self::Sums) -> Self::Sums {
        sums
    }
    /// As [`Isa::pin`].
    #[inline(always)]
    unsafe fn pin_floats(values: Self::Floats) -> Self::Floats {
        values
    }
    /// Asks for the cache line at `address`, which need not be valid.
    unsafe fn prefetch(address: *const u8);
    /// The same, to have it in the second-level cache: for what is needed later than what is read until then.
    unsafe fn prefetch_for_later(address: *const u8);

    /// eˣ; see [`Isa::exp2`].
    #[inline(always)]
    unsafe fn exp(x: Self::Floats) -> Self::Floats {
        // SAFETY: the caller vouches for the level.
        unsafe {
            Self::exp2(Self::min(Self::mul(x, Self::splat(std::f32::consts::LOG2_E)), Self::splat(127.0)))
        }
    }
    /// 2ˣ for x up to 127, exact to about 2 in 10⁷; anything below −87 gives about 10⁻²⁶. Smaller values would leave, times a
    /// value of the cache, numbers so close to zero that CPUs compute with them a hundred times slower.
    #[inline(always)]
    unsafe fn exp2(x: Self::Floats) -> Self::Floats {
        // SAFETY: the caller vouches for the level.
        unsafe {
            let x = Self::max(x, Self::splat(-87.0));
            let n = Self::round(x);
            let f = Self::sub(x, n);
            // 1 + f · ln 2 + …: the largest relative error in −½…½ is as small as can be, 1.1 · 10⁻⁷ but for rounding.
            let mut p = Self::splat(1.330_060_7e-3);
            for coefficient in [9.669_691e-3, 5.550_558_5e-2, 2.402_228_3e-1, std::f32::consts::LN_2, 1.0] {
                p = Self::fma(p, f, Self::splat(coefficient));
            }
            Self::times_power_of_two(p, n)
        }
    }
}
