//! Matrices of eight or six bits in two planes: the upper four bits can be multiplied alone, as a four-bit matrix, which reads
//! half the bytes, or two thirds.
//!
//! ```text
//! eight bits:  value = 16 · (high − 8) + low          high in 0…15, low in 0…15
//! six bits:    value =  4 · (high − 8) + low          low in 0…3
//! ```
//!
//! In a part of the second plane the vectors of a part stand behind each other in the bits of the same bytes: eight and eight of
//! them, or four times four.

use half::f16;
use half::slice::HalfFloatSliceExt;

use super::aligned::AlignedBytes;
use super::isa::LANES;
use super::layout::{BLOCK, Encoding, HIGH_BITS};
use super::matrix::PackedMatrix;
use super::{Kernels, SharedPointer};

/// Bytes of the scales of a part of either kind, and of what stands before four parts of six bits.
const SCALES: usize = 64;
/// Bytes of the weights of a part of a first plane.
const NIBBLES: usize = 512;
/// Bytes of a fourth of a part's weights, each a byte: in the second plane of six bits their bits stand at the same place of a
/// byte, in a matrix those above their nibbles are one vector.
const QUARTER: usize = 256;

/// Bytes of a part of the first plane of either kind.
const HIGH: usize = SCALES + NIBBLES;
const LOW_OF_EIGHT: usize = Encoding::EightBitPlanes.low_part_bytes();
const LOW_OF_SIX: usize = Encoding::SixBitPlanes.low_part_bytes();
const EIGHT: usize = Encoding::EightBit.part_bytes();
const SIX: usize = Encoding::SixBit.part_bytes();
const SIX_WHOLE: usize = Encoding::SixBitWhole.part_bytes();
const SCALES_OF_SIX_WHOLE: usize = Encoding::SixBitWhole.weights_offset();

const _: () = assert!(HIGH == Encoding::HighOfEight.part_bytes() && HIGH == Encoding::HighOfSix.part_bytes());
const _: () =
    assert!(SCALES == Encoding::HighOfEight.weights_offset() && SCALES == Encoding::SixBit.weights_offset());
const _: () = assert!(SCALES == Encoding::SixBit.parts_offset() && LOW_OF_SIX == QUARTER);

/// A group of both planes as [`Encoding::joined`] says.
#[inline(always)]
pub(super) fn join_planes(planes: Encoding, high: &[u8], low: &[u8], joined: &mut [u8]) {
    if planes == Encoding::EightBitPlanes {
        for ((high, low), joined) in
            high.as_chunks().0.iter().zip(low.as_chunks().0).zip(joined.as_chunks_mut().0)
        {
            join_eight_bits(high, low, joined);
        }
        return;
    }
    let chunks = high.as_chunks::<{ Encoding::HighOfSix.chunk_bytes() }>().0;
    let (mut low, mut joined) = (low.as_chunks().0.iter(), joined.as_chunks_mut().0.iter_mut());
    for chunk in chunks {
        let (head, parts) = chunk.split_first_chunk().expect("longer than that");
        for ((high, low), joined) in parts.as_chunks().0.iter().zip(&mut low).zip(&mut joined) {
            join_six_bits(head, high, low, joined);
        }
    }
}

#[inline(always)]
fn join_eight_bits(high: &[u8; HIGH], low: &[u8; LOW_OF_EIGHT], joined: &mut [u8; EIGHT]) {
    joined[..SCALES].copy_from_slice(&high[..SCALES]);
    let (first, second) = joined[SCALES..].split_at_mut(LOW_OF_EIGHT);
    for (((first, second), high), low) in first.iter_mut().zip(second).zip(&high[SCALES..]).zip(low) {
        *first = high << 4 | low & 0x0f;
        *second = high & 0xf0 | low >> 4;
    }
}

#[inline(always)]
fn join_six_bits(
    head: &[u8; SCALES],
    high: &[u8; HIGH],
    low: &[u8; LOW_OF_SIX],
    joined: &mut [u8; SIX_WHOLE],
) {
    let (scales, weights) = joined.split_at_mut(SCALES_OF_SIX_WHOLE);
    let factors = factors(head);
    for (scale, (index, byte)) in
        scales.as_chunks_mut::<4>().0.iter_mut().zip(high[..SCALES].iter().enumerate())
    {
        *scale = (factors[index % LANES] * f32::from(*byte as i8)).to_le_bytes();
    }
    let nibbles = &high[SCALES..];
    let mut join = |quarter: usize, shift: usize, low_shift: usize| {
        let nibbles = &nibbles[quarter % 2 * QUARTER..][..QUARTER];
        for ((weight, nibble), low) in weights[quarter * QUARTER..].iter_mut().zip(nibbles).zip(low) {
            *weight = (nibble >> shift & 15) << 2 | low >> low_shift & 3;
        }
    };
    join(0, 0, 0);
    join(1, 0, 2);
    join(2, 4, 4);
    join(3, 4, 6);
}

