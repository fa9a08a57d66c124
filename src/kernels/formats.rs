//! The GGML block formats that weights come in, and what their bytes mean.

use anyhow::{Result, ensure};
use half::{bf16, f16};

/// How the weights of a source are stored: GGML formats, row-major.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum SourceKind {
    F32,
    F16,
    BF16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q4K,
    Q5K,
    Q6K,
}

impl SourceKind {
    /// Every kind.
    pub const ALL: [SourceKind; 11] = [
        SourceKind::F32,
        SourceKind::F16,
        SourceKind::BF16,
        SourceKind::Q4_0,
        SourceKind::Q4_1,
        SourceKind::Q5_0,
        SourceKind::Q5_1,
        SourceKind::Q8_0,
        SourceKind::Q4K,
        SourceKind::Q5K,
        SourceKind::Q6K,
    ];

    /// Values and bytes of one block.
    pub const fn block(self) -> (usize, usize) {
        match self {
            SourceKind::F32 => (1, 4),
            SourceKind::F16 | SourceKind::BF16 => (1, 2),
            SourceKind::Q4_0 => (32, 18),
            SourceKind::Q4_1 => (32, 20),
            SourceKind::Q5_0 => (32, 22),
            SourceKind::Q5_1 => (32, 24),
            SourceKind::Q8_0 => (32, 34),
            SourceKind::Q4K => (256, 144),
            SourceKind::Q5K => (256, 176),
            SourceKind::Q6K => (256, 210),
        }
    }

    /// Bytes of `values` values, where they fill whole blocks.
    pub fn bytes(self, values: usize) -> Option<usize> {
        let (block_values, block_bytes) = self.block();
        if !values.is_multiple_of(block_values) {
            return None;
        }
        (values / block_values).checked_mul(block_bytes)
    }
}

/// Turns `bytes` into values.
///
/// # Errors
/// When `out` is not a whole number of blocks, or `bytes` is not as long as they are.
pub fn dequantize(kind: SourceKind, bytes: &[u8], out: &mut [f32]) -> Result<()> {
    ensure!(
        kind.bytes(out.len()) == Some(bytes.len()),
        "{} values of {kind:?} do not take {} bytes; is the file damaged?",
        out.len(),
        bytes.len()
    );
    let (block_values, block_bytes) = kind.block();
    for (block, out) in bytes.chunks_exact(block_bytes).zip(out.chunks_exact_mut(block_values)) {
        dequantize_block(kind, block, out);
    }
    Ok(())
}

fn dequantize_block(kind: SourceKind, block: &[u8], out: &mut [f32]) {
    match kind {
        SourceKind::F32 => out[0] = f32::from_le_bytes([block[0], block[1], block[2], block[3]]),
        SourceKind::F16 => out[0] = half_at(block, 0),
        SourceKind::BF16 => out[0] = bf16::from_le_bytes([block[0], block[1]]).to_f32(),
        _ => {
            for (index, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
                *out = part(kind, block, index).dequantize();
            }
        }
    }
}

/// 32 values of a quantised format: (value − offset) · scale + minimum.
pub(super) struct Part {
    /// Of the first 16 values and of the others.
    pub(super) scales: [f32; 2],
    pub(super) minimum: f32,
    pub(super) offset: u8,
    pub(super) values: [u8; 32],
}

impl Part {
    fn dequantize(&self) -> [f32; 32] {
        std::array::from_fn(|i| {
            let value = i16::from(self.values[i]) - i16::from(self.offset);
            f32::from(value) * self.scales[i / 16] + self.minimum
        })
    }
}

/// The `index`-th 32 values of a block.
///
/// # Panics
/// If the kind is a plain number.
pub(super) fn part(kind: SourceKind, block: &[u8], index: usize) -> Part {
    let of = |scale: f32, minimum, offset, values| Part { scales: [scale; 2], minimum, offset, values };
    match kind {
        SourceKind::F32 | SourceKind::F16 | SourceKind::BF16 => unreachable!("no quantised format"),
        SourceKind::Q4_0 => of(half_at(block, 0), 0.0, 8, four_bits(&block[2..])),
        SourceKind::Q4_1 => of(half_at(block, 0), half_at(block, 2), 0, four_bits(&block[4..])),
        SourceKind::Q5_0 => of(half_at(block, 0), 0.0, 16, five_bits(&block[2..6], &block[6..])),
        SourceKind::Q5_1 => of(half_at(block, 0), half_at(block, 2), 0, five_bits(&block[4..8], &block[8..])),
        SourceKind::Q8_0 => of(half_at(block, 0), 0.0, 128, std::array::from_fn(|i| block[2 + i] ^ 0x80)),
        SourceKind::Q4K => {
            let nested = nested(block, index);
            let bytes = &block[16 + index / 2 * 32..][..32];
            let values = std::array::from_fn(|i| bytes[i] >> (index % 2 * 4) & 15);
            of(nested.scale(), nested.minimum(), 0, values)
        }
        // The same, with 32 bytes of fifth bits before the nibbles.
        SourceKind::Q5K => {
            let nested = nested(block, index);
            let (high, low) = (&block[16..48], &block[48 + index / 2 * 32..][..32]);
            let values =
                std::array::from_fn(|i| low[i] >> (index % 2 * 4) & 15 | (high[i] >> index & 1) << 4);
            of(nested.scale(), nested.minimum(), 0, values)
        }
        SourceKind::Q6K => {
            // 128 bytes of low nibbles, 64 of high bit pairs, 16 `i8` scales, d: f16.
            let (of_block, scales) = scales_of_six_bits(block, index);
            let scales = scales.map(|scale| of_block.to_f32() * f32::from(scale));
            let (half, quarter) = (index / 4, index % 4);
            let (low, high) = (&block[half * 64 + quarter % 2 * 32..], &block[128 + half * 32..]);
            let values = std::array::from_fn(|i| {
                low[i] >> (quarter / 2 * 4) & 15 | (high[i] >> (quarter * 2) & 3) << 4
            });
            Part { scales, minimum: 0.0, offset: 32, values }
        }
    }
}

