//! NEON, four registers for a vector: the operations on floats. How bytes are multiplied depends on what an aarch64 CPU
//! has beyond; that is in `neon/dots.rs`.

mod dots;

use std::arch::aarch64::*;
use std::arch::asm;
use std::arch::is_aarch64_feature_detected;
use std::marker::PhantomData;

use half::f16;

use super::isa::{Isa, LANES};
use super::tile::Block;
use dots::Dots;
pub(super) use dots::{DotProducts, LongProducts};

/// `D`: how bytes are multiplied.
pub(super) struct Neon<D>(PhantomData<D>);

/// A vector in four registers.
type Quad<T> = [T; 4];

/// Whether this CPU has NEON; all that run Rust's usual targets do.
pub(super) fn is_available() -> bool {
    is_aarch64_feature_detected!("neon")
}

/// Whether it has the dot products as well.
pub(super) fn has_dot_products() -> bool {
    is_available() && is_aarch64_feature_detected!("dotprod")
}

/// Whether it has the matrix products, too.
pub(super) fn has_matrix_products() -> bool {
    has_dot_products() && is_aarch64_feature_detected!("i8mm")
}

/// Written out, so that the registers never become an array in memory.
#[inline(always)]
fn quad<T>(each: impl Fn(usize) -> T) -> Quad<T> {
    [each(0), each(1), each(2), each(3)]
}

// SAFETY of all blocks below: the caller of an `Isa` method vouches for the level and for the pointers.
impl<D: Dots> Isa for Neon<D> {
    type Floats = Quad<float32x4_t>;
    type Sums = D::Sums;
    type Weights = Quad<uint8x16_t>;

