//! The inner loops of a matrix product: a few rows times a few tokens, and the activations' way into bytes.
//!
//! ```text
//! for each chunk of 64 columns, for each of its two blocks:
//!     dots[group][token] = what the offset of the weights asks for
//!     for j in 0..8:                                 four columns at a time
//!         dots[group][token][row] += weights[group][j][row][0..4] · values[token][j][0..4]      bytes into i32
//!     sums[group][token][row] += dots[group][token][row] · weight_scale[group][row] · scale[token]
//!     sums[group][token][row] += minimum[group][row] · sum_of_values[token]                     if there are minima
//! ```
//!
//! The sums start from zero, from a bias, or from what the result is added to. All of `dots` and `sums` stay in registers; that bounds groups × tokens.

use half::f16;

use super::isa::{Isa, LANES};
use super::layout::{ACTIVATION_BYTES, BLOCK, CHUNK, Encoding, FIFTH, MINIMA, VECTORS};

/// The most tokens that a tile may have.
pub(super) const MAX_TOKENS: usize = 6;
/// The most groups of rows that a tile may have.
pub(super) const MAX_GROUPS: usize = 2;

/// How far ahead of the multiplication weights are asked for.
const PREFETCH_BYTES: usize = 8 << 10;

/// The operands of a tile.
pub(super) struct Tile {
    /// The first group of rows; on 64 bytes.
    pub(super) weights: *const u8,
    /// Bytes from one group of rows to the next.
    pub(super) group_stride: usize,
    /// The activations of the tile's tokens.
    pub(super) activations: *const u8,
    /// Columns / 64.
    pub(super) chunks: usize,
    /// The first token's first row.
    pub(super) out: *mut f32,
    /// Values from one token to the next.
    pub(super) out_stride: usize,
    /// What the sums start from, laid out as `out`; null: zeros.
    pub(super) start: *const f32,
    /// Values from one token to the next in `start`: none for a bias, which all tokens share.
    pub(super) start_stride: usize,
}

/// A tile with its sizes fixed.
pub(super) type MultiplyTile = unsafe fn(&Tile);

/// Multiplies one tile; see the module's description.
///
/// # Safety
/// The level must be available. `tile` must point to `GROUPS` groups of `chunks` chunks of this encoding, to
/// `chunks` · 2 blocks of activations for `TOKENS` tokens, and to `TOKENS` rows of 16 · `GROUPS` values in `out` and, if
/// it is not null, in `start`.
#[inline(always)]
pub(super) unsafe fn multiply_tile<
    I: Isa,
    const BITS: usize,
    const MINIMUM: bool,
    const GROUPS: usize,
    const TOKENS: usize,
>(
    tile: &Tile,
) {
    let encoding = const { encoding(BITS, MINIMUM) };
    // SAFETY: the caller vouches for the level and for the operands; every pointer below stays inside them.
    unsafe {
        let mut sums = [[I::splat(0.0); TOKENS]; GROUPS];
        if !tile.start.is_null() {
            for group in 0..GROUPS {
                for token in 0..TOKENS {
                    sums[group][token] = I::load(tile.start.add(token * tile.start_stride + group * LANES));
                }
            }
        }
        let mut weights = tile.weights;
        let mut activations = tile.activations;
        for _ in 0..tile.chunks {
            multiply_block::<I, BITS, MINIMUM, GROUPS, TOKENS, 0>(
                weights,
                tile.group_stride,
                activations,
                &mut sums,
            );
            // The two blocks of a 4-bit chunk share their loads. The compiler would keep all of them for the second
            // block and spill; a pointer that it cannot see through makes it load again, from the first-level cache.
            weights = opaque(weights);
            activations = activations.add(TOKENS * ACTIVATION_BYTES);
            multiply_block::<I, BITS, MINIMUM, GROUPS, TOKENS, 1>(
                weights,
                tile.group_stride,
                activations,
                &mut sums,
            );
            activations = activations.add(TOKENS * ACTIVATION_BYTES);
            weights = weights.add(encoding.chunk_bytes());
        }
        for group in 0..GROUPS {
            for token in 0..TOKENS {
                I::store(tile.out.add(token * tile.out_stride + group * LANES), sums[group][token]);
            }
        }
    }
}

/// Adds one block of 32 columns to `sums`.
///
/// # Safety
/// As [`multiply_tile`], `weights` at a chunk and `activations` at its block `HALF`.
#[inline(always)]
unsafe fn multiply_block<
    I: Isa,
    const BITS: usize,
    const MINIMUM: bool,
    const GROUPS: usize,
    const TOKENS: usize,
    const HALF: usize,
