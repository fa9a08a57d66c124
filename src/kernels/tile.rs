//! The inner loops of a matrix product: a few rows times a few tokens, and the activations' way into bytes.
//!
//! ```text
//! for each pass of one call, for each part of 64 columns, for each of its two blocks:
//!     for each run of the block's vectors:               one; two where every 16 columns have a scale
//!         dots[group][token] = what the offset of the weights asks for
//!         for j in the run:                              four columns at a time
//!             dots[group][token][row] += weights[group][j][row][0..4] · values[token][j][0..4]      bytes into i32
//!         sums[group][token][row] += dots[group][token][row] · weight_scale[group][row] · scale[token]
//!     sums[group][token][row] += minimum[group][row] · sum_of_values[token]                         if there are minima
//! ```
//!
//! The sums start from zero, from a bias, or from what the result is added to. All of `dots` and `sums` stay in registers;
//! that bounds groups × tokens.

mod part;
mod prepare;

use super::isa::{Isa, LANES};
use super::layout::{BLOCK, Encoding, HIGH_BITS, PART, VECTORS, WIDE_SCALES};
use part::{NestedBytes, Part};
pub(super) use prepare::{Prepare, join_bits, spread_scales};

/// The most tokens that a tile may have.
pub(super) const MAX_TOKENS: usize = 8;
/// The most groups of rows that a tile may have.
pub(super) const MAX_GROUPS: usize = 2;

