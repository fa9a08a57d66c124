//! The kernels of each instruction level, compiled for it and gathered in one table.

use super::attention::AttentionTask;
use super::elementwise::Angles;
use super::layout::Encoding;
use super::scores::GroupsInReach;
use super::tile::{MultiplyTile, Prepare};

/// What a level can do. All functions need the level to be available.
pub(super) struct Routines {
    /// See [`super::isa::Isa::WIDE_GROUPS`].
    pub(super) wide_groups: usize,
    /// See [`super::isa::Isa::TILE_TOKENS`].
    pub(super) tile_tokens: usize,
    /// See [`super::isa::Isa::FEW_TOKENS`].
    pub(super) few_tokens: usize,
    /// The tile for so many groups of rows and tokens.
    pub(super) multiply_tile: fn(Encoding, usize, usize) -> MultiplyTile,
    /// [`super::tile::quantize_token`]
    pub(super) quantize_token: unsafe fn(Encoding, *const f32, usize, *mut u8, usize, usize),
    /// How groups of an encoding are made ready for so many tiles of tokens, where that is worth it.
    pub(super) prepare: fn(Encoding, usize) -> Option<Prepare>,
    /// [`super::planes::join_planes`]
    pub(super) join_planes: unsafe fn(Encoding, &[u8], &[u8], &mut [u8]),
    /// [`super::attention::attend_task`]
    pub(super) attend: unsafe fn(&AttentionTask, &mut [f32]),
    /// [`super::attention::join_parts`]
    pub(super) join_parts: unsafe fn(&AttentionTask, *const f32, usize),
    /// [`super::elementwise::rms_norm_row`]
    pub(super) rms_norm_row: unsafe fn(&[f32], &[f32], f32, &mut [f32]),
    /// [`super::elementwise::swiglu_part`]
    pub(super) swiglu: unsafe fn(&[f32], &[f32], &mut [f32]),
    /// Asks for so many bytes from here on.
    pub(super) prefetch: unsafe fn(*const u8, usize),
    /// The same, to have them in the second-level cache.
    pub(super) prefetch_for_later: unsafe fn(*const u8, usize),
    /// [`super::elementwise::rotate`]
    pub(super) rotate: unsafe fn(&mut [f32], Angles),
    /// [`super::scores::greatest`]
    pub(super) greatest: unsafe fn(&[f32]) -> (usize, f32),
    /// [`super::scores::shift`]
    pub(super) shift: unsafe fn(&mut [f32], f32, f32, f32),
    /// [`super::scores::groups_in_reach`]
    pub(super) groups_in_reach: GroupsInReach,
    /// [`super::scores::sum_of_powers`]
    pub(super) sum_of_powers: unsafe fn(&[f32], f32) -> f32,
}

