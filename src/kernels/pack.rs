//! From the formats of files to the packed layout, in parallel.

use anyhow::{Context, Result, ensure};
use half::f16;

use super::aligned::AlignedBytes;
use super::formats::{SourceKind, dequantize, nested, part, scales_of_six_bits};
use super::isa::LANES;
use super::layout::{
    BLOCK, Encoding, HIGH_BITS, MINIMA, NESTED_MINIMA, NESTED_NIBBLES, NESTED_UPPER, PART, VECTORS,
};
use super::matrix::PackedMatrix;
use super::{Kernels, SharedPointer};

/// 32 columns of a row, as they are packed.
struct Block {
    /// Where it is nested, that of 256 columns.
    scale: f16,
    minimum: f16,
    /// The integers that they are times, where they are nested; of six bits the scales of the first 16 columns and of the others.
    nested: [u8; 2],
    /// 0…15, 0…31, 0…63, or the value + 128.
    values: [u8; BLOCK],
}

impl PackedMatrix {
    /// Packs a matrix of `rows` rows of `cols` values, stored as `kind`.
    ///
    /// Quantised formats keep their values, plain numbers become the nearest 8-bit values with a scale for every 32. Scales and
    /// minima become `f16`.
    ///
    /// # Errors
    /// When there are no rows or columns, a row is not a whole number of 32 values or of the format's blocks, or
    /// `bytes` has another length than the shape asks for.
    pub fn pack(
        kernels: &Kernels,
        kind: SourceKind,
        rows: usize,
        cols: usize,
        bytes: &[u8],
    ) -> Result<PackedMatrix> {
        ensure!(rows > 0 && cols > 0, "a matrix of {rows} × {cols} has no values");
        ensure!(cols.is_multiple_of(BLOCK), "a row of {cols} values does not divide into blocks of {BLOCK}");
        let row_bytes = kind
            .bytes(cols)
            .with_context(|| format!("a row of {cols} values does not divide into blocks of {kind:?}"))?;
        ensure!(
            rows.checked_mul(row_bytes) == Some(bytes.len()),
            "{rows} × {cols} values of {kind:?} do not take {} bytes; is the file damaged?",
            bytes.len()
        );

        let encoding = encoding_of(kind);
        let group_bytes = encoding.group_bytes(cols);
        let groups = rows.div_ceil(LANES);
        let mut packed = AlignedBytes::zeroed(groups * group_bytes);
        let start = SharedPointer(packed.as_mut_ptr());
        kernels.pool.run(groups, &|group| {
            // SAFETY: the buffer holds `groups` times `group_bytes` bytes, and each task has its own group.
            let out =
                unsafe { std::slice::from_raw_parts_mut(start.get().add(group * group_bytes), group_bytes) };
            for row in group * LANES..rows.min((group + 1) * LANES) {
                let source = &bytes[row * row_bytes..][..row_bytes];
                for column in 0..cols / BLOCK {
                    write_block(encoding, out, row % LANES, column, &read_block(kind, source, column));
                }
            }
        });
        Ok(PackedMatrix::from_packed(encoding, rows, cols, packed))
    }
}

/// What a format is packed as. Rows of Q4_K are whole chunks of nested scales, as they are whole blocks.
const fn encoding_of(kind: SourceKind) -> Encoding {
    match kind {
        SourceKind::Q4_0 => Encoding::FourBit,
        SourceKind::Q4_1 => Encoding::FourBitMinimum,
        SourceKind::Q4K => Encoding::FourBitNested,
        SourceKind::Q5_0 => Encoding::FiveBit,
        SourceKind::Q5_1 | SourceKind::Q5K => Encoding::FiveBitMinimum,
        SourceKind::Q6K => Encoding::SixBit,
        SourceKind::Q8_0 | SourceKind::F32 | SourceKind::F16 | SourceKind::BF16 => Encoding::EightBit,
    }
}

