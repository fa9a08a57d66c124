//! AVX2 with FMA and F16C, two registers for a vector: with the dot products of AVX-VNNI, or with integer products that
//! pass through 16 bits.

use std::arch::x86_64::*;

use half::f16;

use super::isa::{Isa, LANES};
use super::layout::Encoding;

/// `VNNI`: with AVX-VNNI's instructions.
pub(super) struct Avx2<const VNNI: bool>;

/// Two halves of a vector.
#[derive(Clone, Copy)]
pub(super) struct Pair<T>(T, T);

/// Whether this CPU can run the kernels of this file.
pub(super) fn is_available() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c")
}

/// Whether it has AVX-VNNI as well.
pub(super) fn is_vnni_available() -> bool {
    is_available() && is_x86_feature_detected!("avxvnni")
}

// SAFETY of all blocks below: the caller of an `Isa` method vouches for the level and for the pointers.
impl<const VNNI: bool> Isa for Avx2<VNNI> {
    type Floats = Pair<__m256>;
    type Sums = Pair<__m256i>;
    type Weights = Pair<__m256i>;

    const WIDE_GROUPS: usize = 1;
    const TILE_TOKENS: usize = 4;
    const PANEL_COLUMNS: usize = 1;
    const SIGNED_BYTES: bool = !VNNI;
    const HIGH_NIBBLE_IN_PLACE: bool = VNNI;
    const ADDS_IN_16_BITS: bool = !VNNI;

