//! What groups of rows are made into before they are multiplied with many tokens.

use super::super::isa::{Isa, LANES};
use super::super::layout::{Encoding, VECTORS, WIDE_MINIMA, WIDE_SCALES};
use super::Block;
use super::part::{NestedBytes, Part};

/// Makes of a group of `chunks` chunks what [`Encoding::for_many_tokens`] says: all of it, or what stands beside the weights.
pub(in super::super) type Prepare = unsafe fn(from: *const u8, chunks: usize, to: *mut u8);

/// Multiplies out the scales and minima of a group of `chunks` nested chunks, [`WIDE_SCALES`] bytes a part, for tiles of
/// [`Encoding::FourBitWide`]. They are those that nested tiles compute with, bit for bit.
///
/// # Safety
/// The level must be available, both must be valid for these sizes and lie on 64 bytes, and they must not overlap.
#[inline(always)]
pub(in super::super) unsafe fn spread_scales<I: Isa>(from: *const u8, chunks: usize, to: *mut u8) {
    const NESTED: Encoding = Encoding::FourBitNested;
    const E: usize = NESTED as usize;
    // SAFETY: the caller's promise.
    unsafe {
        for chunk in 0..chunks {
            let head = from.add(chunk * NESTED.chunk_bytes());
            let mut nested = NestedBytes::room();
            nested.unpack::<I>(head);
            for index in 0..NESTED.parts() {
                let start = head.add(NESTED.parts_offset() + index * NESTED.part_bytes());
                let nested = nested.of_part(index);
                let part = Part { head, nested, start, stride: 0, wide: start, wide_stride: 0, ahead: 0 };
                let to = to.add((chunk * NESTED.parts() + index) * WIDE_SCALES);
                let (scales, minima) = (to.cast::<f32>(), to.add(WIDE_MINIMA).cast::<f32>());
                I::store(scales, part.scales::<I, E, 0, 0>(0));
                I::store(scales.add(LANES), part.scales::<I, E, 1, 0>(0));
                I::store(minima, part.minima::<I, E, 0>(0));
                I::store(minima.add(LANES), part.minima::<I, E, 1>(0));
            }
        }
    }
}

/// Makes of a group of `chunks` chunks with bits above their nibbles one with a byte for each weight, nested scales multiplied
/// out: those that tiles compute with, bit for bit.
///
/// # Safety
/// As [`spread_scales`].
#[inline(always)]
pub(in super::super) unsafe fn join_bits<I: Isa, const E: usize>(
    from: *const u8,
    chunks: usize,
    to: *mut u8,
) {
    let encoding = const { Encoding::ALL[E] };
    let whole = const { Encoding::ALL[E].for_many_tokens().unwrap() };
    // SAFETY: the caller's promise.
    unsafe {
        for index in 0..chunks * encoding.parts() {
            let head = from.add(index / encoding.parts() * encoding.chunk_bytes());
            let parts = head.add(encoding.parts_offset());
            let start = parts.add(index % encoding.parts() * encoding.part_bytes());
            let to = to.add(index * whole.part_bytes());
            if encoding.is_nested() {
                let part =
                    Part { head, nested: start, start, stride: 0, wide: start, wide_stride: 0, ahead: 0 };
                let scales = to.cast::<f32>();
                I::store(scales, part.scales::<I, E, 0, 0>(0));
                I::store(scales.add(LANES), part.scales::<I, E, 0, 1>(0));
                I::store(scales.add(2 * LANES), part.scales::<I, E, 1, 0>(0));
                I::store(scales.add(3 * LANES), part.scales::<I, E, 1, 1>(0));
            } else {
                std::ptr::copy_nonoverlapping(start, to, encoding.weights_offset());
            }
            let weights = start.add(encoding.weights_offset());
            let block = Block { weights, group_stride: 0, ahead: 0, values: std::ptr::null() };
            let to = to.add(whole.weights_offset());
            macro_rules! join {
                ($($j:literal),*) => {$(
                    I::store_weights(to.add($j * 64), block.weights::<I, E, 0>(0, $j));
                    I::store_weights(to.add((VECTORS + $j) * 64), block.weights::<I, E, 1>(0, $j));
                )*};
            }
            // Written out, so that the shifts are by constants.
            join!(0, 1, 2, 3, 4, 5, 6, 7);
        }
    }
}