/// The operands of a tile.
pub(super) struct Tile {
    /// The first group of rows; on 64 bytes.
    pub(super) weights: *const u8,
    /// Bytes from one group of rows to the next.
    pub(super) group_stride: usize,
    /// With one group, how many are multiplied, one after the other; else once.
    pub(super) passes: usize,
    /// The first group's scales that are multiplied out, where the encoding has such.
    pub(super) wide: *const u8,
    /// Bytes of them from one group to the next.
    pub(super) wide_stride: usize,
    /// The activations of the tile's tokens.
    pub(super) activations: *const u8,
    /// Chunks of a row.
    pub(super) chunks: usize,
    /// How many bytes ahead of the multiplication weights are asked for; zero: not at all.
    pub(super) ahead: usize,
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

/// Multiplies one tile; see the module's description. `E` is the encoding's place in [`Encoding::ALL`].
///
/// # Safety
/// The level must be available. `tile` must point to `GROUPS` groups of `chunks` chunks of this encoding, to the
/// activations of as many columns for `TOKENS` tokens, and to `TOKENS` rows of 16 · `GROUPS` values in `out` and, if
/// it is not null, in `start`.
#[inline(always)]
pub(super) unsafe fn multiply_tile<I: Isa, const E: usize, const GROUPS: usize, const TOKENS: usize>(
    tile: &Tile,
) {
    let encoding = const { Encoding::ALL[E] };
    // SAFETY: the caller vouches for the level and for the operands; every pointer below stays inside them.
    unsafe {
        // Known to be once where there are several groups: a loop would cost tiles of many tokens a hundredth.
        let passes = if GROUPS == 1 { tile.passes } else { 1 };
        for pass in 0..passes {
            let (first_group, first_row) = (pass * GROUPS, pass * GROUPS * LANES);
            let mut sums = [[I::splat(0.0); TOKENS]; GROUPS];
            if !tile.start.is_null() {
                let start = tile.start.add(first_row);
                for group in 0..GROUPS {
                    for token in 0..TOKENS {
                        sums[group][token] = I::load(start.add(token * tile.start_stride + group * LANES));
                    }
                }
            }
            let mut chunk = tile.weights.add(first_group * tile.group_stride);
            let mut wide = tile.wide.add(first_group * tile.wide_stride);
            let mut activations = tile.activations;
            let mut nested = [const { NestedBytes::room() }; GROUPS];
            for _ in 0..tile.chunks {
                let mut bytes = std::ptr::null();
                if encoding.has_six_bit_scales() {
                    for (group, nested) in nested.iter_mut().enumerate() {
                        nested.unpack::<I>(chunk.add(group * tile.group_stride));
                    }
                    // From memory, as in `quantize_token`.
                    bytes = opaque(nested.as_ptr().cast());
                }
                let mut part = Part {
                    head: chunk,
                    nested: bytes,
                    start: chunk.add(encoding.parts_offset()),
                    stride: tile.group_stride,
                    wide,
                    wide_stride: tile.wide_stride,
                    ahead: tile.ahead,
                };
                for _ in 0..encoding.parts() {
                    multiply_block::<I, E, GROUPS, TOKENS, 0>(&part, activations, &mut sums);
                    // The two blocks of nibbles share their loads. The compiler would keep all of them for the second
                    // block and spill; a pointer that it cannot see through makes it load again, from the first-level cache.
                    part.start = opaque(part.start);
                    activations = activations.add(TOKENS * encoding.activation_bytes());
                    multiply_block::<I, E, GROUPS, TOKENS, 1>(&part, activations, &mut sums);
                    activations = activations.add(TOKENS * encoding.activation_bytes());
                    part.start = part.start.add(encoding.part_bytes());
                    part.nested = part.nested.wrapping_add(NestedBytes::OF_PART);
                    if encoding.is_wide() {
                        part.wide = part.wide.add(WIDE_SCALES);
                    }
                }
                wide = part.wide;
                chunk = chunk.add(encoding.chunk_bytes());
            }
            let out = tile.out.add(first_row);
            for group in 0..GROUPS {
                for token in 0..TOKENS {
                    I::store(out.add(token * tile.out_stride + group * LANES), sums[group][token]);
                }
            }
        }
    }
}

/// Adds one block of 32 columns to `sums`.
///
/// # Safety
/// As [`multiply_tile`], `activations` at block `HALF` of the part.
#[inline(always)]
unsafe fn multiply_block<
    I: Isa,
    const E: usize,
    const GROUPS: usize,
    const TOKENS: usize,
    const HALF: usize,
>(
    part: &Part,
    activations: *const u8,
    sums: &mut [[I::Floats; TOKENS]; GROUPS],
) {
    let encoding = const { Encoding::ALL[E] };
    // SAFETY: as in `multiply_tile`.
    unsafe {
        if const { has_two_runs::<I>(Encoding::ALL[E]) } {
            multiply_run::<I, E, GROUPS, TOKENS, HALF, 0, 0, 4>(part, activations, sums);
            multiply_run::<I, E, GROUPS, TOKENS, HALF, 1, 4, 8>(part, activations, sums);
        } else {
            multiply_run::<I, E, GROUPS, TOKENS, HALF, 0, 0, 8>(part, activations, sums);
        }
        if encoding.has_minima() {
            let sums_of_values = activations.cast::<f32>().add(TOKENS);
            for group in 0..GROUPS {
                let minima = part.minima::<I, E, HALF>(group);
                for token in 0..TOKENS {
                    let sum = I::splat(*sums_of_values.add(token));
                    sums[group][token] = I::fma(minima, sum, sums[group][token]);
                }
            }
        }
    }
}

/// Whether the two halves of a block are summed one after the other: each has a scale, or their sums would not fit.
const fn has_two_runs<I: Isa>(encoding: Encoding) -> bool {
    encoding.scales() == 2 || I::ADDS_IN_16_BITS && encoding.has_minima() && encoding.bits() > 4
}

/// Adds the vectors `FROM..TO` of a block.
///
/// # Safety
/// As [`multiply_block`].
#[inline(always)]
unsafe fn multiply_run<
    I: Isa,
    const E: usize,
    const GROUPS: usize,
    const TOKENS: usize,
    const HALF: usize,
    const RUN: usize,
    const FROM: usize,
    const TO: usize,
>(
    part: &Part,
    activations: *const u8,
    sums: &mut [[I::Floats; TOKENS]; GROUPS],
) {
    let encoding = const { Encoding::ALL[E] };
    // SAFETY: as in `multiply_tile`.
    unsafe {
        let scales = activations.cast::<f32>();
        let corrections = scales.add(TOKENS).cast::<i32>();
        let values = corrections.add(TOKENS * encoding.scales());
        let starts_at_zero = encoding.has_minima() || encoding.bits() == 8 && I::SIGNED_BYTES;
        let run = if encoding.scales() == 2 { RUN } else { 0 };
        let correction = |token| if starts_at_zero { 0 } else { *corrections.add(run * TOKENS + token) };
        let mut dots = [[I::start(0); TOKENS]; GROUPS];
        for token in 0..TOKENS {
            for group in 0..GROUPS {
                dots[group][token] = I::start(correction(token));
            }
        }
        let weights = part.start.add(encoding.weights_offset());
        let block = Block { weights, group_stride: part.stride, ahead: part.ahead, values };
        I::dot_run::<E, HALF, FROM, TO, GROUPS, TOKENS>(&block, &mut dots);
        for group in 0..GROUPS {
            let weight_scales = part.scales::<I, E, HALF, RUN>(group);
            for token in 0..TOKENS {
                let dot = if encoding.bits() < 8 {
                    I::sums_of_nibbles(dots[group][token], correction(token))
                } else {
                    I::sums_of_bytes(dots[group][token])
                };
                let scale = I::mul(weight_scales, I::splat(*scales.add(token)));
                let sum = I::fma(dot, scale, sums[group][token]);
                // Pinned, because the compiler would put off these steps of all runs of a part, and spill the dots meanwhile.
                // Where masks take registers too, it has no room to do so, and orders them better itself.
                let is_full = encoding.has_high_bits() && !const { has_two_runs::<I>(Encoding::ALL[E]) };
                sums[group][token] = if is_full { sum } else { I::pin_floats(sum) };
            }
        }
    }
}

/// What the products of a block of 32 columns are made from.
pub(super) struct Block {
    /// The first group's weights, of both blocks of the part.
    weights: *const u8,
    group_stride: usize,
    ahead: usize,
    /// `[j: 0..8][tokens]`, four columns each.
    pub(super) values: *const i32,
}

impl Block {
    /// Asks for what a later block has in the place of vector `j`.
    ///
    /// # Safety
    /// The level must be available.
    #[inline(always)]
    pub(super) unsafe fn prefetch<I: Isa, const E: usize, const HALF: usize>(&self, j: usize) {
        // The first vectors are asked for with the first block, and what is beyond them with the second.
        let vector = HALF * VECTORS + j;
        if vector < const { 2 * Encoding::ALL[E].stored_bits() } && self.ahead > 0 {
            // SAFETY: the caller's promise; the address need not be valid.
            unsafe { I::prefetch(self.weights.wrapping_add(self.ahead + vector * 64)) };
        }
    }

