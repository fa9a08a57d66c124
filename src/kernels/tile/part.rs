//! Where the scales and minima of a part are, and how they become numbers.

use std::mem::MaybeUninit;

use half::f16;

use super::super::isa::{Isa, LANES};
use super::super::layout::{
    Encoding, MINIMA, NESTED_MINIMA, NESTED_NIBBLES, NESTED_PARTS, NESTED_UPPER, WIDE_MINIMA,
};

/// 64 columns of each group.
pub(super) struct Part {
    /// The first group's chunk, where nested scales have their numbers.
    pub(super) head: *const u8,
    /// The first group's scales and minima of the part, where the chunk has six bits of each.
    pub(super) nested: *const u8,
    /// The first group's part.
    pub(super) start: *const u8,
    /// Bytes from one group to the next.
    pub(super) stride: usize,
    /// The first group's scales and minima, where they are multiplied out.
    pub(super) wide: *const u8,
    /// Bytes of them from one group to the next.
    pub(super) wide_stride: usize,
    pub(super) ahead: usize,
}

impl Part {
    /// The scales of a run of vectors in block `HALF`.
    ///
    /// # Safety
    /// The level must be available, and the group exist.
    #[inline(always)]
    pub(super) unsafe fn scales<I: Isa, const E: usize, const HALF: usize, const RUN: usize>(
        &self,
        group: usize,
    ) -> I::Floats {
        let encoding = const { Encoding::ALL[E] };
        // SAFETY: the caller's promise.
        unsafe {
            if encoding.is_wide() {
                return I::load(self.wide.add(group * self.wide_stride).cast::<f32>().add(HALF * LANES));
            }
            let start = self.start.add(group * self.stride);
            let index = if encoding.scales() == 2 { 2 * HALF + RUN } else { HALF };
            if encoding.is_nested() {
                let head = self.head.add(group * self.stride);
                let scales =
                    if encoding.scales() == 2 { I::load(head.cast()) } else { I::load_half(head.cast()) };
                let bytes = if encoding.has_six_bit_scales() { self.nested(group) } else { start };
                return I::mul(scales, I::load_bytes(bytes.add(index * LANES).cast()));
            }
            if encoding.scales() == 2 {
                return I::load(start.cast::<f32>().add(index * LANES));
            }
            I::load_half(start.cast::<f16>().add(index * LANES))
        }
    }

    /// The minima of block `HALF`, where the encoding has them.
    ///
    /// # Safety
    /// As [`Part::scales`].
    #[inline(always)]
    pub(super) unsafe fn minima<I: Isa, const E: usize, const HALF: usize>(&self, group: usize) -> I::Floats {
        // SAFETY: the caller's promise.
        unsafe {
            if const { Encoding::ALL[E].is_wide() } {
                let minima = self.wide.add(group * self.wide_stride + WIDE_MINIMA);
                return I::load(minima.cast::<f32>().add(HALF * LANES));
            }
            let start = self.start.add(group * self.stride);
            if const { Encoding::ALL[E].is_nested() } {
                let minima = I::load_half(self.head.add(group * self.stride + NESTED_MINIMA).cast());
                let bytes = self.nested(group).add(NESTED_MINIMA + HALF * LANES);
                return I::mul(minima, I::load_bytes(bytes.cast()));
            }
            I::load_half(start.add(MINIMA).cast::<f16>().add(HALF * LANES))
        }
    }

    /// The bytes of a group's scales and minima, where the chunk has six bits of each.
    fn nested(&self, group: usize) -> *const u8 {
        self.nested.wrapping_add(group * size_of::<NestedBytes>())
    }
}

/// The scales and minima of a chunk in bytes, part after part, of which the matrix has six bits each.
#[repr(align(64))]
pub(super) struct NestedBytes([MaybeUninit<u8>; NESTED_PARTS * NestedBytes::OF_PART]);

impl NestedBytes {
    /// Bytes of a part.
    pub(super) const OF_PART: usize = 64;

    pub(super) const fn room() -> Self {
        NestedBytes([MaybeUninit::uninit(); NESTED_PARTS * NestedBytes::OF_PART])
    }

    /// Those of a part, by its number in the chunk.
    pub(super) fn of_part(&self, index: usize) -> *const u8 {
        self.0[index * NestedBytes::OF_PART..].as_ptr().cast()
    }

    /// Puts those of a chunk together.
    ///
    /// # Safety
    /// The level must be available, and `chunk` point to one of [`Encoding::FourBitNested`].
    #[inline(always)]
    pub(super) unsafe fn unpack<I: Isa>(&mut self, chunk: *const u8) {
        let to: *mut u8 = self.0.as_mut_ptr().cast();
        // SAFETY: the caller's promise; there is room for four vectors.
        unsafe {
            macro_rules! unpack {
                ($($part:literal),*) => {$(
                    let nibbles = I::weights(chunk.add(NESTED_NIBBLES + $part / 2 * 64));
                    let nibbles = I::low_nibbles(if $part % 2 == 0 { nibbles } else { I::shift(nibbles, 4) });
                    let upper = I::shift(I::weights(chunk.add(NESTED_UPPER)), 2 * $part - 4);
                    I::store_weights(to.add($part * Self::OF_PART), I::with_high_bits::<0x30>(nibbles, upper));
                )*};
            }
            // Written out, so that the shifts are by constants.
            unpack!(0, 1, 2, 3);
        }
    }
}