/// Instantiates every kernel for one level: `routines!(NAME, Isa, "features")`.
macro_rules! routines {
    ($table:ident, $isa:ty $(, $features:literal)?) => {
        static $table: $crate::kernels::routines::Routines = {
            use $crate::kernels::isa::Isa;
            use $crate::kernels::layout::Encoding;
            use $crate::kernels::tile::{MultiplyTile, Prepare, Tile};

            /// # Safety
            /// As [`$crate::kernels::tile::multiply_tile`].
            $(#[target_feature(enable = $features)])?
            unsafe fn tile<const E: usize, const GROUPS: usize, const TOKENS: usize>(
                tile: &Tile,
            ) {
                // SAFETY: the caller's promise.
                unsafe { $crate::kernels::tile::multiply_tile::<$isa, E, GROUPS, TOKENS>(tile) }
            }

            fn of_encoding<const E: usize>(groups: usize, tokens: usize) -> MultiplyTile {
                const WIDE: usize = <$isa as Isa>::WIDE_GROUPS;
                const SEVEN: usize = if <$isa as Isa>::FEW_TOKENS < 7 { 6 } else { 7 };
                const EIGHT: usize = if <$isa as Isa>::FEW_TOKENS < 8 { 6 } else { 8 };
                match (groups, tokens) {
                    (1, 1) => tile::<E, 1, 1>,
                    (1, 2) => tile::<E, 1, 2>,
                    (1, 3) => tile::<E, 1, 3>,
                    (1, 4) => tile::<E, 1, 4>,
                    (1, 5) => tile::<E, 1, 5>,
                    (1, 6) => tile::<E, 1, 6>,
                    (1, 7) => tile::<E, 1, SEVEN>,
                    (1, 8) => tile::<E, 1, EIGHT>,
                    (_, 1) => tile::<E, WIDE, 1>,
                    (_, 2) => tile::<E, WIDE, 2>,
                    (_, 3) => tile::<E, WIDE, 3>,
                    (_, 4) => tile::<E, WIDE, 4>,
                    (_, 5) => tile::<E, WIDE, 5>,
                    (_, _) => tile::<E, WIDE, 6>,
                }
            }

            fn multiply_tile(encoding: Encoding, groups: usize, tokens: usize) -> MultiplyTile {
                let most =
                    if groups == 1 { <$isa as Isa>::FEW_TOKENS } else { <$isa as Isa>::TILE_TOKENS };
                debug_assert!(groups <= <$isa as Isa>::WIDE_GROUPS && tokens <= most);
                macro_rules! of {
                    ($name:ident) => {
                        of_encoding::<{ Encoding::$name as usize }>(groups, tokens)
                    };
                }
                match encoding {
                    Encoding::FourBit | Encoding::HighOfEight => of!(FourBit),
                    Encoding::FourBitMinimum => of!(FourBitMinimum),
                    Encoding::FourBitNested => of!(FourBitNested),
                    Encoding::FourBitWide => of!(FourBitWide),
                    Encoding::FiveBit => of!(FiveBit),
                    Encoding::FiveBitMinimum => of!(FiveBitMinimum),
                    Encoding::SixBit => of!(SixBit),
                    Encoding::HighOfSix => of!(HighOfSix),
                    Encoding::FiveBitWhole => of!(FiveBitWhole),
                    Encoding::FiveBitMinimumWhole => of!(FiveBitMinimumWhole),
                    Encoding::SixBitWhole | Encoding::SixBitPlanes => of!(SixBitWhole),
                    Encoding::EightBit | Encoding::EightBitPlanes => of!(EightBit),
                }
            }

            /// # Safety
            /// As [`$crate::kernels::tile::quantize_token`].
            $(#[target_feature(enable = $features)])?
            unsafe fn quantize_token(
                encoding: Encoding,
                x: *const f32,
                columns: usize,
                tile: *mut u8,
                width: usize,
                index: usize,
            ) {
                macro_rules! of {
                    ($name:ident) => {
                        $crate::kernels::tile::quantize_token::<$isa, { Encoding::$name as usize }>(
                            x, columns, tile, width, index,
                        )
                    };
                }
                // SAFETY: the caller's promise.
                unsafe {
                    match encoding {
                        Encoding::FourBit => of!(FourBit),
                        Encoding::FourBitMinimum => of!(FourBitMinimum),
                        Encoding::FourBitNested | Encoding::FourBitWide => of!(FourBitNested),
                        Encoding::FiveBit | Encoding::FiveBitWhole => of!(FiveBit),
                        Encoding::FiveBitMinimum | Encoding::FiveBitMinimumWhole => of!(FiveBitMinimum),
                        Encoding::SixBit | Encoding::SixBitWhole | Encoding::SixBitPlanes => of!(SixBit),
                        Encoding::EightBit | Encoding::EightBitPlanes => of!(EightBit),
                        Encoding::HighOfEight => of!(HighOfEight),
                        Encoding::HighOfSix => of!(HighOfSix),
                    }
                }
            }

            /// # Safety
            /// As [`$crate::kernels::tile::spread_scales`].
            $(#[target_feature(enable = $features)])?
            unsafe fn spread_scales(from: *const u8, chunks: usize, to: *mut u8) {
                // SAFETY: the caller's promise.
                unsafe { $crate::kernels::tile::spread_scales::<$isa>(from, chunks, to) }
            }

            /// # Safety
            /// As [`$crate::kernels::tile::join_bits`].
            $(#[target_feature(enable = $features)])?
            unsafe fn join_bits<const E: usize>(from: *const u8, chunks: usize, to: *mut u8) {
                // SAFETY: the caller's promise.
                unsafe { $crate::kernels::tile::join_bits::<$isa, E>(from, chunks, to) }
            }

            fn prepare(encoding: Encoding, tiles: usize) -> Option<Prepare> {
                match encoding {
                    _ if <$isa as Isa>::tiles_worth_preparing(encoding).is_none_or(|worth| tiles < worth) => None,
                    Encoding::FourBitNested => Some(spread_scales),
                    Encoding::FiveBit => Some(join_bits::<{ Encoding::FiveBit as usize }>),
                    Encoding::FiveBitMinimum => Some(join_bits::<{ Encoding::FiveBitMinimum as usize }>),
                    Encoding::SixBit => Some(join_bits::<{ Encoding::SixBit as usize }>),
                    _ => None,
                }
            }

            /// # Safety
            /// The level must be available.
            $(#[target_feature(enable = $features)])?
            unsafe fn join_planes(planes: Encoding, high: &[u8], low: &[u8], whole: &mut [u8]) {
                $crate::kernels::planes::join_planes(planes, high, low, whole);
            }

            /// # Safety
            /// As [`$crate::kernels::attention::attend_task`].
            $(#[target_feature(enable = $features)])?
            unsafe fn attend(task: &$crate::kernels::attention::AttentionTask, scratch: &mut [f32]) {
                // SAFETY: the caller's promise.
                unsafe { $crate::kernels::attention::attend_task::<$isa>(task, scratch) }
            }

            /// # Safety
            /// As [`$crate::kernels::attention::join_parts`].
            $(#[target_feature(enable = $features)])?
            unsafe fn join_parts(task: &$crate::kernels::attention::AttentionTask, parts: *const f32, count: usize) {
                // SAFETY: the caller's promise.
                unsafe { $crate::kernels::attention::join_parts::<$isa>(task, parts, count) }
            }

            /// # Safety
            /// As [`$crate::kernels::elementwise::rms_norm_row`].
            $(#[target_feature(enable = $features)])?
            unsafe fn rms_norm_row(x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) {
                // SAFETY: the caller's promise.
                unsafe { $crate::kernels::elementwise::rms_norm_row::<$isa>(x, weight, epsilon, out) }
            }

            /// # Safety
            /// As [`$crate::kernels::elementwise::swiglu_part`].
            $(#[target_feature(enable = $features)])?
            unsafe fn swiglu(gate: &[f32], up: &[f32], out: &mut [f32]) {
                // SAFETY: the caller's promise.
                unsafe { $crate::kernels::elementwise::swiglu_part::<$isa>(gate, up, out) }
            }

            /// # Safety
            /// The level must be available.
            $(#[target_feature(enable = $features)])?
            unsafe fn rotate(heads: &mut [f32], angles: $crate::kernels::elementwise::Angles) {
                $crate::kernels::elementwise::rotate(heads, angles);
            }

            /// # Safety
            /// As [`$crate::kernels::scores::greatest`].
            $(#[target_feature(enable = $features)])?
            unsafe fn greatest(values: &[f32]) -> (usize, f32) {
                // SAFETY: the caller's promise.
                unsafe { $crate::kernels::scores::greatest::<$isa>(values) }
            }

            /// # Safety
            /// As [`$crate::kernels::scores::shift`].
            $(#[target_feature(enable = $features)])?
            unsafe fn shift(values: &mut [f32], factor: f32, offset: f32, most: f32) {
                // SAFETY: the caller's promise.
                unsafe { $crate::kernels::scores::shift::<$isa>(values, factor, offset, most) }
            }

            /// # Safety
            /// As [`$crate::kernels::scores::groups_in_reach`].
            $(#[target_feature(enable = $features)])?
            unsafe fn groups_in_reach(
                values: &[f32],
                steps: &[f32],
                reach: f32,
                limit: f32,
                found: &mut dyn FnMut(usize),
            ) {
                // SAFETY: the caller's promise.
                unsafe {
                    $crate::kernels::scores::groups_in_reach::<$isa>(values, steps, reach, limit, found);
                }
            }

            /// # Safety
            /// As [`$crate::kernels::scores::sum_of_powers`].
            $(#[target_feature(enable = $features)])?
            unsafe fn sum_of_powers(values: &[f32], greatest: f32) -> f32 {
                // SAFETY: the caller's promise.
                unsafe { $crate::kernels::scores::sum_of_powers::<$isa>(values, greatest) }
            }

            /// # Safety
            /// The level must be available.
            $(#[target_feature(enable = $features)])?
            unsafe fn prefetch(start: *const u8, bytes: usize) {
                for offset in (0..bytes).step_by(64) {
                    // SAFETY: the caller's promise; the address need not be valid.
                    unsafe { <$isa as Isa>::prefetch(start.wrapping_add(offset)) };
                }
            }

            /// # Safety
            /// The level must be available.
            $(#[target_feature(enable = $features)])?
            unsafe fn prefetch_for_later(start: *const u8, bytes: usize) {
                for offset in (0..bytes).step_by(64) {
                    // SAFETY: the caller's promise; the address need not be valid.
                    unsafe { <$isa as Isa>::prefetch_for_later(start.wrapping_add(offset)) };
                }
            }

            $crate::kernels::routines::Routines {
                wide_groups: <$isa as Isa>::WIDE_GROUPS,
                tile_tokens: <$isa as Isa>::TILE_TOKENS,
                few_tokens: <$isa as Isa>::FEW_TOKENS,
                multiply_tile,
                quantize_token,
                prepare,
                join_planes,
                attend,
                join_parts,
                rms_norm_row,
                swiglu,
                prefetch,
                prefetch_for_later,
                rotate,
                greatest,
                shift,
                groups_in_reach,
                sum_of_powers,
            }
        };
    };
}
pub(super) use routines;
