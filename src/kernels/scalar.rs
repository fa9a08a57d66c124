//! The definition of correct: every vector operation as a plain loop over an array, for any CPU.

use half::f16;

use super::isa::{Isa, LANES};

pub(super) struct Scalar;

#[inline(always)]
fn each(f: impl Fn(usize) -> f32) -> [f32; LANES] {
    std::array::from_fn(f)
}

#[inline(always)]
fn dot(sums: [i32; LANES], activations: i32, weight: impl Fn(usize) -> i32) -> [i32; LANES] {
    let activations = activations.to_le_bytes().map(|byte| i32::from(byte as i8));
    std::array::from_fn(|row| sums[row] + (0..4).map(|i| weight(4 * row + i) * activations[i]).sum::<i32>())
}

impl Isa for Scalar {
    type Floats = [f32; LANES];
    type Sums = [i32; LANES];
    type Weights = [u8; 4 * LANES];

    const WIDE_GROUPS: usize = 1;
    const TILE_TOKENS: usize = 4;
    const PANEL_COLUMNS: usize = 1;
    const SIGNED_BYTES: bool = true;
    const HIGH_NIBBLE_IN_PLACE: bool = false;
    const ADDS_IN_16_BITS: bool = false;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self::Floats {
        [value; LANES]
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::Floats {
        // SAFETY: the caller vouches for sixteen values; the read is unaligned.
        unsafe { from.cast::<Self::Floats>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn load_half(from: *const f16) -> Self::Floats {
        // SAFETY: the caller vouches for sixteen values; the read is unaligned.
        let halves = unsafe { from.cast::<[u16; LANES]>().read_unaligned() };
        halves.map(half_to_float)
    }
    #[inline(always)]
    unsafe fn load_bytes(from: *const i8) -> Self::Floats {
        // SAFETY: the caller's promise.
        let bytes = unsafe { from.cast::<[i8; LANES]>().read_unaligned() };
        bytes.map(f32::from)
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, value: Self::Floats) {
        // SAFETY: the caller vouches for room for sixteen values; the write is unaligned.
        unsafe { to.cast::<Self::Floats>().write_unaligned(value) }
    }
    #[inline(always)]
    unsafe fn add(a: Self::Floats, b: Self::Floats) -> Self::Floats {
        each(|i| a[i] + b[i])
    }
    #[inline(always)]
    unsafe fn sub(a: Self::Floats, b: Self::Floats) -> Self::Floats {
        each(|i| a[i] - b[i])
    }
    #[inline(always)]
    unsafe fn mul(a: Self::Floats, b: Self::Floats) -> Self::Floats {
        each(|i| a[i] * b[i])
    }
    #[inline(always)]
    unsafe fn div(a: Self::Floats, b: Self::Floats) -> Self::Floats {
        each(|i| a[i] / b[i])
    }
    #[inline(always)]
    unsafe fn max(a: Self::Floats, b: Self::Floats) -> Self::Floats {
        each(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    unsafe fn min(a: Self::Floats, b: Self::Floats) -> Self::Floats {
        each(|i| if a[i] < b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    unsafe fn abs(a: Self::Floats) -> Self::Floats {
        a.map(f32::abs)
    }
    #[inline(always)]
    unsafe fn fma(a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats {
        // Not `mul_add`, which calls a library function where the CPU has no such instruction.
        each(|i| a[i] * b[i] + c[i])
    }
    #[inline(always)]
    unsafe fn round(a: Self::Floats) -> Self::Floats {
        a.map(round_ties_even)
    }
    #[inline(always)]
    unsafe fn times_power_of_two(a: Self::Floats, n: Self::Floats) -> Self::Floats {
        // Added to the exponent.
        std::array::from_fn(|i| f32::from_bits(a[i].to_bits().wrapping_add((n[i] as i32 as u32) << 23)))
    }
    #[inline(always)]
    unsafe fn sum(a: Self::Floats) -> f32 {
        // In the order in which the vector levels add: halves upon halves.
        let eight: [f32; 8] = std::array::from_fn(|i| a[i] + a[i + 8]);
        let four: [f32; 4] = std::array::from_fn(|i| eight[i] + eight[i + 4]);
        (four[0] + four[2]) + (four[1] + four[3])
    }
    #[inline(always)]
    unsafe fn largest(a: Self::Floats) -> f32 {
        a.into_iter().fold(f32::NEG_INFINITY, f32::max)
    }
    #[inline(always)]
    unsafe fn to_bytes(a: [Self::Floats; 2]) -> ([[i8; LANES]; 2], [i32; 2]) {
        let bytes = a.map(|a| a.map(|value| round_ties_even(value) as i8));
        (bytes, bytes.map(|bytes| bytes.into_iter().map(i32::from).sum()))
    }

    #[inline(always)]
    unsafe fn weights(from: *const u8) -> Self::Weights {
        // SAFETY: the caller vouches for 64 bytes.
        unsafe { from.cast::<Self::Weights>().read() }
    }
    #[inline(always)]
    unsafe fn store_weights(to: *mut u8, weights: Self::Weights) {
        // SAFETY: the caller vouches for room for 64 bytes.
        unsafe { to.cast::<Self::Weights>().write(weights) }
    }
    #[inline(always)]
    unsafe fn low_nibbles(a: Self::Weights) -> Self::Weights {
        a.map(|byte| byte & 15)
    }
    #[inline(always)]
    unsafe fn high_nibbles(a: Self::Weights) -> Self::Weights {
        a.map(|byte| byte >> 4)
    }
    #[inline(always)]
    unsafe fn shift(a: Self::Weights, places: i32) -> Self::Weights {
        a.map(|byte| if places < 0 { byte << -places } else { byte >> places })
    }
    #[inline(always)]
    unsafe fn with_high_bits<const MASK: i8>(nibbles: Self::Weights, bits: Self::Weights) -> Self::Weights {
        std::array::from_fn(|i| nibbles[i] | bits[i] & MASK as u8)
    }
    #[inline(always)]
    unsafe fn start(correction: i32) -> Self::Sums {
        [correction; LANES]
    }
    #[inline(always)]
    unsafe fn dot_nibbles(sums: Self::Sums, weights: Self::Weights, activations: i32) -> Self::Sums {
        dot(sums, activations, |i| i32::from(weights[i]))
    }
    #[inline(always)]
    unsafe fn dot_bytes(sums: Self::Sums, weights: Self::Weights, activations: i32) -> Self::Sums {
        dot(sums, activations, |i| i32::from((weights[i] ^ 0x80) as i8))
    }
    #[inline(always)]
    unsafe fn sums_of_nibbles(sums: Self::Sums, _correction: i32) -> Self::Floats {
        sums.map(|sum| sum as f32)
    }
    #[inline(always)]
    unsafe fn sums_of_bytes(sums: Self::Sums) -> Self::Floats {
        sums.map(|sum| sum as f32)
    }
    #[inline(always)]
    unsafe fn prefetch(_address: *const u8) {}
    #[inline(always)]
    unsafe fn prefetch_for_later(_address: *const u8) {}
}

/// Adding 1.5·2²³ leaves no bits for a fraction, and the addition rounds ties to even: exact up to ±2²².
#[inline(always)]
fn round_ties_even(value: f32) -> f32 {
    const SHIFT: f32 = 12_582_912.0;
    (value + SHIFT) - SHIFT
}

/// The value of a half-precision number, without branches: the exponent is moved by a multiplication, which also
/// normalises subnormal numbers. Infinities and NaN, which no key, value or scale holds, come out as large numbers.
#[inline(always)]
fn half_to_float(bits: u16) -> f32 {
    let sign = u32::from(bits & 0x8000) << 16;
    let magnitude = f32::from_bits(u32::from(bits & 0x7fff) << 13) * f32::from_bits((254 - 15) << 23);
    f32::from_bits(sign | magnitude.to_bits())
}

#[cfg(test)]
mod tests {
    use half::f16;

    #[test]
    fn every_finite_half_converts_exactly() {
        for bits in 0..=u16::MAX {
            let half = f16::from_bits(bits);
            if half.is_finite() {
                assert_eq!(super::half_to_float(bits).to_bits(), half.to_f32().to_bits(), "{bits:#x}");
            }
        }
    }
}
