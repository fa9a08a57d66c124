//! AVX-512 with VNNI: one register is one vector, one row per lane, no horizontal sums.

use std::arch::x86_64::*;

use half::f16;

use super::avx2::sums_of_halves;
use super::isa::{Isa, LANES};
use super::layout::Encoding;

pub(super) struct Avx512;

/// Whether this CPU can run the kernels of this file.
pub(super) fn is_available() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vnni")
}

/// Whether AMD made this CPU.
#[allow(unused_unsafe)] // safe to call in newer versions of Rust
pub(super) fn is_amd() -> bool {
    // SAFETY: every CPU with AVX-512 has the instruction.
    let vendor = unsafe { __cpuid(0) };
    [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes).as_flattened() == b"AuthenticAMD"
}

// SAFETY of all blocks below: the caller of an `Isa` method vouches for the level and for the pointers.
impl Isa for Avx512 {
    type Floats = __m512;
    type Sums = __m512i;
    type Weights = __m512i;

    const WIDE_GROUPS: usize = 2;
    const TILE_TOKENS: usize = 6;
    const FEW_TOKENS: usize = 8;
    const PANEL_COLUMNS: usize = 4;
    const SIGNED_BYTES: bool = false;
    const HIGH_NIBBLE_IN_PLACE: bool = true;
    const ADDS_IN_16_BITS: bool = false;

    #[inline(always)]
    fn tiles_worth_preparing(_encoding: Encoding) -> Option<usize> {
        Some(4)
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_set1_ps(value) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn load_half(from: *const f16) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.cast())) }
    }
    #[inline(always)]
    unsafe fn load_bytes(from: *const i8) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(from.cast()))) }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, value: __m512) {
        // SAFETY: see above.
        unsafe { _mm512_storeu_ps(to, value) }
    }
    #[inline(always)]
    unsafe fn add(a: __m512, b: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_add_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn sub(a: __m512, b: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_sub_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn mul(a: __m512, b: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_mul_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn div(a: __m512, b: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_div_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn max(a: __m512, b: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_max_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn min(a: __m512, b: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_min_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn abs(a: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_abs_ps(a) }
    }
    #[inline(always)]
    unsafe fn fma(a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    unsafe fn round(a: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }
    }
    #[inline(always)]
    unsafe fn times_power_of_two(a: __m512, n: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_scalef_ps(a, n) }
    }
    #[inline(always)]
    unsafe fn sum(a: __m512) -> f32 {
        // SAFETY: see above.
        unsafe { _mm512_reduce_add_ps(a) }
    }
    #[inline(always)]
    unsafe fn largest(a: __m512) -> f32 {
        // SAFETY: see above.
        unsafe { _mm512_reduce_max_ps(a) }
    }
    #[inline(always)]
    unsafe fn to_bytes(a: [__m512; 2]) -> ([[i8; LANES]; 2], [i32; 2]) {
        // SAFETY: see above; the store writes the thirty-two bytes of `bytes`.
        unsafe {
            let [first, second] = a.map(|a| _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(a)));
            let both = _mm256_set_m128i(second, first);
            let mut bytes = [[0; LANES]; 2];
            _mm256_storeu_si256(bytes.as_mut_ptr().cast(), both);
            (bytes, sums_of_halves(both))
        }
    }

    #[inline(always)]
    unsafe fn weights(from: *const u8) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_load_si512(from.cast()) }
    }
    #[inline(always)]
    unsafe fn store_weights(to: *mut u8, weights: __m512i) {
        // SAFETY: see above.
        unsafe { _mm512_store_si512(to.cast(), weights) }
    }
    #[inline(always)]
    unsafe fn low_nibbles(a: __m512i) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_and_si512(a, _mm512_set1_epi8(0x0f)) }
    }
    #[inline(always)]
    unsafe fn high_nibbles(a: __m512i) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_and_si512(a, _mm512_set1_epi8(0xf0_u8 as i8)) }
    }
    #[inline(always)]
    unsafe fn shift(a: __m512i, places: i32) -> __m512i {
        // SAFETY: see above.
        unsafe {
            let count = _mm_cvtsi32_si128(places.abs());
            if places < 0 { _mm512_sll_epi16(a, count) } else { _mm512_srl_epi16(a, count) }
        }
    }
    #[inline(always)]
    unsafe fn with_high_bits<const MASK: i8>(nibbles: __m512i, bits: __m512i) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_or_si512(nibbles, _mm512_and_si512(bits, _mm512_set1_epi8(MASK))) }
    }
    #[inline(always)]
    unsafe fn start(correction: i32) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_set1_epi32(correction) }
    }
    #[inline(always)]
    unsafe fn dot_nibbles(sums: __m512i, weights: __m512i, activations: i32) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_dpbusd_epi32(sums, weights, _mm512_set1_epi32(activations)) }
    }
    #[inline(always)]
    unsafe fn dot_bytes(sums: __m512i, weights: __m512i, activations: i32) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_dpbusd_epi32(sums, weights, _mm512_set1_epi32(activations)) }
    }
    #[inline(always)]
    unsafe fn sums_of_nibbles(sums: __m512i, _correction: i32) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_cvtepi32_ps(sums) }
    }
    #[inline(always)]
    unsafe fn sums_of_bytes(sums: __m512i) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_cvtepi32_ps(sums) }
    }
    #[inline(always)]
    unsafe fn pin(sums: __m512i) -> __m512i {
        // SAFETY: see above.
        unsafe { pin(sums) }
    }
    #[inline(always)]
    unsafe fn pin_floats(values: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_castsi512_ps(pin(_mm512_castps_si512(values))) }
    }
    #[inline(always)]
    unsafe fn prefetch_for_later(address: *const u8) {
        // SAFETY: a prefetch never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(address.cast()) }
    }
    #[inline(always)]
    unsafe fn prefetch(address: *const u8) {
        // SAFETY: a prefetch never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
    }
}

/// Not a method, because assembly with such registers must stand in a function that has them.
#[inline]
#[target_feature(enable = "avx512f")]
fn pin(mut sums: __m512i) -> __m512i {
    // SAFETY: no instruction at all.
    unsafe { std::arch::asm!("/* {0} */", inout(zmm_reg) sums, options(nomem, nostack, preserves_flags)) };
    sums
}