    const WIDE_GROUPS: usize = 1;
    const TILE_TOKENS: usize = D::TILE_TOKENS;
    const PANEL_COLUMNS: usize = 1;
    const SIGNED_BYTES: bool = D::SIGNED_BYTES;
    // Bytes have a shift of their own: it costs no more than the mask.
    const HIGH_NIBBLE_IN_PLACE: bool = false;
    const ADDS_IN_16_BITS: bool = false;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self::Floats {
        // SAFETY: see above.
        unsafe { [vdupq_n_f32(value); 4] }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::Floats {
        // SAFETY: see above.
        unsafe { quad(|i| vld1q_f32(from.add(4 * i))) }
    }
    #[inline(always)]
    unsafe fn load_half(from: *const f16) -> Self::Floats {
        // SAFETY: see above.
        unsafe {
            let (low, high) = (vld1q_u16(from.cast()), vld1q_u16(from.add(8).cast()));
            [widen_low(low), widen_high(low), widen_low(high), widen_high(high)]
        }
    }
    #[inline(always)]
    unsafe fn load_bytes(from: *const i8) -> Self::Floats {
        // SAFETY: see above.
        unsafe {
            let bytes = vld1q_s8(from);
            let (low, high) = (vmovl_s8(vget_low_s8(bytes)), vmovl_high_s8(bytes));
            let widen = |four| vcvtq_f32_s32(vmovl_s16(four));
            [
                widen(vget_low_s16(low)),
                widen(vget_high_s16(low)),
                widen(vget_low_s16(high)),
                widen(vget_high_s16(high)),
            ]
        }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, value: Self::Floats) {
        // SAFETY: see above.
        unsafe { quad(|i| vst1q_f32(to.add(4 * i), value[i])) };
    }
    #[inline(always)]
    unsafe fn add(a: Self::Floats, b: Self::Floats) -> Self::Floats {
        // SAFETY: see above.
        unsafe { quad(|i| vaddq_f32(a[i], b[i])) }
    }
    #[inline(always)]
    unsafe fn sub(a: Self::Floats, b: Self::Floats) -> Self::Floats {
        // SAFETY: see above.
        unsafe { quad(|i| vsubq_f32(a[i], b[i])) }
    }
    #[inline(always)]
    unsafe fn mul(a: Self::Floats, b: Self::Floats) -> Self::Floats {
        // SAFETY: see above.
        unsafe { quad(|i| vmulq_f32(a[i], b[i])) }
    }
    #[inline(always)]
    unsafe fn div(a: Self::Floats, b: Self::Floats) -> Self::Floats {
        // SAFETY: see above.
        unsafe { quad(|i| vdivq_f32(a[i], b[i])) }
    }
    #[inline(always)]
    unsafe fn max(a: Self::Floats, b: Self::Floats) -> Self::Floats {
        // SAFETY: see above.
        unsafe { quad(|i| vmaxnmq_f32(a[i], b[i])) }
    }
    #[inline(always)]
    unsafe fn min(a: Self::Floats, b: Self::Floats) -> Self::Floats {
        // SAFETY: see above.
        unsafe { quad(|i| vminnmq_f32(a[i], b[i])) }
    }
    #[inline(always)]
    unsafe fn abs(a: Self::Floats) -> Self::Floats {
        // SAFETY: see above.
        unsafe { quad(|i| vabsq_f32(a[i])) }
    }
    #[inline(always)]
    unsafe fn fma(a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats {
        // SAFETY: see above.
        unsafe { quad(|i| vfmaq_f32(c[i], a[i], b[i])) }
    }
    #[inline(always)]
    unsafe fn round(a: Self::Floats) -> Self::Floats {
        // SAFETY: see above.
        unsafe { quad(|i| vrndnq_f32(a[i])) }
    }
    #[inline(always)]
    unsafe fn times_power_of_two(a: Self::Floats, n: Self::Floats) -> Self::Floats {
        // SAFETY: see above.
        quad(|i| unsafe {
            // Added to the exponent.
            let n = vshlq_n_s32::<23>(vcvtq_s32_f32(n[i]));
            vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(a[i]), n))
        })
    }
    #[inline(always)]
    unsafe fn sum(a: Self::Floats) -> f32 {
        // SAFETY: see above. In the order in which the other levels add: halves upon halves.
        unsafe {
            let four = vaddq_f32(vaddq_f32(a[0], a[2]), vaddq_f32(a[1], a[3]));
            vpadds_f32(vadd_f32(vget_low_f32(four), vget_high_f32(four)))
        }
    }
    #[inline(always)]
    unsafe fn largest(a: Self::Floats) -> f32 {
        // SAFETY: see above.
        unsafe { vmaxnmvq_f32(vmaxnmq_f32(vmaxnmq_f32(a[0], a[1]), vmaxnmq_f32(a[2], a[3]))) }
    }
    #[inline(always)]
    unsafe fn to_bytes(a: [Self::Floats; 2]) -> ([[i8; LANES]; 2], [i32; 2]) {
        let (mut bytes, mut sums) = ([[0; LANES]; 2], [0; 2]);
        for half in 0..2 {
            // SAFETY: see above; the store writes the sixteen bytes of a half.
            unsafe {
                let whole = quad(|i| vcvtnq_s32_f32(a[half][i]));
                let low = vcombine_s16(vmovn_s32(whole[0]), vmovn_s32(whole[1]));
                let high = vcombine_s16(vmovn_s32(whole[2]), vmovn_s32(whole[3]));
                let narrow = vcombine_s8(vmovn_s16(low), vmovn_s16(high));
                vst1q_s8(bytes[half].as_mut_ptr(), narrow);
                sums[half] = i32::from(vaddlvq_s8(narrow));
            }
        }
        (bytes, sums)
    }