    /// Vector `j` of a group's weights.
    ///
    /// # Safety
    /// The level must be available, and the vector exist.
    #[inline(always)]
    pub(super) unsafe fn weights<I: Isa, const E: usize, const HALF: usize>(
        &self,
        group: usize,
        j: usize,
    ) -> I::Weights {
        // SAFETY: the caller's promise.
        unsafe {
            let block = self.weights.add(group * self.group_stride);
            match (const { Encoding::ALL[E].stored_bits() }, HALF) {
                (4, 0) => I::low_nibbles(I::weights(block.add(j * 64))),
                (4, _) => I::high_nibbles(I::weights(block.add(j * 64))),
                (bits @ (5 | 6), half) => {
                    let both = I::weights(block.add(j * 64));
                    let nibbles = I::low_nibbles(if half == 0 { both } else { I::shift(both, 4) });
                    let high = block.add(HIGH_BITS);
                    if bits == 5 {
                        let places = if j < 4 { j as i32 } else { j as i32 - 8 };
                        let bits = I::shift(I::weights(high.add(half * 64)), places);
                        I::with_high_bits::<0x10>(nibbles, bits)
                    } else {
                        let places = [0, 2, -4, -2][j % 4];
                        let bits = I::shift(I::weights(high.add((2 * half + j / 4) * 64)), places);
                        I::with_high_bits::<0x30>(nibbles, bits)
                    }
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

/// Adds the products of the vectors `FROM..TO` to the sums of each group and token, one vector of weights after the other.
///
/// # Safety
/// The level must be available, and the block have these groups and tokens.
#[inline(always)]
pub(super) unsafe fn dot_run<
    I: Isa,
    const E: usize,
    const HALF: usize,
    const FROM: usize,
    const TO: usize,
    const GROUPS: usize,
    const TOKENS: usize,
>(
    block: &Block,
    dots: &mut [[I::Sums; TOKENS]; GROUPS],
) {
    // SAFETY: the caller's promise.
    unsafe {
        macro_rules! steps {
            ($($j:expr),*) => {
                $(if FROM <= $j && $j < TO {
                    dot_vector::<I, E, HALF, GROUPS, TOKENS>(block, dots, $j);
                })*
            };
        }
        // Written out: so the shifts are by constants, and a loop that ends after eight steps would cost tiles of several tokens
        // up to a tenth.
        steps!(0, 1, 2, 3, 4, 5, 6, 7);
    }
}

/// Adds the products of one vector of each group's weights.
///
/// # Safety
/// As [`dot_run`].
#[inline(always)]
unsafe fn dot_vector<I: Isa, const E: usize, const HALF: usize, const GROUPS: usize, const TOKENS: usize>(
    block: &Block,
    dots: &mut [[I::Sums; TOKENS]; GROUPS],
    j: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        if GROUPS == 1 {
            block.prefetch::<I, E, HALF>(j);
        }
        let mut vectors = [block.weights::<I, E, HALF>(0, j); GROUPS];
        for group in 1..GROUPS {
            vectors[group] = block.weights::<I, E, HALF>(group, j);
        }
        for token in 0..TOKENS {
            let value = block.value::<TOKENS>(j, token);
            for group in 0..GROUPS {
                let dot = &mut dots[group][token];
                // Pinned, because the compiler would take one sum after the other, each waiting for itself, and spill
                // the vectors that it keeps meanwhile.
                *dot = I::pin(if const { Encoding::ALL[E].bits() } < 8 {
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
/// that many columns, rounded up to whole parts.
#[inline(always)]
pub(super) unsafe fn quantize_token<I: Isa, const E: usize>(
    x: *const f32,
    columns: usize,
    tile: *mut u8,
    width: usize,
    index: usize,
) {
    let encoding = const { Encoding::ALL[E] };
    for block in 0..columns.div_ceil(PART) * 2 {
        // SAFETY: the caller vouches for the sizes; an odd last block is padding and reads nothing of `x`.
        unsafe {
            let scales = tile.add(block * width * encoding.activation_bytes()).cast::<f32>();
            let corrections = scales.add(width).cast::<i32>();
            let values = corrections.add(width * encoding.scales());
            let mut bytes = [[0; LANES]; 2];
            let (mut scale, mut bytes_sums) = (0.0, [0; 2]);
            if block * BLOCK < columns {
                let (first, second) = (I::load(x.add(block * BLOCK)), I::load(x.add(block * BLOCK + LANES)));
                let largest = I::largest(I::max(I::abs(first), I::abs(second)));
                // Below that, the inverse would overflow; such a block is zero.
                if largest > 1e-30 {
                    scale = largest / 127.0;
                    let inverse = I::splat(127.0 / largest);
                    (bytes, bytes_sums) = I::to_bytes([I::mul(first, inverse), I::mul(second, inverse)]);
                }
            }
            // The middle of high nibbles is 7.5.
            let has_half = encoding.is_plane();
            let (offset, and_half, factor) = match encoding.bits() {
                4 if block % 2 == 1 && I::HIGH_NIBBLE_IN_PLACE => {
                    (if has_half { -15 * 8 } else { -8 * 16 }, false, 1.0 / 16.0)
                }
                bits => (-(1 << (bits - 1)), has_half, 1.0),
            };
            scales.add(index).write(scale * factor);
            let correction = |bytes: &[[i8; LANES]], sum: i32| match encoding.bits() {
                _ if encoding.has_minima() => (scale * sum as f32).to_bits() as i32,
                8 => sum.wrapping_mul(offset),
                _ => I::correction(bytes, sum, offset, and_half),
            };
            if encoding.scales() == 2 {
                for half in 0..2 {
                    let correction = correction(&bytes[half..=half], bytes_sums[half]);
                    corrections.add(half * width + index).write(correction);
                }
            } else {
                let sum = bytes_sums[0].wrapping_add(bytes_sums[1]);
                corrections.add(index).write(correction(&bytes, sum));
            }
            // From memory: taken out of a register, each would be a shuffle, of which CPUs do one at a time.
            let quads = opaque(bytes.as_ptr().cast()).cast::<i32>();
            for j in 0..VECTORS {
                values.add(j * width + index).write(quads.add(j).read_unaligned());
            }
        }
    }
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