>(
    weights: *const u8,
    group_stride: usize,
    activations: *const u8,
    sums: &mut [[I::Floats; TOKENS]; GROUPS],
) {
    let encoding = const { encoding(BITS, MINIMUM) };
    // SAFETY: as in `multiply_tile`.
    unsafe {
        let scales = activations.cast::<f32>();
        let corrections = scales.add(TOKENS).cast::<i32>();
        let values = corrections.add(TOKENS);
        let correction =
            |token| if MINIMUM || starts_at_zero::<I, BITS>() { 0 } else { *corrections.add(token) };
        let mut dots = [[I::start(0); TOKENS]; GROUPS];
        for token in 0..TOKENS {
            for group in 0..GROUPS {
                dots[group][token] = I::start(correction(token));
            }
        }
        let block = Block { weights: weights.add(encoding.weights_offset()), group_stride, values };
        I::dot_block::<BITS, HALF, GROUPS, TOKENS>(&block, &mut dots);
        for group in 0..GROUPS {
            let chunk = weights.add(group * group_stride).cast::<f16>();
            let weight_scale = I::load_half(chunk.add(HALF * LANES));
            for token in 0..TOKENS {
                let dot = if BITS < 8 {
                    I::sums_of_nibbles(dots[group][token], correction(token))
                } else {
                    I::sums_of_bytes(dots[group][token])
                };
                let scale = I::mul(weight_scale, I::splat(*scales.add(token)));
                sums[group][token] = I::fma(dot, scale, sums[group][token]);
            }
            if MINIMUM {
                let minimum = I::load_half(chunk.byte_add(MINIMA).add(HALF * LANES));
                for token in 0..TOKENS {
                    let sum = I::splat(f32::from_bits(*corrections.add(token) as u32));
                    sums[group][token] = I::fma(minimum, sum, sums[group][token]);
                }
            }
        }
    }
}

/// What the products of a block of 32 columns are made from.
pub(super) struct Block {
    /// The first group's weights, of both blocks of the chunk.
    weights: *const u8,
    group_stride: usize,
    /// `[j: 0..8][tokens]`, four columns each.
    pub(super) values: *const i32,
}

impl Block {
    /// Asks for what a later block has in the place of vector `j`, if the weights are one stream.
    ///
    /// # Safety
    /// The level must be available.
    #[inline(always)]
    pub(super) unsafe fn prefetch<I: Isa, const BITS: usize, const HALF: usize, const GROUPS: usize>(
        &self,
        j: usize,
    ) {
        // The first vectors are asked for with the first block, and what is beyond them with the second.
        let vector = HALF * VECTORS + j;
        if GROUPS == 1 && vector < BITS * 2 {
            // SAFETY: the caller's promise; the address need not be valid.
            unsafe { I::prefetch(self.weights.wrapping_add(PREFETCH_BYTES + vector * 64)) };
        }
    }

    /// Vector `j` of a group's weights.
    ///
    /// # Safety
    /// The level must be available, and the vector exist.
    #[inline(always)]
    pub(super) unsafe fn weights<I: Isa, const BITS: usize, const HALF: usize>(
        &self,
        group: usize,
        j: usize,
    ) -> I::Weights {
        // SAFETY: the caller's promise.
        unsafe {
            let block = self.weights.add(group * self.group_stride);
            match (BITS, HALF) {
                (4, 0) => I::low_nibbles(I::weights(block.add(j * 64))),
                (4, _) => I::high_nibbles(I::weights(block.add(j * 64))),
                (5, half) => {
                    let both = I::weights(block.add(j * 64));
                    let nibbles = I::low_nibbles(if half == 0 { both } else { I::shift(both, 4) });
                    let places = if j < 4 { j as i32 } else { j as i32 - 8 };
                    I::with_fifth(nibbles, I::shift(I::weights(block.add(FIFTH + half * 64)), places))
                }
                _ => I::weights(block.add((HALF * VECTORS + j) * 64)),
            }
        }
    }

    /// The four activations of a token that belong to vector `j`.
    ///
    /// # Safety
    /// They must exist.
    #[inline(always)]
    pub(super) unsafe fn value<const TOKENS: usize>(&self, j: usize, token: usize) -> i32 {
        // SAFETY: the caller's promise.
        unsafe { self.values.add(j * TOKENS + token).read_unaligned() }
    }
}

/// Adds a block's products to the sums of each group and token, one vector of weights after the other.
///
/// # Safety
/// The level must be available, and the block have these groups and tokens.
#[inline(always)]
pub(super) unsafe fn dot_block<
    I: Isa,
    const BITS: usize,
    const HALF: usize,
    const GROUPS: usize,
    const TOKENS: usize,
>(
    block: &Block,
    dots: &mut [[I::Sums; TOKENS]; GROUPS],
) {
    // SAFETY: the caller's promise.
    unsafe {
        macro_rules! steps {
            ($($j:expr),*) => { $(dot_vector::<I, BITS, HALF, GROUPS, TOKENS>(block, dots, $j);)* };
        }
        if BITS == 5 {
            // Written out, so that the shifts are by constants.
            steps!(0, 1, 2, 3, 4, 5, 6, 7);
        } else {
            for j in 0..VECTORS {
                steps!(j);
            }
        }
    }
}