/// The scale and minimum of 32 values of Q4_K or Q5_K: of six bits each, times numbers for the 256 values of a block.
pub(super) struct Nested {
    /// As they are in the file; the minimum is taken away.
    pub(super) of_block: [f16; 2],
    pub(super) scale: u8,
    pub(super) minimum: u8,
}

impl Nested {
    fn scale(&self) -> f32 {
        self.of_block[0].to_f32() * f32::from(self.scale)
    }

    fn minimum(&self) -> f32 {
        -self.of_block[1].to_f32() * f32::from(self.minimum)
    }
}

/// What the `index`-th 32 values of a block of Q4_K or Q5_K have.
pub(super) fn nested(block: &[u8], index: usize) -> Nested {
    let packed = &block[4..16];
    let (scale, minimum) = if index < 4 {
        (packed[index] & 63, packed[index + 4] & 63)
    } else {
        let low = packed[index + 4];
        (low & 15 | packed[index - 4] >> 6 << 4, low >> 4 | packed[index] >> 6 << 4)
    };
    let of_block = [0, 2].map(|offset| f16::from_le_bytes([block[offset], block[offset + 1]]));
    Nested { of_block, scale, minimum }
}

/// The scales of the `index`-th 32 values of a block of Q6_K, for 16 each, and what they are times.
pub(super) fn scales_of_six_bits(block: &[u8], index: usize) -> (f16, [i8; 2]) {
    let of_block = f16::from_le_bytes([block[208], block[209]]);
    (of_block, [0, 1].map(|half| block[192 + 2 * index + half] as i8))
}

/// The first 16 values are the low nibbles.
fn four_bits(low: &[u8]) -> [u8; 32] {
    std::array::from_fn(|i| low[i % 16] >> (i / 16 * 4) & 15)
}

/// The same, with fifth bits in `high`.
fn five_bits(high: &[u8], low: &[u8]) -> [u8; 32] {
    let high = u32::from_le_bytes([high[0], high[1], high[2], high[3]]);
    let four = four_bits(low);
    std::array::from_fn(|i| four[i] | ((high >> i & 1) as u8) << 4)
}

