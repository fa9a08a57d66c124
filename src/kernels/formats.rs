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
        SourceKind::Q4_0 | SourceKind::Q4_1 => {
            let part = nibbles(kind, block, 0);
            out.iter_mut().zip(part.values).for_each(|(out, q)| {
                let q = f32::from(q);
                *out = if kind == SourceKind::Q4_0 {
                    (q - 8.0) * part.scale
                } else {
                    q * part.scale + part.minimum
                };
            });
        }
        SourceKind::Q4K => {
            for (index, out) in out.chunks_exact_mut(32).enumerate() {
                let part = nibbles(kind, block, index);
                out.iter_mut()
                    .zip(part.values)
                    .for_each(|(out, q)| *out = f32::from(q) * part.scale + part.minimum);
            }
        }
        SourceKind::Q5_0 => {
            let scale = half_at(block, 0);
            let values = five_bits(&block[2..6], &block[6..22]);
            out.iter_mut().zip(values).for_each(|(out, q)| *out = (f32::from(q) - 16.0) * scale);
        }
        SourceKind::Q5_1 => {
            let (scale, minimum) = (half_at(block, 0), half_at(block, 2));
            let values = five_bits(&block[4..8], &block[8..24]);
            out.iter_mut().zip(values).for_each(|(out, q)| *out = f32::from(q) * scale + minimum);
        }
        SourceKind::Q8_0 => {
            let scale = half_at(block, 0);
            out.iter_mut().zip(&block[2..]).for_each(|(out, &q)| *out = f32::from(q as i8) * scale);
        }
        SourceKind::Q5K => dequantize_q5k(block, out),
        SourceKind::Q6K => dequantize_q6k(block, out),
    }
}

/// 32 values of a 4-bit format.
pub(super) struct Nibbles {
    pub(super) scale: f32,
    /// Zero for Q4_0, whose values have an offset of 8 instead.
    pub(super) minimum: f32,
    pub(super) values: [u8; 32],
}

/// The `index`-th 32 values of a block of Q4_0, Q4_1 or Q4_K.
pub(super) fn nibbles(kind: SourceKind, block: &[u8], index: usize) -> Nibbles {
    match kind {
        SourceKind::Q4K => {
            let (scale, minimum) = scale_and_minimum(&block[4..16], index);
            let bytes = &block[16 + index / 2 * 32..][..32];
            let shift = index % 2 * 4;
            Nibbles {
                scale: half_at(block, 0) * f32::from(scale),
                minimum: -half_at(block, 2) * f32::from(minimum),
                values: std::array::from_fn(|i| bytes[i] >> shift & 15),
            }
        }
        _ => {
            let offset = if kind == SourceKind::Q4_1 { 4 } else { 2 };
            Nibbles {
                scale: half_at(block, 0),
                minimum: if kind == SourceKind::Q4_1 { half_at(block, 2) } else { 0.0 },
                values: std::array::from_fn(|i| block[offset + i % 16] >> (i / 16 * 4) & 15),
            }
        }
    }
}

/// 32 values of which `high` holds the fifth bits.
pub(super) fn five_bits(high: &[u8], low: &[u8]) -> [u8; 32] {
    let high = u32::from_le_bytes([high[0], high[1], high[2], high[3]]);
    std::array::from_fn(|i| low[i % 16] >> (i / 16 * 4) & 15 | ((high >> i & 1) as u8) << 4)
}

/// The 6-bit scale and minimum of sub-block `index` of Q4_K and Q5_K.
fn scale_and_minimum(packed: &[u8], index: usize) -> (u8, u8) {
    if index < 4 {
        return (packed[index] & 63, packed[index + 4] & 63);
    }
    let low = packed[index + 4];
    (low & 15 | packed[index - 4] >> 6 << 4, low >> 4 | packed[index] >> 6 << 4)
}

/// d, dmin: f16; 8 × (scale, minimum) in 12 bytes; 32 bytes of fifth bits; 128 bytes of nibbles.
fn dequantize_q5k(block: &[u8], out: &mut [f32]) {
    let (d, dmin) = (half_at(block, 0), half_at(block, 2));
    let high = &block[16..48];
    for (index, out) in out.chunks_exact_mut(32).enumerate() {
        let (scale, minimum) = scale_and_minimum(&block[4..16], index);
        let (scale, minimum) = (d * f32::from(scale), dmin * f32::from(minimum));
        let low = &block[48 + index / 2 * 32..][..32];
        for (i, out) in out.iter_mut().enumerate() {
            let q = low[i] >> (index % 2 * 4) & 15 | (high[i] >> index & 1) << 4;
            *out = f32::from(q) * scale - minimum;
        }
    }
}

/// 128 bytes of low nibbles, 64 of high bit pairs, 16 `i8` scales, d: f16.
fn dequantize_q6k(block: &[u8], out: &mut [f32]) {
    let (low, high, scales) = (&block[..128], &block[128..192], &block[192..208]);
    let d = half_at(block, 208);
    for (i, out) in out.iter_mut().enumerate() {
        let (half, quarter, column) = (i / 128, i % 128 / 32, i % 32);
        let nibble = low[half * 64 + quarter % 2 * 32 + column] >> (quarter / 2 * 4) & 15;
        let pair = high[half * 32 + column] >> (quarter * 2) & 3;
        let q = f32::from(nibble | pair << 4) - 32.0;
        *out = d * f32::from(scales[i / 16] as i8) * q;
    }
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