/// Adds the products of one vector of each group's weights.
///
/// # Safety
/// As [`dot_block`].
#[inline(always)]
unsafe fn dot_vector<
    I: Isa,
    const BITS: usize,
    const HALF: usize,
    const GROUPS: usize,
    const TOKENS: usize,
>(
    block: &Block,
    dots: &mut [[I::Sums; TOKENS]; GROUPS],
    j: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        block.prefetch::<I, BITS, HALF, GROUPS>(j);
        let mut vectors = [block.weights::<I, BITS, HALF>(0, j); GROUPS];
        for group in 1..GROUPS {
            vectors[group] = block.weights::<I, BITS, HALF>(group, j);
        }
        for token in 0..TOKENS {
            let value = block.value::<TOKENS>(j, token);
            for group in 0..GROUPS {
                let dot = &mut dots[group][token];
                // Pinned, because the compiler would take one sum after the other, each waiting for itself, and spill
                // the vectors that it keeps meanwhile.
                *dot = I::pin(if BITS < 8 {
                    I::dot_nibbles(*dot, vectors[group], value)
                } else {
                    I::dot_bytes(*dot, vectors[group], value)
                });
            }
        }
    }
}

/// Quantises one token to bytes, a scale for every 32 columns, as token `index` of a tile of `width` tokens.
///
/// # Safety
/// The level must be available; `x` holds `columns` values (a multiple of 32); `tile` has room for `width` tokens of
/// that many columns, rounded up to whole chunks.
#[inline(always)]
pub(super) unsafe fn quantize_token<I: Isa, const BITS: usize, const MINIMUM: bool>(
    x: *const f32,
    columns: usize,
    tile: *mut u8,
    width: usize,
    index: usize,
) {
    for block in 0..columns.div_ceil(CHUNK) * 2 {
        // SAFETY: the caller vouches for the sizes; an odd last block is padding and reads nothing of `x`.
        unsafe {
            let scales = tile.add(block * width * ACTIVATION_BYTES).cast::<f32>();
            let corrections = scales.add(width).cast::<i32>();
            let values = corrections.add(width);
            let mut bytes = [[0; LANES]; 2];
            let (mut scale, mut sum) = (0.0, 0);
            if block * BLOCK < columns {
                let (first, second) = (I::load(x.add(block * BLOCK)), I::load(x.add(block * BLOCK + LANES)));
                let largest = I::largest(I::max(I::abs(first), I::abs(second)));
                // Below that, the inverse would overflow; such a block is zero.
                if largest > 1e-30 {
                    scale = largest / 127.0;
                    let inverse = I::splat(127.0 / largest);
                    let (first, first_sum) = I::to_bytes(I::mul(first, inverse));
                    let (second, second_sum) = I::to_bytes(I::mul(second, inverse));
                    bytes = [first, second];
                    sum = first_sum.wrapping_add(second_sum);
                }
            }
            let (offset, factor) = match BITS {
                4 if block % 2 == 1 && I::HIGH_NIBBLE_IN_PLACE => (-8 * 16, 1.0 / 16.0),
                4 => (-8, 1.0),
                5 => (-16, 1.0),
                _ => (-128, 1.0),
            };
            scales.add(index).write(scale * factor);
            let correction = match BITS {
                _ if MINIMUM => (scale * sum as f32).to_bits() as i32,
                8 => sum.wrapping_mul(offset),
                _ => I::correction(&bytes, sum, offset),
            };
            corrections.add(index).write(correction);
            let quads = bytes.as_flattened().as_chunks::<4>().0;
            for (j, quad) in quads.iter().enumerate() {
                values.add(j * width + index).cast::<[i8; 4]>().write(*quad);
            }
        }
    }
}

const fn encoding(bits: usize, minimum: bool) -> Encoding {
    match (bits, minimum) {
        (4, false) => Encoding::FourBit,
        (4, true) => Encoding::FourBitMinimum,
        (5, false) => Encoding::FiveBit,
        (8, false) => Encoding::EightBit,
        _ => panic!("no such encoding"),
    }
}

const fn starts_at_zero<I: Isa, const BITS: usize>() -> bool {
    BITS == 8 && I::SIGNED_BYTES
}

/// The same pointer, of which the compiler knows nothing.
#[inline(always)]
#[allow(clippy::pointers_in_nomem_asm_block)] // nothing is read through it
fn opaque(pointer: *const u8) -> *const u8 {
    #[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)))]
    {
        let mut pointer = pointer;
        // SAFETY: no instruction at all.
        unsafe { std::arch::asm!("/* {0} */", inout(reg) pointer, options(nomem, nostack, preserves_flags)) };
        pointer
    }
    #[cfg(not(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri))))]
    pointer
}