/// The `index`-th 32 values of a row.
fn read_block(kind: SourceKind, row: &[u8], index: usize) -> Block {
    let (block_values, block_bytes) = kind.block();
    if block_values == 1 {
        let mut values = [0.0; BLOCK];
        let bytes = BLOCK * block_bytes;
        dequantize(kind, &row[index * bytes..][..bytes], &mut values).expect("whole blocks");
        return nearest_eight_bit(&values);
    }
    let parts = block_values / BLOCK;
    let block = &row[index / parts * block_bytes..][..block_bytes];
    let part = part(kind, block, index % parts);
    let (scale, minimum, nested) = match encoding_of(kind) {
        Encoding::SixBit => {
            let (scale, bytes) = scales_of_six_bits(block, index % parts);
            (scale, f16::ZERO, bytes.map(|byte| byte as u8))
        }
        Encoding::FourBitNested => {
            let nested = nested(block, index % parts);
            (nested.of_block[0], -nested.of_block[1], [nested.scale, nested.minimum])
        }
        _ => (to_half(part.scales[0]), to_half(part.minimum), [0; 2]),
    };
    Block { scale, minimum, nested, values: part.values }
}

/// The nearest finite number of half precision.
fn to_half(value: f32) -> f16 {
    f16::from_f32(value.clamp(f16::MIN.to_f32(), f16::MAX.to_f32()))
}

/// The nearest 8-bit values with one scale.
fn nearest_eight_bit(values: &[f32; BLOCK]) -> Block {
    let largest = values.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let scale = to_half(largest / 127.0);
    Block { scale, minimum: f16::ZERO, nested: [0; 2], values: to_steps(values, scale) }
}

/// Values as multiples of `scale`, plus 128.
fn to_steps(values: &[f32; BLOCK], scale: f16) -> [u8; BLOCK] {
    let scale = scale.to_f32();
    if scale == 0.0 {
        return [128; BLOCK];
    }
    values.map(|value| ((value / scale).round_ties_even().clamp(-127.0, 127.0) as i8 as u8) ^ 0x80)
}

/// Where things of 32 columns of a row are in its group.
struct Place {
    encoding: Encoding,
    /// Of the chunk and of the part.
    chunk: usize,
    part: usize,
    /// The part's number in its chunk.
    index: usize,
    /// The block of the part.
    half: usize,
    row: usize,
}

impl Place {
    /// `column` counts blocks.
    fn new(encoding: Encoding, row: usize, column: usize) -> Place {
        let part = column * BLOCK / PART;
        let (chunk, index) = (part / encoding.parts() * encoding.chunk_bytes(), part % encoding.parts());
        let part = chunk + encoding.parts_offset() + index * encoding.part_bytes();
        Place { encoding, chunk, part, index, half: column % 2, row }
    }

    /// The scale of the block, or of 256 columns where it is nested.
    fn scale(&self) -> usize {
        match (self.encoding.is_nested(), self.has_two_scales()) {
            (true, true) => self.chunk + 4 * self.row,
            (true, false) => self.chunk + 2 * self.row,
            (false, _) => self.part + (self.half * LANES + self.row) * 2,
        }
    }

    /// Whether every 16 columns have a scale; what these are times is an `f32` then.
    fn has_two_scales(&self) -> bool {
        self.encoding.scales() == 2
    }

    fn minimum(&self) -> usize {
        if self.encoding.is_nested() {
            return self.chunk + NESTED_MINIMA + 2 * self.row;
        }
        self.part + MINIMA + (self.half * LANES + self.row) * 2
    }

    /// Where a nested scale and minimum, or both scales, are: bits from the lowest on, as bytes, how far to the left they stand
    /// there, and masks of as many.
    fn nested(&self) -> [[(usize, usize, u8); 2]; 2] {
        if self.encoding.has_six_bit_scales() {
            return [0, NESTED_MINIMA].map(|offset| {
                let place = self.chunk + offset + self.half * LANES + self.row;
                let nibble = place + NESTED_NIBBLES + self.index / 2 * 64;
                [(nibble, self.index % 2 * 4, 15), (place + NESTED_UPPER, 2 * self.index, 3)]
            });
        }
        [0, 1].map(|half| {
            let byte = self.part + (2 * self.half + half) * LANES + self.row;
            [(byte, 0, 15), (byte, 4, 15)]
        })
    }

    /// Column `i` of the 32, or its nibble.
    fn value(&self, i: usize) -> usize {
        let block = if self.encoding.bits() == 8 { self.half * VECTORS } else { 0 };
        self.part + self.encoding.weights_offset() + (block + i / 4) * 64 + 4 * self.row + i % 4
    }

