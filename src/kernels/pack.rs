//! From the formats of files to the packed layout, in parallel.

use anyhow::{Context, Result, ensure};
use half::f16;

use super::formats::{SourceKind, dequantize, five_bits, nibbles};
use super::isa::LANES;
use super::layout::{AlignedBytes, BLOCK, CHUNK, Encoding, FIFTH, MINIMA, VECTORS};
use super::matrix::PackedMatrix;
use super::{Kernels, SharedPointer};

/// 32 columns of a row, as they are packed.
struct Block {
    scale: f16,
    minimum: f16,
    /// 0…15, 0…31, or the value + 128.
    values: [u8; BLOCK],
}

impl PackedMatrix {
    /// Packs a matrix of `rows` rows of `cols` values, stored as `kind`.
    ///
    /// Q4_0, Q4_1, Q4_K, Q5_0 and Q8_0 keep their values; the others become the nearest 8-bit values with a scale for every 32. Scales and minima become `f16`.
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

        let encoding = match kind {
            SourceKind::Q4_0 => Encoding::FourBit,
            SourceKind::Q4_1 | SourceKind::Q4K => Encoding::FourBitMinimum,
            SourceKind::Q5_0 => Encoding::FiveBit,
            _ => Encoding::EightBit,
        };
        let group_bytes = cols.div_ceil(CHUNK) * encoding.chunk_bytes();
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

/// The `index`-th 32 values of a row.
fn read_block(kind: SourceKind, row: &[u8], index: usize) -> Block {
    let (block_values, block_bytes) = kind.block();
    match kind {
        SourceKind::Q4_0 | SourceKind::Q4_1 | SourceKind::Q4K => {
            let parts = block_values / BLOCK;
            let block = &row[index / parts * block_bytes..][..block_bytes];
            let part = nibbles(kind, block, index % parts);
            Block {
                scale: f16::from_f32(part.scale),
                minimum: f16::from_f32(part.minimum),
                values: part.values,
            }
        }
        SourceKind::Q8_0 => {
            let block = &row[index * block_bytes..][..block_bytes];
            Block {
                scale: f16::from_le_bytes([block[0], block[1]]),
                minimum: f16::ZERO,
                values: std::array::from_fn(|i| block[2 + i] ^ 0x80),
            }
        }
        SourceKind::Q5_0 => {
            let block = &row[index * block_bytes..][..block_bytes];
            Block {
                scale: f16::from_le_bytes([block[0], block[1]]),
                minimum: f16::ZERO,
                values: five_bits(&block[2..6], &block[6..22]),
            }
        }
        SourceKind::F32 | SourceKind::F16 | SourceKind::BF16 | SourceKind::Q5_1 => {
            let mut values = [0.0; BLOCK];
            let bytes = BLOCK / block_values * block_bytes;
            expect_dequantize(kind, &row[index * bytes..][..bytes], &mut values);
            nearest_eight_bit(&values)
        }
        SourceKind::Q5K | SourceKind::Q6K => {
            let parts = block_values / BLOCK;
            let mut values = [0.0; 256];
            expect_dequantize(kind, &row[index / parts * block_bytes..][..block_bytes], &mut values);
            let part = values.as_chunks::<BLOCK>().0[index % parts];
            nearest_eight_bit(&part)
        }
    }
}

fn expect_dequantize(kind: SourceKind, bytes: &[u8], out: &mut [f32]) {
    dequantize(kind, bytes, out).expect("whole blocks");
}

/// The nearest 8-bit values with one scale.
fn nearest_eight_bit(values: &[f32; BLOCK]) -> Block {
    let largest = values.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let scale = f16::from_f32((largest / 127.0).min(f16::MAX.to_f32()));
    Block { scale, minimum: f16::ZERO, values: to_steps(values, scale) }
}

/// Values as multiples of `scale`, plus 128.
fn to_steps(values: &[f32; BLOCK], scale: f16) -> [u8; BLOCK] {
    let scale = scale.to_f32();
    if scale == 0.0 {
        return [128; BLOCK];
    }
    values.map(|value| ((value / scale).round_ties_even().clamp(-127.0, 127.0) as i8 as u8) ^ 0x80)
}

/// Writes 32 columns of row `row` of a group; `column` counts blocks.
fn write_block(encoding: Encoding, group: &mut [u8], row: usize, column: usize, block: &Block) {
    let half = column % 2;
    let chunk = &mut group[column / 2 * encoding.chunk_bytes()..][..encoding.chunk_bytes()];
    let scale = (half * LANES + row) * 2;
    chunk[scale..][..2].copy_from_slice(&block.scale.to_le_bytes());
    if encoding == Encoding::FourBitMinimum {
        chunk[MINIMA + scale..][..2].copy_from_slice(&block.minimum.to_le_bytes());
    }
    let weights = &mut chunk[encoding.weights_offset()..];
    if encoding == Encoding::FiveBit {
        let fifth = &mut weights[FIFTH + half * 64 + 4 * row..][..4];
        for (place, value) in block.values.iter().enumerate() {
            fifth[place % 4] |= value >> 4 << ((4 + place / 4) % 8);
        }
    }
    for (j, quad) in block.values.as_chunks::<4>().0.iter().enumerate() {
        match encoding {
            Encoding::EightBit => weights[(half * VECTORS + j) * 64 + 4 * row..][..4].copy_from_slice(quad),
            Encoding::FourBit | Encoding::FourBitMinimum | Encoding::FiveBit => {
                for (byte, value) in weights[j * 64 + 4 * row..][..4].iter_mut().zip(quad) {
                    *byte |= (value & 15) << (4 * half);
                }
            }
        }
    }
}

/// The other way: 32 columns of a row, `column` counting blocks.
pub(super) fn unpack_block(
    encoding: Encoding,
    group: &[u8],
    row: usize,
    column: usize,
    out: &mut [f32; BLOCK],
) {
    let half = column % 2;
    let chunk = &group[column / 2 * encoding.chunk_bytes()..][..encoding.chunk_bytes()];
    let half_float = |offset: usize| {
        let offset = offset + (half * LANES + row) * 2;
        f16::from_le_bytes([chunk[offset], chunk[offset + 1]]).to_f32()
    };
    let weights = &chunk[encoding.weights_offset()..];
    let scale = half_float(0);
    for (i, out) in out.iter_mut().enumerate() {
        let place = i / 4 * 64 + 4 * row + i % 4;
        *out = match encoding {
            Encoding::FourBit => (f32::from(weights[place] >> (4 * half) & 15) - 8.0) * scale,
            Encoding::FourBitMinimum => {
                f32::from(weights[place] >> (4 * half) & 15) * scale + half_float(MINIMA)
            }
            Encoding::FiveBit => {
                let fifth = weights[FIFTH + half * 64 + 4 * row + i % 4] >> ((4 + i / 4) % 8) & 1;
                (f32::from(weights[place] >> (4 * half) & 15 | fifth << 4) - 16.0) * scale
            }
            Encoding::EightBit => f32::from((weights[half * VECTORS * 64 + place] ^ 0x80) as i8) * scale,
        };
    }
}