    #[inline(always)]
    fn tiles_worth_preparing(encoding: Encoding) -> Option<usize> {
        Some(if encoding.is_nested() { 4 } else { 8 })
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> Pair<__m256> {
        // SAFETY: see above.
        unsafe { Pair(_mm256_set1_ps(value), _mm256_set1_ps(value)) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Pair<__m256> {
        // SAFETY: see above.
        unsafe { Pair(_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))) }
    }
    #[inline(always)]
    unsafe fn load_half(from: *const f16) -> Pair<__m256> {
        // SAFETY: see above.
        unsafe {
            let from = from.cast::<__m128i>();
            Pair(_mm256_cvtph_ps(_mm_loadu_si128(from)), _mm256_cvtph_ps(_mm_loadu_si128(from.add(1))))
        }
    }
    #[inline(always)]
    unsafe fn load_bytes(from: *const i8) -> Pair<__m256> {
        // SAFETY: see above.
        unsafe {
            let widen = |eight| _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(eight));
            Pair(widen(_mm_loadl_epi64(from.cast())), widen(_mm_loadl_epi64(from.add(8).cast())))
        }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, value: Pair<__m256>) {
        // SAFETY: see above.
        unsafe {
            _mm256_storeu_ps(to, value.0);
            _mm256_storeu_ps(to.add(8), value.1);
        }
    }
    #[inline(always)]
    unsafe fn add(a: Pair<__m256>, b: Pair<__m256>) -> Pair<__m256> {
        // SAFETY: see above.
        unsafe { Pair(_mm256_add_ps(a.0, b.0), _mm256_add_ps(a.1, b.1)) }
    }
    #[inline(always)]
    unsafe fn sub(a: Pair<__m256>, b: Pair<__m256>) -> Pair<__m256> {
        // SAFETY: see above.
        unsafe { Pair(_mm256_sub_ps(a.0, b.0), _mm256_sub_ps(a.1, b.1)) }
    }
    #[inline(always)]
    unsafe fn mul(a: Pair<__m256>, b: Pair<__m256>) -> Pair<__m256> {
        // SAFETY: see above.
        unsafe { Pair(_mm256_mul_ps(a.0, b.0), _mm256_mul_ps(a.1, b.1)) }
    }
    #[inline(always)]
    unsafe fn div(a: Pair<__m256>, b: Pair<__m256>) -> Pair<__m256> {
        // SAFETY: see above.
        unsafe { Pair(_mm256_div_ps(a.0, b.0), _mm256_div_ps(a.1, b.1)) }
    }
    #[inline(always)]
    unsafe fn max(a: Pair<__m256>, b: Pair<__m256>) -> Pair<__m256> {
        // SAFETY: see above.
        unsafe { Pair(_mm256_max_ps(a.0, b.0), _mm256_max_ps(a.1, b.1)) }
    }
    #[inline(always)]
    unsafe fn min(a: Pair<__m256>, b: Pair<__m256>) -> Pair<__m256> {
        // SAFETY: see above.
        unsafe { Pair(_mm256_min_ps(a.0, b.0), _mm256_min_ps(a.1, b.1)) }
    }
    #[inline(always)]
    unsafe fn abs(a: Pair<__m256>) -> Pair<__m256> {
        // SAFETY: see above.
        unsafe {
            let sign = _mm256_set1_ps(-0.0);
            Pair(_mm256_andnot_ps(sign, a.0), _mm256_andnot_ps(sign, a.1))
        }
    }
    #[inline(always)]
    unsafe fn fma(a: Pair<__m256>, b: Pair<__m256>, c: Pair<__m256>) -> Pair<__m256> {
        // SAFETY: see above.
        unsafe { Pair(_mm256_fmadd_ps(a.0, b.0, c.0), _mm256_fmadd_ps(a.1, b.1, c.1)) }
    }
    #[inline(always)]
    unsafe fn round(a: Pair<__m256>) -> Pair<__m256> {
        // SAFETY: see above.
        unsafe {
            const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
            Pair(_mm256_round_ps::<NEAREST>(a.0), _mm256_round_ps::<NEAREST>(a.1))
        }
    }
    #[inline(always)]
    unsafe fn times_power_of_two(a: Pair<__m256>, n: Pair<__m256>) -> Pair<__m256> {
        // SAFETY: see above.
        unsafe { Pair(times_power_of_two(a.0, n.0), times_power_of_two(a.1, n.1)) }
    }
    #[inline(always)]
    unsafe fn sum(a: Pair<__m256>) -> f32 {
        // SAFETY: see above.
        unsafe {
            let eight = _mm256_add_ps(a.0, a.1);
            let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }
    }
    #[inline(always)]
    unsafe fn largest(a: Pair<__m256>) -> f32 {
        // SAFETY: see above.
        unsafe {
            let eight = _mm256_max_ps(a.0, a.1);
            let four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)))
        }
    }
    #[inline(always)]
    unsafe fn to_bytes(a: [Pair<__m256>; 2]) -> ([[i8; LANES]; 2], [i32; 2]) {
        // SAFETY: see above; the store writes the thirty-two bytes of `bytes`.
        unsafe {
            let words = a.map(|a| _mm256_packs_epi32(_mm256_cvtps_epi32(a.0), _mm256_cvtps_epi32(a.1)));
            // Packing works inside 128-bit halves, so there are four bytes of each half in turns.
            let mixed = _mm256_packs_epi16(words[0], words[1]);
            let both = _mm256_permutevar8x32_epi32(mixed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
            let mut bytes = [[0; LANES]; 2];
            _mm256_storeu_si256(bytes.as_mut_ptr().cast(), both);
            (bytes, sums_of_halves(both))
        }
    }

    #[inline(always)]
    unsafe fn weights(from: *const u8) -> Pair<__m256i> {
        // SAFETY: see above.
        unsafe {
            let from = from.cast::<__m256i>();
            Pair(_mm256_load_si256(from), _mm256_load_si256(from.add(1)))
        }
    }
    #[inline(always)]
    unsafe fn store_weights(to: *mut u8, weights: Pair<__m256i>) {
        // SAFETY: see above.
        unsafe {
            let to = to.cast::<__m256i>();
            _mm256_store_si256(to, weights.0);
            _mm256_store_si256(to.add(1), weights.1);
        }
    }
    #[inline(always)]
    unsafe fn low_nibbles(a: Pair<__m256i>) -> Pair<__m256i> {
        // SAFETY: see above.
        unsafe {
            let mask = _mm256_set1_epi8(15);
            Pair(_mm256_and_si256(a.0, mask), _mm256_and_si256(a.1, mask))
        }
    }
    #[inline(always)]
    unsafe fn high_nibbles(a: Pair<__m256i>) -> Pair<__m256i> {
        // SAFETY: see above.
        unsafe {
            if VNNI {
                let mask = _mm256_set1_epi8(0xf0_u8 as i8);
                return Pair(_mm256_and_si256(a.0, mask), _mm256_and_si256(a.1, mask));
            }
            let mask = _mm256_set1_epi8(15);
            Pair(
                _mm256_and_si256(_mm256_srli_epi16::<4>(a.0), mask),
                _mm256_and_si256(_mm256_srli_epi16::<4>(a.1), mask),
            )
        }
    }
    #[inline(always)]
    unsafe fn shift(a: Pair<__m256i>, places: i32) -> Pair<__m256i> {
        // SAFETY: see above.
        unsafe {
            let count = _mm_cvtsi32_si128(places.abs());
            if places < 0 {
                Pair(_mm256_sll_epi16(a.0, count), _mm256_sll_epi16(a.1, count))
            } else {
                Pair(_mm256_srl_epi16(a.0, count), _mm256_srl_epi16(a.1, count))
            }
        }
    }
    #[inline(always)]
    unsafe fn with_high_bits<const MASK: i8>(nibbles: Pair<__m256i>, bits: Pair<__m256i>) -> Pair<__m256i> {
        // SAFETY: see above.
        unsafe {
            let mask = _mm256_set1_epi8(MASK);
            Pair(
                _mm256_or_si256(nibbles.0, _mm256_and_si256(bits.0, mask)),
                _mm256_or_si256(nibbles.1, _mm256_and_si256(bits.1, mask)),
            )
        }
    }
    /// Without VNNI one for each 16 bits of a lane: for columns 0 and 1 of each four, and for 2 and 3.
    #[inline(always)]
    unsafe fn correction(bytes: &[[i8; LANES]], sum: i32, offset: i32, and_half: bool) -> i32 {
        if VNNI {
            return sum.wrapping_mul(offset) + if and_half { sum >> 1 } else { 0 };
        }
        // SAFETY: see above.
        unsafe {
            let pairs = |bytes: &[i8; LANES]| {
                _mm_maddubs_epi16(_mm_set1_epi8(1), _mm_loadu_si128(bytes.as_ptr().cast()))
            };
            let zero = _mm_setzero_si128();
            let four = bytes.iter().fold(zero, |four, bytes| _mm_add_epi16(four, pairs(bytes)));
            let two = _mm_add_epi16(four, _mm_shuffle_epi32::<0b01_00_11_10>(four));
            let one = _mm_add_epi16(two, _mm_shuffle_epi32::<0b10_11_00_01>(two));
            let half = if and_half { _mm_srai_epi16::<1>(one) } else { zero };
            _mm_cvtsi128_si32(_mm_add_epi16(_mm_mullo_epi16(one, _mm_set1_epi16(offset as i16)), half))
        }
    }
    #[inline(always)]
    unsafe fn start(correction: i32) -> Pair<__m256i> {
        // SAFETY: see above.
        unsafe { Pair(_mm256_set1_epi32(correction), _mm256_set1_epi32(correction)) }
    }
    /// Without VNNI sixteen bits hold the sixteen products of a block, as the correction makes weights of −16…15 of them:
    /// 16 · 16 · 127 = 32512; and the eight of half a block of −32…31. On the way there the sums may wrap around.
    #[inline(always)]
    unsafe fn dot_nibbles(sums: Pair<__m256i>, weights: Pair<__m256i>, activations: i32) -> Pair<__m256i> {
        // SAFETY: see above.
        unsafe {
            let activations = _mm256_set1_epi32(activations);
            if VNNI {
                return Pair(
                    _mm256_dpbusd_avx_epi32(sums.0, weights.0, activations),
                    _mm256_dpbusd_avx_epi32(sums.1, weights.1, activations),
                );
            }
            Pair(
                _mm256_add_epi16(sums.0, _mm256_maddubs_epi16(weights.0, activations)),
                _mm256_add_epi16(sums.1, _mm256_maddubs_epi16(weights.1, activations)),
            )
        }
    }
    #[inline(always)]
    unsafe fn dot_bytes(sums: Pair<__m256i>, weights: Pair<__m256i>, activations: i32) -> Pair<__m256i> {
        // SAFETY: see above.
        unsafe {
            if VNNI {
                return Self::dot_nibbles(sums, weights, activations);
            }
            let activations = _mm256_set1_epi32(activations);
            Pair(dot_bytes(sums.0, weights.0, activations), dot_bytes(sums.1, weights.1, activations))
        }
    }
    #[inline(always)]
    unsafe fn sums_of_nibbles(sums: Pair<__m256i>, _correction: i32) -> Pair<__m256> {
        // SAFETY: see above.
        unsafe {
            if VNNI {
                return Self::sums_of_bytes(sums);
            }
            let ones = _mm256_set1_epi16(1);
            Pair(
                _mm256_cvtepi32_ps(_mm256_madd_epi16(sums.0, ones)),
                _mm256_cvtepi32_ps(_mm256_madd_epi16(sums.1, ones)),
            )
        }
    }
    #[inline(always)]
    unsafe fn sums_of_bytes(sums: Pair<__m256i>) -> Pair<__m256> {
        // SAFETY: see above.
        unsafe { Pair(_mm256_cvtepi32_ps(sums.0), _mm256_cvtepi32_ps(sums.1)) }
    }
    #[inline(always)]
    unsafe fn pin(sums: Pair<__m256i>) -> Pair<__m256i> {
        // SAFETY: see above.
        unsafe { Pair(pin(sums.0), pin(sums.1)) }
    }
    #[inline(always)]
    unsafe fn pin_floats(values: Pair<__m256>) -> Pair<__m256> {
        // SAFETY: see above.
        unsafe {
            let pin = |values| _mm256_castsi256_ps(pin(_mm256_castps_si256(values)));
            Pair(pin(values.0), pin(values.1))
        }
    }
    #[inline(always)]
    unsafe fn prefetch(address: *const u8) {
        // SAFETY: a prefetch never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
    }
    #[inline(always)]
    unsafe fn prefetch_for_later(address: *const u8) {
        // SAFETY: a prefetch never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(address.cast()) }
    }
}

