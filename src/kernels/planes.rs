//! Eight-bit matrices in two planes of nibbles: the high ones can be multiplied alone, as a four-bit matrix, which reads
//! half the bytes.
//!
//! ```text
//! value = 16 · (high − 8) + low          high and low in 0…15
//! ```

use half::f16;
use half::slice::HalfFloatSliceExt;

use super::aligned::AlignedBytes;
use super::isa::LANES;
use super::layout::{BLOCK, Encoding, LOW_PLANE_PART};
use super::matrix::PackedMatrix;
use super::{Kernels, SharedPointer};

const SCALES: usize = 64;
const HIGH: usize = SCALES + LOW_PLANE_PART;
const WHOLE: usize = SCALES + 2 * LOW_PLANE_PART;

const _: () = assert!(HIGH == Encoding::HighNibbles.part_bytes() && WHOLE == Encoding::EightBit.part_bytes());

/// A part of both planes as an eight-bit one.
#[inline(always)]
pub(super) fn join_part(high: &[u8; HIGH], low: &[u8; LOW_PLANE_PART], whole: &mut [u8; WHOLE]) {
    whole[..SCALES].copy_from_slice(&high[..SCALES]);
    let (first, second) = whole[SCALES..].split_at_mut(LOW_PLANE_PART);
    for (((first, second), high), low) in first.iter_mut().zip(second).zip(&high[SCALES..]).zip(low) {
        *first = high << 4 | low & 0x0f;
        *second = high & 0xf0 | low >> 4;
    }
}

/// A group of both planes as an eight-bit one; see [`join_part`].
#[inline(always)]
pub(super) fn join_planes(high: &[u8], low: &[u8], whole: &mut [u8]) {
    let parts = high.as_chunks().0.iter().zip(low.as_chunks().0);
    for ((high, low), whole) in parts.zip(whole.as_chunks_mut().0) {
        join_part(high, low, whole);
    }
}

/// The other way.
fn split_part(whole: &[u8; WHOLE], high: &mut [u8; HIGH], low: &mut [u8; LOW_PLANE_PART]) {
    high[..SCALES].copy_from_slice(&whole[..SCALES]);
    let (first, second) = whole[SCALES..].split_at(LOW_PLANE_PART);
    for (((first, second), high), low) in first.iter().zip(second).zip(&mut high[SCALES..]).zip(low) {
        *high = first >> 4 | second & 0xf0;
        *low = first & 0x0f | second << 4;
    }
}

impl PackedMatrix {
    /// The same weights in two planes, if they have eight bits: for a matrix of which mostly the largest products are
    /// wanted, see [`super::multiply_top`].
    #[must_use]
    pub fn into_planes(self) -> PackedMatrix {
        if self.encoding != Encoding::EightBit {
            return self;
        }
        let mut planes = AlignedBytes::zeroed(Encoding::EightBitPlanes.matrix_bytes(self.rows, self.cols));
        let high_bytes = Encoding::HighNibbles.matrix_bytes(self.rows, self.cols);
        let (high, low) = planes.as_mut_slice().split_at_mut(high_bytes);
        let parts = high.as_chunks_mut().0.iter_mut().zip(low.as_chunks_mut().0);
        for ((high, low), whole) in parts.zip(self.as_bytes().as_chunks().0) {
            split_part(whole, high, low);
        }
        let matrix = PackedMatrix::from_packed(Encoding::EightBitPlanes, self.rows, self.cols, planes);
        matrix.with_bias_of(self)
    }

    /// The scale of each row, whole groups of them: the root mean square over its blocks. Computed when they are asked for
    /// first.
    pub(super) fn steps(&self, kernels: &Kernels) -> &[f32] {
        self.steps.get_or_init(|| {
            let groups = self.rows.div_ceil(LANES);
            let mut steps = vec![0.0; groups * LANES];
            let start = SharedPointer(steps.as_mut_ptr());
            kernels.pool.run(groups, &|group| {
                // SAFETY: each task has its own group.
                let out = unsafe { std::slice::from_raw_parts_mut(start.get().add(group * LANES), LANES) };
                self.steps_of_group(group, out);
            });
            steps
        })
    }

    fn steps_of_group(&self, group: usize, out: &mut [f32]) {
        let (parts, _) = self.planes(group).0.as_chunks::<HIGH>();
        // A block that is filled up has scales of zero.
        for scales in parts.iter().flat_map(|part| part[..SCALES].as_chunks::<{ SCALES / 2 }>().0) {
            let halves: [f16; LANES] =
                std::array::from_fn(|row| f16::from_le_bytes([scales[2 * row], scales[2 * row + 1]]));
            let mut scales = [0.0; LANES];
            halves.convert_to_f32_slice(&mut scales);
            out.iter_mut().zip(scales).for_each(|(sum, scale)| *sum += scale * scale);
        }
        let blocks = (self.cols / BLOCK) as f32;
        out.iter_mut().for_each(|sum| *sum = (*sum / blocks).sqrt());
    }
}