    /// The bits of column `i` above its nibble, how far to the left they stand there, and a mask of as many.
    fn high(&self, i: usize) -> (usize, usize, u8) {
        let j = i / 4;
        let (vector, shift, mask) = match self.encoding.bits() {
            5 => (self.half, (4 + j) % 8, 1),
            _ => (2 * self.half + j / 4, (4 + 2 * j) % 8, 3),
        };
        let start = self.part + self.encoding.weights_offset() + HIGH_BITS;
        (start + vector * 64 + 4 * self.row + i % 4, shift, mask)
    }
}

/// Writes 32 columns of row `row` of a group; `column` counts blocks.
fn write_block(encoding: Encoding, group: &mut [u8], row: usize, column: usize, block: &Block) {
    let place = Place::new(encoding, row, column);
    if place.has_two_scales() {
        group[place.scale()..][..4].copy_from_slice(&block.scale.to_f32().to_le_bytes());
    } else {
        group[place.scale()..][..2].copy_from_slice(&block.scale.to_le_bytes());
    }
    if encoding.has_minima() {
        group[place.minimum()..][..2].copy_from_slice(&block.minimum.to_le_bytes());
    }
    if encoding.is_nested() {
        for ([low, high], value) in place.nested().into_iter().zip(block.nested) {
            for ((byte, shift, mask), bits) in [(low, value), (high, value >> 4)] {
                group[byte] |= (bits & mask) << shift;
            }
        }
    }
    let start = place.value(0);
    for (j, quad) in block.values.as_chunks::<4>().0.iter().enumerate() {
        let bytes = &mut group[start + 64 * j..][..4];
        if encoding.bits() == 8 {
            bytes.copy_from_slice(quad);
        } else {
            bytes.iter_mut().zip(quad).for_each(|(byte, value)| *byte |= (value & 15) << (4 * place.half));
        }
    }
    if encoding.has_high_bits() {
        for (i, value) in block.values.iter().enumerate() {
            let (byte, shift, _) = place.high(i);
            group[byte] |= value >> 4 << shift;
        }
    }
}

/// The other way: 32 columns of a row, `column` counting blocks; of planes, `group` is that of the first and `low` that of the
/// second.
pub(super) fn unpack_block(
    encoding: Encoding,
    group: &[u8],
    low: &[u8],
    row: usize,
    column: usize,
    out: &mut [f32; BLOCK],
) {
    let place = Place::new(encoding.high_plane().unwrap_or(encoding), row, column);
    let half_float = |offset: usize| f16::from_le_bytes([group[offset], group[offset + 1]]).to_f32();
    let nested = || {
        let bits = |(byte, shift, mask): (usize, usize, u8)| group[byte] >> shift & mask;
        place.nested().map(|[low, high]| bits(low) | bits(high) << 4)
    };
    let (scales, minimum) = match encoding {
        _ if place.has_two_scales() => {
            let scale = f32::from_le_bytes(std::array::from_fn(|i| group[place.scale() + i]));
            (nested().map(|byte| scale * f32::from(byte as i8)), 0.0)
        }
        Encoding::FourBitNested => {
            let [scale, minimum] = nested().map(f32::from);
            ([half_float(place.scale()) * scale; 2], half_float(place.minimum()) * minimum)
        }
        _ if encoding.has_minima() => ([half_float(place.scale()); 2], half_float(place.minimum())),
        _ => ([half_float(place.scale()); 2], 0.0),
    };
    let offset = if encoding.has_minima() { 0 } else { 1 << (encoding.bits() - 1) };
    for (i, out) in out.iter_mut().enumerate() {
        let mut value = group[place.value(i)];
        if place.encoding.bits() < 8 {
            value = value >> (4 * place.half) & 15;
        }
        if place.encoding.has_high_bits() {
            let (byte, shift, mask) = place.high(i);
            value |= (group[byte] >> shift & mask) << 4;
        }
        let low_bits = encoding.low_bits();
        if low_bits > 0 {
            let vector = place.half * VECTORS + i / 4;
            let part = column * BLOCK / PART * encoding.low_part_bytes();
            let byte = low[part + vector % (2 * low_bits) * 64 + 4 * row + i % 4];
            let mask = (1 << low_bits) - 1;
            value = value << low_bits | byte >> (vector / (2 * low_bits) * low_bits) & mask;
        }
        *out = (f32::from(value) - offset as f32) * scales[i / 16] + minimum;
    }
}