fn half_at(bytes: &[u8], offset: usize) -> f32 {
    f16::from_le_bytes([bytes[offset], bytes[offset + 1]]).to_f32()
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::{SourceKind, dequantize};

    fn check(kind: SourceKind, block: &[u8], expected: impl Fn(usize) -> f32) {
        let mut out = vec![f32::NAN; kind.block().0];
        dequantize(kind, block, &mut out).unwrap();
        for (i, value) in out.iter().enumerate() {
            assert_eq!(*value, expected(i), "value {i}");
        }
    }

    fn half(value: f32) -> [u8; 2] {
        f16::from_f32(value).to_le_bytes()
    }

    /// Bytes 0x10, 0x21, 0x32, …: the low nibble counts up, the high one is one ahead.
    fn counting() -> Vec<u8> {
        (0..16_u8).map(|i| i | ((i + 1) & 15) << 4).collect()
    }

    fn counted(i: usize) -> f32 {
        if i < 16 { i as f32 } else { ((i - 16 + 1) & 15) as f32 }
    }

    #[test]
    fn plain_numbers() {
        check(SourceKind::F32, &1.25_f32.to_le_bytes(), |_| 1.25);
        check(SourceKind::F16, &half(-0.5), |_| -0.5);
        check(SourceKind::BF16, &[0x40, 0xc0], |_| -3.0);
    }

    #[test]
    fn four_bits() {
        let block = [&half(0.5)[..], &counting()].concat();
        check(SourceKind::Q4_0, &block, |i| (counted(i) - 8.0) * 0.5);
        let block = [&half(0.5)[..], &half(-3.0), &counting()].concat();
        check(SourceKind::Q4_1, &block, |i| counted(i) * 0.5 - 3.0);
    }

    #[test]
    fn five_bits() {
        // The fifth bit is set for every third value.
        let high: u32 = (0..32).filter(|i| i % 3 == 0).map(|i| 1 << i).sum();
        let fifth = |i: usize| if i.is_multiple_of(3) { 16.0 } else { 0.0 };
        let block = [&half(0.25)[..], &high.to_le_bytes(), &counting()].concat();
        check(SourceKind::Q5_0, &block, |i| (counted(i) + fifth(i) - 16.0) * 0.25);
        let block = [&half(0.25)[..], &half(2.0), &high.to_le_bytes(), &counting()].concat();
        check(SourceKind::Q5_1, &block, |i| (counted(i) + fifth(i)) * 0.25 + 2.0);
    }

    #[test]
    fn eight_bits() {
        let values: Vec<u8> = (0..32).map(|i| (i * 8 - 128) as i8 as u8).collect();
        check(SourceKind::Q8_0, &[&half(2.0)[..], &values].concat(), |i| (i as f32 * 8.0 - 128.0) * 2.0);
    }

    /// Scales 1, 2, 3, 4, 21, 22, 23, 24 and minima 5, 6, 7, 8, 41, 42, 43, 44 of eight sub-blocks.
    const SCALES: [f32; 8] = [1.0, 2.0, 3.0, 4.0, 21.0, 22.0, 23.0, 24.0];
    const MINIMA: [f32; 8] = [5.0, 6.0, 7.0, 8.0, 41.0, 42.0, 43.0, 44.0];

    fn packed_scales() -> Vec<u8> {
        let (scales, minima) = (SCALES.map(|scale| scale as u8), MINIMA.map(|minimum| minimum as u8));
        let mut bytes: Vec<u8> = (0..4).map(|i| scales[i] | scales[i + 4] >> 4 << 6).collect();
        bytes.extend((0..4).map(|i| minima[i] | minima[i + 4] >> 4 << 6));
        bytes.extend((4..8).map(|i| scales[i] & 15 | minima[i] << 4));
        bytes
    }

    #[test]
    fn four_bits_in_super_blocks() {
        let nibbles: Vec<u8> = (0..128).map(|i| (i * 7) as u8).collect();
        let block = [&half(0.5)[..], &half(0.25), &packed_scales(), &nibbles].concat();
        check(SourceKind::Q4K, &block, |i| {
            let (part, column) = (i / 32, i % 32);
            let byte = ((part / 2 * 32 + column) * 7) & 255;
            let q = if part % 2 == 0 { byte & 15 } else { byte >> 4 };
            0.5 * SCALES[part] * q as f32 - 0.25 * MINIMA[part]
        });
    }

    #[test]
    fn five_bits_in_super_blocks() {
        let nibbles: Vec<u8> = (0..128).map(|i| (i * 7) as u8).collect();
        let high: Vec<u8> = (0..32).map(|i| (i * 11) as u8).collect();
        let block = [&half(0.5)[..], &half(0.25), &packed_scales(), &high, &nibbles].concat();
        check(SourceKind::Q5K, &block, |i| {
            let (part, column) = (i / 32, i % 32);
            let byte = ((part / 2 * 32 + column) * 7) & 255;
            let q = if part % 2 == 0 { byte & 15 } else { byte >> 4 };
            let q = q + if ((column * 11) & 255) >> part & 1 == 1 { 16 } else { 0 };
            0.5 * SCALES[part] * q as f32 - 0.25 * MINIMA[part]
        });
    }

    #[test]
    fn six_bits_in_super_blocks() {
        let low: Vec<u8> = (0..128).map(|i| (i * 7) as u8).collect();
        let high: Vec<u8> = (0..64).map(|i| (i * 11) as u8).collect();
        let scales: Vec<u8> = (0..16).map(|i| (i - 5) as i8 as u8).collect();
        check(SourceKind::Q6K, &[&low[..], &high, &scales, &half(0.5)].concat(), |i| {
            // As the format's definition walks: halves of 128, four runs of 32 in each.
            let (half, run, l) = (i / 128, i / 32 % 4, i % 32);
            let byte = ((half * 64 + l + if run % 2 == 1 { 32 } else { 0 }) * 7) & 255;
            let nibble = if run < 2 { byte & 15 } else { byte >> 4 };
            let pair = (((half * 32 + l) * 11) & 255) >> (2 * run) & 3;
            let scale = (half * 8 + 2 * run + l / 16) as f32 - 5.0;
            0.5 * scale * ((nibble | pair << 4) as f32 - 32.0)
        });
    }

    #[test]
    fn a_wrong_length_is_an_error() {
        assert!(dequantize(SourceKind::Q4_0, &[0; 18], &mut [0.0; 31]).is_err());
        assert!(dequantize(SourceKind::Q4_0, &[0; 17], &mut [0.0; 32]).is_err());
        assert!(dequantize(SourceKind::Q4K, &[0; 72], &mut [0.0; 128]).is_err());
    }
}