    #[inline(always)]
    unsafe fn weights(from: *const u8) -> Self::Weights {
        // SAFETY: see above.
        unsafe { quad(|i| vld1q_u8(from.add(16 * i))) }
    }
    #[inline(always)]
    unsafe fn store_weights(to: *mut u8, weights: Self::Weights) {
        for (index, weights) in weights.into_iter().enumerate() {
            // SAFETY: see above.
            unsafe { vst1q_u8(to.add(16 * index), weights) };
        }
    }
    #[inline(always)]
    unsafe fn low_nibbles(a: Self::Weights) -> Self::Weights {
        // SAFETY: see above.
        unsafe { quad(|i| vandq_u8(a[i], vdupq_n_u8(15))) }
    }
    #[inline(always)]
    unsafe fn high_nibbles(a: Self::Weights) -> Self::Weights {
        // SAFETY: see above.
        unsafe { quad(|i| vshrq_n_u8::<4>(a[i])) }
    }
    #[inline(always)]
    unsafe fn shift(a: Self::Weights, places: i32) -> Self::Weights {
        // SAFETY: see above.
        unsafe { quad(|i| vshlq_u8(a[i], vdupq_n_s8(-places as i8))) }
    }
    #[inline(always)]
    unsafe fn with_high_bits<const MASK: i8>(nibbles: Self::Weights, bits: Self::Weights) -> Self::Weights {
        // SAFETY: see above.
        unsafe { quad(|i| vorrq_u8(nibbles[i], vandq_u8(bits[i], vdupq_n_u8(MASK as u8)))) }
    }
    #[inline(always)]
    unsafe fn start(correction: i32) -> Self::Sums {
        // SAFETY: see above.
        unsafe { D::start(correction) }
    }
    #[inline(always)]
    unsafe fn dot_nibbles(sums: Self::Sums, weights: Self::Weights, activations: i32) -> Self::Sums {
        // SAFETY: see above.
        unsafe { D::dot_nibbles(sums, weights, activations) }
    }
    #[inline(always)]
    unsafe fn dot_bytes(sums: Self::Sums, weights: Self::Weights, activations: i32) -> Self::Sums {
        // SAFETY: see above.
        unsafe { D::dot_bytes(sums, weights, activations) }
    }
    #[inline(always)]
    unsafe fn dot_run<
        const E: usize,
        const HALF: usize,
        const FROM: usize,
        const TO: usize,
        const GROUPS: usize,
        const TOKENS: usize,
    >(
        block: &Block,
        dots: &mut [[Self::Sums; TOKENS]; GROUPS],
    ) {
        // SAFETY: see above.
        unsafe { D::dot_run::<E, HALF, FROM, TO, GROUPS, TOKENS>(block, dots) }
    }
    #[inline(always)]
    unsafe fn sums_of_nibbles(sums: Self::Sums, correction: i32) -> Self::Floats {
        // SAFETY: see above.
        unsafe { D::sums_of_nibbles(sums, correction) }
    }
    #[inline(always)]
    unsafe fn sums_of_bytes(sums: Self::Sums) -> Self::Floats {
        // SAFETY: see above.
        unsafe { D::sums_of_bytes(sums) }
    }
    #[inline(always)]
    unsafe fn pin(sums: Self::Sums) -> Self::Sums {
        // SAFETY: see above.
        unsafe { D::pin(sums) }
    }
    #[inline(always)]
    unsafe fn prefetch(address: *const u8) {
        // SAFETY: a prefetch never faults.
        unsafe { asm!("prfm pldl1keep, [{0}]", in(reg) address, options(readonly, nostack, preserves_flags)) }
    }
    #[inline(always)]
    unsafe fn prefetch_for_later(address: *const u8) {
        // SAFETY: a prefetch never faults.
        unsafe { asm!("prfm pldl2keep, [{0}]", in(reg) address, options(readonly, nostack, preserves_flags)) }
    }
}

/// The first four of eight halves. Intrinsics for them are younger than the oldest Rust that builds this.
#[inline(always)]
fn widen_low(halves: uint16x8_t) -> float32x4_t {
    let floats;
    // SAFETY: from register to register.
    unsafe {
        asm!("fcvtl {0:v}.4s, {1:v}.4h", out(vreg) floats, in(vreg) halves, options(pure, nomem, nostack, preserves_flags));
    }
    floats
}

/// The last four.
#[inline(always)]
fn widen_high(halves: uint16x8_t) -> float32x4_t {
    let floats;
    // SAFETY: from register to register.
    unsafe {
        asm!("fcvtl2 {0:v}.4s, {1:v}.8h", out(vreg) floats, in(vreg) halves, options(pure, nomem, nostack, preserves_flags));
    }
    floats
}