/// # Safety
/// Needs AVX2.
#[inline(always)]
unsafe fn times_power_of_two(a: __m256, n: __m256) -> __m256 {
    // SAFETY: the caller vouches for the level.
    unsafe {
        // Added to the exponent.
        let n = _mm256_slli_epi32::<23>(_mm256_cvtps_epi32(n));
        _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a), n))
    }
}

/// Products of unsigned and signed bytes saturate at 16 bits, so the sign moves from the weight to the activation:
/// |w| · (a · sign w), at most 2 · 128 · 127 = 32512.
///
/// # Safety
/// Needs AVX2.
#[inline(always)]
unsafe fn dot_bytes(sums: __m256i, weights: __m256i, activations: __m256i) -> __m256i {
    // SAFETY: the caller vouches for the level.
    unsafe {
        let signed = _mm256_xor_si256(weights, _mm256_set1_epi8(-128));
        let products = _mm256_maddubs_epi16(_mm256_abs_epi8(signed), _mm256_sign_epi8(activations, signed));
        _mm256_add_epi32(sums, _mm256_madd_epi16(products, _mm256_set1_epi16(1)))
    }
}

/// Not a method, because assembly with such registers must stand in a function that has them.
#[inline]
#[target_feature(enable = "avx2")]
fn pin(mut sums: __m256i) -> __m256i {
    // SAFETY: no instruction at all.
    unsafe { std::arch::asm!("/* {0} */", inout(ymm_reg) sums, options(nomem, nostack, preserves_flags)) };
    sums
}

/// The sums of the first and of the last sixteen bytes, each made positive by an offset of 128 first: so they are added by the
/// eight in one instruction.
///
/// # Safety
/// Needs AVX2.
#[inline(always)]
pub(super) unsafe fn sums_of_halves(bytes: __m256i) -> [i32; 2] {
    // SAFETY: the caller's promise.
    unsafe {
        let positive = _mm256_xor_si256(bytes, _mm256_set1_epi8(-128));
        let eights = _mm256_sad_epu8(positive, _mm256_setzero_si256());
        let sums = _mm256_add_epi32(eights, _mm256_shuffle_epi32::<0b01_00_11_10>(eights));
        [_mm256_castsi256_si128(sums), _mm256_extracti128_si256::<1>(sums)]
            .map(|sum| _mm_cvtsi128_si32(sum) - 128 * LANES as i32)
    }
}