/// What the scales of four parts of six bits are times, for each row.
#[inline(always)]
fn factors(head: &[u8; SCALES]) -> [f32; LANES] {
    std::array::from_fn(|row| f32::from_le_bytes(std::array::from_fn(|i| head[4 * row + i])))
}

/// The other way.
fn split_eight_bits(whole: &[u8; EIGHT], high: &mut [u8; HIGH], low: &mut [u8; LOW_OF_EIGHT]) {
    high[..SCALES].copy_from_slice(&whole[..SCALES]);
    let (first, second) = whole[SCALES..].split_at(LOW_OF_EIGHT);
    for (((first, second), high), low) in first.iter().zip(second).zip(&mut high[SCALES..]).zip(low) {
        *high = first >> 4 | second & 0xf0;
        *low = first & 0x0f | second << 4;
    }
}

/// The other way, of a part of six bits as a matrix has them.
fn split_six_bits(whole: &[u8; SIX], high: &mut [u8; HIGH], low: &mut [u8; LOW_OF_SIX]) {
    high[..SCALES].copy_from_slice(&whole[..SCALES]);
    let (nibbles, bits) = whole[SCALES..].split_at(HIGH_BITS);
    for quarter in 0..4 {
        let (start, shift) = (quarter % 2 * QUARTER, quarter / 2 * 4);
        for i in 0..QUARTER {
            // See the layout: vector j has the bits from (4 + 2j) mod 8 on.
            let bits = bits[quarter * 64 + i % 64] >> ((4 + i / 64 * 2) % 8) & 3;
            let value = nibbles[start + i] >> shift & 15 | bits << 4;
            high[SCALES + start + i] |= value >> 2 << shift;
            low[i] |= (value & 3) << (2 * quarter);
        }
    }
}

impl PackedMatrix {
    /// The same weights in two planes, if they have eight or six bits: for a matrix of which mostly the largest products are
    /// wanted, see [`super::multiply_top`].
    #[must_use]
    pub fn into_planes(self) -> PackedMatrix {
        let Some(encoding) = self.encoding.in_planes() else { return self };
        let mut planes = AlignedBytes::zeroed(encoding.matrix_bytes(self.rows, self.cols));
        let high_bytes = self.rows.div_ceil(LANES) * encoding.group_bytes(self.cols);
        let (high, low) = planes.as_mut_slice().split_at_mut(high_bytes);
        if encoding == Encoding::EightBitPlanes {
            let parts = high.as_chunks_mut().0.iter_mut().zip(low.as_chunks_mut().0);
            for ((high, low), whole) in parts.zip(self.as_bytes().as_chunks().0) {
                split_eight_bits(whole, high, low);
            }
        } else {
            let chunks = high.as_chunks_mut::<{ Encoding::HighOfSix.chunk_bytes() }>().0;
            let wholes = self.as_bytes().as_chunks::<{ Encoding::SixBit.chunk_bytes() }>().0;
            let mut low = low.as_chunks_mut().0.iter_mut();
            for (high, whole) in chunks.iter_mut().zip(wholes) {
                high[..SCALES].copy_from_slice(&whole[..SCALES]);
                let parts = high[SCALES..].as_chunks_mut().0.iter_mut().zip(&mut low);
                for ((high, low), whole) in parts.zip(whole[SCALES..].as_chunks().0) {
                    split_six_bits(whole, high, low);
                }
            }
        }
        let matrix = PackedMatrix::from_packed(encoding, self.rows, self.cols, planes);
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
        let high = self.planes(group).0;
        // A block that is filled up has scales of zero.
        let mut add =
            |scales: [f32; LANES]| out.iter_mut().zip(scales).for_each(|(sum, scale)| *sum += scale * scale);
        if self.encoding == Encoding::EightBitPlanes {
            let parts = high.as_chunks::<HIGH>().0;
            for scales in parts.iter().flat_map(|part| part[..SCALES].as_chunks::<{ SCALES / 2 }>().0) {
                let halves: [f16; LANES] =
                    std::array::from_fn(|row| f16::from_le_bytes([scales[2 * row], scales[2 * row + 1]]));
                let mut scales = [0.0; LANES];
                halves.convert_to_f32_slice(&mut scales);
                add(scales);
            }
        } else {
            for chunk in high.as_chunks::<{ Encoding::HighOfSix.chunk_bytes() }>().0 {
                let (head, parts) = chunk.split_first_chunk().expect("longer than that");
                let (factors, parts) = (factors(head), parts.as_chunks::<HIGH>().0);
                for bytes in parts.iter().flat_map(|part| part[..SCALES].as_chunks::<LANES>().0) {
                    add(std::array::from_fn(|row| factors[row] * f32::from(bytes[row] as i8)));
                }
            }
        }
        let scales = (self.cols / BLOCK * self.encoding.scales()) as f32;
        out.iter_mut().for_each(|sum| *sum = (*sum / scales).sqrt());
    }
}
