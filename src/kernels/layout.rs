//! How weights and activations lie in memory for the tiles of `tile.rs`.
//!
//! Weights: groups of 16 rows; in a group, one part for every 64 columns, one after the other, so that a group is
//! read as one forward stream. A part is two blocks of 32 columns, each with a scale per row:
//!
//! ```text
//! scales    [block 0, 1][16 rows] f16
//! minima    [block 0, 1][16 rows] f16        only where the encoding has them
//! weights   4-bit: [j: 0..8][row r: 0..16][i: 0..4]     low nibble: column 4j+i, high nibble: column 32+4j+i
//!           5-bit: the same, then the fifth bits, [block 0, 1][r][i]: bit (4+j) mod 8 is column 4j+i's
//!           6-bit: the same, then two bits more, [block 0, 1][j / 4][r][i]: bits (4+2j) mod 8 and (5+2j) mod 8
//!           8-bit: [block 0, 1][j][r][i]                value + 128 of column 32·block+4j+i
//! ```
//!
//! So 64 bytes of weights hold four consecutive columns of sixteen rows: a dot product of bytes adds four columns in
//! each lane, every lane is a row, and no sum ever crosses lanes. Missing rows and columns are zeros.
//!
//! Nested scales and minima are integers, each times a number for 256 columns of its row, which stands before the four parts of
//! these columns. Those of four bits have six bits; six bits have a scale for every 16 columns, and no minima:
//!
//! ```text
//! four bits:  scale, minimum      [16 rows] f16 each
//!             nibbles             [parts 0 and 1, 2 and 3][v: 0..64]     v: scales, then minima, [block 0, 1][16 rows];
//!                                                                        the first of two parts in the low nibbles
//!             upper two bits      [v: 0..64]                             those of part p: bits 2p and 2p+1
//!             4 × part            weights
//! six bits:   scale               [16 rows] f32
//!             4 × part            scales [block 0, 1][16 columns 0, 1][16 rows] i8; weights
//! ```
//!
//! Where many tokens are multiplied with five or six bits, these become a byte each before, so that they are put together once
//! and not for every tile of tokens. Before them stand the same scales; nested ones multiplied out, in f32.
//!
//! Eight and six bits may also lie in two planes: the upper four as four bits lie, behind scales of their own kind, and after
//! those of all groups the others, 512 or 256 bytes a part. So the first plane can be multiplied alone; see `planes.rs`.
//!
//! Activations: tiles of `w` tokens; in a tile, for every 32 columns:
//!
//! ```text
//! scales       [w] f32
//! corrections  [w] i32, what the offset of the weights adds to the sum; or f32 sums where there are minima
//!              [16 columns 0, 1][w] where every 16 columns have a scale
//! values       [j: 0..8][w][i: 0..4] i8      column 4j+i
//! ```

use std::mem::{offset_of, size_of};

use half::f16;

use super::isa::LANES;

/// Columns whose activations share a scale, and at most as many of weights.
pub(super) const BLOCK: usize = 32;
/// Columns of a part.
pub(super) const PART: usize = 2 * BLOCK;
/// Parts that nested scales have a number for.
pub(super) const NESTED_PARTS: usize = 4;
/// 64-byte vectors of a block of bytes.
pub(super) const VECTORS: usize = BLOCK / 4;

/// A value for each row.
type Rows<T> = [T; LANES];
type Vector = [u8; 4 * LANES];

#[repr(C, align(64))]
struct FourBitPart {
    scales: [Rows<f16>; 2],
    weights: [Vector; VECTORS],
}

#[repr(C, align(64))]
struct FourBitMinimumPart {
    scales: [Rows<f16>; 2],
    minima: [Rows<f16>; 2],
    weights: [Vector; VECTORS],
}

#[repr(C, align(64))]
struct FourBitNestedPart {
    weights: [Vector; VECTORS],
}

/// The scales and minima of a nested part multiplied out, as products of many tokens want them; they stand beside the weights.
#[repr(C, align(64))]
struct WideScales {
    scales: [Rows<f32>; 2],
    minima: [Rows<f32>; 2],
}

/// A part of five or six bits, a byte for each weight, as products of many tokens want it: behind scales of all sixteen rows,
/// and minima.
#[repr(C, align(64))]
struct WholePart<Scales> {
    scales: Scales,
    weights: [[Vector; VECTORS]; 2],
}
type SixBitWholePart = WholePart<[[Rows<f32>; 2]; 2]>;

/// What stands before four parts of four bits with nested scales.
#[repr(C, align(64))]
struct NestedHead {
    scales: Rows<f16>,
    minima: Rows<f16>,
    nibbles: [Vector; NESTED_PARTS / 2],
    upper: Vector,
}

#[repr(C, align(64))]
struct FiveBitPart {
    scales: [Rows<f16>; 2],
    weights: [Vector; VECTORS],
    fifth: [Vector; 2],
}

#[repr(C, align(64))]
struct FiveBitMinimumPart {
    scales: [Rows<f16>; 2],
    minima: [Rows<f16>; 2],
    weights: [Vector; VECTORS],
    fifth: [Vector; 2],
}

/// What stands before the parts of six bits.
#[repr(C, align(64))]
struct SixBitHead {
    scales: Rows<f32>,
}

#[repr(C, align(64))]
struct SixBitPart {
    scales: [[Rows<i8>; 2]; 2],
    weights: [Vector; VECTORS],
    high: [[Vector; 2]; 2],
}

/// A part of the upper four of six bits.
#[repr(C, align(64))]
struct SixBitHighPart {
    scales: [[Rows<i8>; 2]; 2],
    weights: [Vector; VECTORS],
}

#[repr(C, align(64))]
struct EightBitPart {
    scales: [Rows<f16>; 2],
    weights: [[Vector; VECTORS]; 2],
}

/// Offset of the minima from the scales in a part, or in what stands before nested parts.
pub(super) const MINIMA: usize = 64;
/// The same where they are nested, and in the bytes of a part's.
pub(super) const NESTED_MINIMA: usize = 32;
/// Offset of the nibbles of nested scales and minima in what stands before the parts.
pub(super) const NESTED_NIBBLES: usize = offset_of!(NestedHead, nibbles);
/// Offset of the two bits above these.
pub(super) const NESTED_UPPER: usize = offset_of!(NestedHead, upper);
/// The same where they are multiplied out.
pub(super) const WIDE_MINIMA: usize = 128;
/// Bytes of the scales and minima of a part that are multiplied out.
pub(super) const WIDE_SCALES: usize = size_of::<WideScales>();
/// Bytes of a part's weights where each is a byte.
const WHOLE: usize = 2 * VECTORS * 64;
/// Offset of the bits above the nibbles from the weights.
pub(super) const HIGH_BITS: usize = VECTORS * 64;

const _: () = assert!(size_of::<FourBitPart>() == 576 && offset_of!(FourBitPart, weights) == 64);
const _: () =
    assert!(size_of::<FourBitMinimumPart>() == 640 && offset_of!(FourBitMinimumPart, minima) == MINIMA);
const _: () = assert!(size_of::<FourBitNestedPart>() == 512 && size_of::<NestedHead>() == 256);
const _: () = assert!(NESTED_NIBBLES == 64 && NESTED_UPPER == 192);
const _: () = assert!(offset_of!(NestedHead, minima) == NESTED_MINIMA);
const _: () = assert!(WIDE_SCALES == 256 && offset_of!(WideScales, minima) == WIDE_MINIMA);
const _: () = assert!(size_of::<FiveBitPart>() == 704);
const _: () = assert!(offset_of!(FiveBitPart, fifth) == offset_of!(FiveBitPart, weights) + HIGH_BITS);
const _: () =
    assert!(size_of::<FiveBitMinimumPart>() == 768 && offset_of!(FiveBitMinimumPart, minima) == MINIMA);
const _: () =
    assert!(offset_of!(FiveBitMinimumPart, fifth) == offset_of!(FiveBitMinimumPart, weights) + HIGH_BITS);
const _: () = assert!(size_of::<SixBitPart>() == 832 && offset_of!(SixBitPart, weights) == 64);
const _: () = assert!(size_of::<SixBitHead>() == 64);
const _: () = assert!(offset_of!(SixBitPart, high) == offset_of!(SixBitPart, weights) + HIGH_BITS);
const _: () = assert!(size_of::<WholePart<[Rows<f16>; 2]>>() == offset_of!(FiveBitPart, weights) + WHOLE);
const _: () =
    assert!(offset_of!(WholePart<[Rows<f16>; 4]>, weights) == offset_of!(FiveBitMinimumPart, weights));
const _: () = assert!(size_of::<SixBitWholePart>() == 256 + WHOLE);
const _: () = assert!(size_of::<EightBitPart>() == 1088 && offset_of!(EightBitPart, weights) == 64);
const _: () = assert!(
    size_of::<FourBitPart>() + Encoding::EightBitPlanes.low_part_bytes() == size_of::<EightBitPart>()
);
const _: () =
    assert!(size_of::<SixBitHighPart>() + Encoding::SixBitPlanes.low_part_bytes() == size_of::<SixBitPart>());

/// How a packed matrix holds its weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// (q − 8) · scale, q in 0…15
    FourBit,
    /// q · scale + minimum, q in 0…15
    FourBitMinimum,
    /// The same, scale and minimum being six bits times numbers for 256 columns.
    FourBitNested,
    /// The same weights with scales and minima multiplied out beside them, for many tokens; never kept.
    FourBitWide,
    /// (q − 16) · scale, q in 0…31
    FiveBit,
    /// q · scale + minimum, q in 0…31
    FiveBitMinimum,
    /// (q − 32) · scale, q in 0…63, a scale for every 16 columns, which is a byte times a number for 256 columns
    SixBit,
    /// [`Encoding::FiveBit`] with a byte for each weight, for many tokens; never kept.
    FiveBitWhole,
    /// [`Encoding::FiveBitMinimum`] in the same way.
    FiveBitMinimumWhole,
    /// [`Encoding::SixBit`] in the same way, its scales multiplied out.
    SixBitWhole,
    /// q · scale, q in −128…127
    EightBit,
    /// The same in two planes; joined when it is multiplied.
    EightBitPlanes,
    /// [`Encoding::SixBit`] in the same way.
    SixBitPlanes,
    /// The first plane of eight bits alone: (q − 7.5) · scale, q in 0…15; never kept.
    HighOfEight,
    /// The first plane of six bits in the same way.
    HighOfSix,
}

impl Encoding {
    /// Every encoding; their places here number them.
    pub(super) const ALL: [Encoding; 15] = [
        Encoding::FourBit,
        Encoding::FourBitMinimum,
        Encoding::FourBitNested,
        Encoding::FourBitWide,
        Encoding::FiveBit,
        Encoding::FiveBitMinimum,
        Encoding::SixBit,
        Encoding::FiveBitWhole,
        Encoding::FiveBitMinimumWhole,
        Encoding::SixBitWhole,
        Encoding::EightBit,
        Encoding::EightBitPlanes,
        Encoding::SixBitPlanes,
        Encoding::HighOfEight,
        Encoding::HighOfSix,
    ];

    /// The name in files of packed weights.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Encoding::FourBit => "four-bit",
            Encoding::FourBitMinimum => "four-bit-minimum",
            Encoding::FourBitNested => "four-bit-nested",
            Encoding::FourBitWide => "four-bit-wide",
            Encoding::FiveBit => "five-bit",
            Encoding::FiveBitMinimum => "five-bit-minimum",
            Encoding::SixBit => "six-bit",
            Encoding::FiveBitWhole => "five-bit-whole",
            Encoding::FiveBitMinimumWhole => "five-bit-minimum-whole",
            Encoding::SixBitWhole => "six-bit-whole",
            Encoding::EightBit => "eight-bit",
            Encoding::EightBitPlanes => "eight-bit-planes",
            Encoding::SixBitPlanes => "six-bit-planes",
            Encoding::HighOfEight => "high-of-eight",
            Encoding::HighOfSix => "high-of-six",
        }
    }

    /// The encoding of this name, if weights are kept in it.
    pub(super) fn named(name: &str) -> Option<Encoding> {
        Encoding::ALL.into_iter().find(|encoding| encoding.name() == name && encoding.is_kept())
    }

    /// Bits of a weight.
    pub(super) const fn bits(self) -> usize {
        match self {
            Encoding::FourBit
            | Encoding::FourBitMinimum
            | Encoding::FourBitNested
            | Encoding::FourBitWide
            | Encoding::HighOfEight
            | Encoding::HighOfSix => 4,
            Encoding::FiveBit
            | Encoding::FiveBitMinimum
            | Encoding::FiveBitWhole
            | Encoding::FiveBitMinimumWhole => 5,
            Encoding::SixBit | Encoding::SixBitWhole | Encoding::SixBitPlanes => 6,
            Encoding::EightBit | Encoding::EightBitPlanes => 8,
        }
    }

    /// Bits that a weight takes, its scale not counted.
    pub(super) const fn stored_bits(self) -> usize {
        if self.is_whole() { 8 } else { self.bits() }
    }

    /// Whether bits above the nibbles lie behind them.
    pub(super) const fn has_high_bits(self) -> bool {
        matches!(self.stored_bits(), 5 | 6)
    }

    /// Whether there are minima; else there is an offset in the middle of the range.
    pub(super) const fn has_minima(self) -> bool {
        match self {
            Encoding::FourBitMinimum
            | Encoding::FourBitNested
            | Encoding::FourBitWide
            | Encoding::FiveBitMinimum
            | Encoding::FiveBitMinimumWhole => true,
            Encoding::FourBit
            | Encoding::FiveBit
            | Encoding::FiveBitWhole
            | Encoding::SixBit
            | Encoding::SixBitWhole
            | Encoding::EightBit
            | Encoding::EightBitPlanes
            | Encoding::SixBitPlanes
            | Encoding::HighOfEight
            | Encoding::HighOfSix => false,
        }
    }

    /// Whether scales and minima are integers times numbers for several parts.
    pub(super) const fn is_nested(self) -> bool {
        matches!(self, Encoding::FourBitNested) || self.scales() == 2 && !self.is_whole()
    }

    /// Whether these integers have six bits each and stand before the parts, not in them.
    pub(super) const fn has_six_bit_scales(self) -> bool {
        matches!(self, Encoding::FourBitNested)
    }

    /// Whether scales and minima stand beside the weights, as `f32`.
    pub(super) const fn is_wide(self) -> bool {
        matches!(self, Encoding::FourBitWide)
    }

    /// Whether weights of fewer bits are a byte each.
    pub(super) const fn is_whole(self) -> bool {
        matches!(self, Encoding::FiveBitWhole | Encoding::FiveBitMinimumWhole | Encoding::SixBitWhole)
    }

    /// Whether matrices are kept in it; the others are made of those, or are half of one.
    const fn is_kept(self) -> bool {
        !self.is_wide() && !self.is_whole() && !self.is_plane()
    }

    /// What the weights of a pass over many tokens are made into first, the products being the same, bit for bit.
    pub(super) const fn for_many_tokens(self) -> Option<Encoding> {
        match self {
            Encoding::FourBitNested => Some(Encoding::FourBitWide),
            Encoding::FiveBit => Some(Encoding::FiveBitWhole),
            Encoding::FiveBitMinimum => Some(Encoding::FiveBitMinimumWhole),
            Encoding::SixBit => Some(Encoding::SixBitWhole),
            _ => None,
        }
    }

    /// Whether it is the first of two planes.
    pub(super) const fn is_plane(self) -> bool {
        matches!(self, Encoding::HighOfEight | Encoding::HighOfSix)
    }

    /// The same weights in two planes.
    pub(super) const fn in_planes(self) -> Option<Encoding> {
        match self {
            Encoding::EightBit => Some(Encoding::EightBitPlanes),
            Encoding::SixBit => Some(Encoding::SixBitPlanes),
            _ => None,
        }
    }

    /// The first of two planes.
    pub(super) const fn high_plane(self) -> Option<Encoding> {
        match self {
            Encoding::EightBitPlanes => Some(Encoding::HighOfEight),
            Encoding::SixBitPlanes => Some(Encoding::HighOfSix),
            _ => None,
        }
    }

    /// What two planes are joined into, to be multiplied.
    pub(super) const fn joined(self) -> Option<Encoding> {
        match self {
            Encoding::EightBitPlanes => Some(Encoding::EightBit),
            Encoding::SixBitPlanes => Some(Encoding::SixBitWhole),
            _ => None,
        }
    }

    /// Bits of a weight in the second of two planes.
    pub(super) const fn low_bits(self) -> usize {
        match self {
            Encoding::EightBitPlanes => 4,
            Encoding::SixBitPlanes => 2,
            _ => 0,
        }
    }

    /// Bytes of a part in the second of two planes.
    pub(super) const fn low_part_bytes(self) -> usize {
        PART * LANES * self.low_bits() / 8
    }

    /// Scales of a row in a block.
    pub(super) const fn scales(self) -> usize {
        match self {
            Encoding::SixBit | Encoding::SixBitWhole | Encoding::SixBitPlanes | Encoding::HighOfSix => 2,
            _ => 1,
        }
    }

    /// Parts of a chunk: of what is repeated along a group.
    pub(super) const fn parts(self) -> usize {
        if self.is_nested() || self.is_wide() { NESTED_PARTS } else { 1 }
    }

    /// Whether rows may have so many columns: whole blocks, and whole chunks where those have several parts, because
    /// activations end with a part.
    pub(super) const fn fits(self, cols: usize) -> bool {
        cols.is_multiple_of(if self.parts() == 1 { BLOCK } else { self.chunk_columns() })
    }

    /// Columns of a chunk.
    pub(super) const fn chunk_columns(self) -> usize {
        self.parts() * PART
    }

    /// Bytes of a chunk.
    pub(super) const fn chunk_bytes(self) -> usize {
        self.parts_offset() + self.parts() * self.part_bytes()
    }

    /// Offset of the first part in a chunk.
    pub(super) const fn parts_offset(self) -> usize {
        match self {
            Encoding::FourBitNested | Encoding::FourBitWide => size_of::<NestedHead>(),
            _ if self.is_nested() => size_of::<SixBitHead>(),
            _ => 0,
        }
    }

    /// Bytes of a part; of planes, in the first.
    pub(super) const fn part_bytes(self) -> usize {
        match self {
            Encoding::FourBit | Encoding::EightBitPlanes | Encoding::HighOfEight => size_of::<FourBitPart>(),
            Encoding::FourBitMinimum => size_of::<FourBitMinimumPart>(),
            Encoding::FourBitNested | Encoding::FourBitWide => size_of::<FourBitNestedPart>(),
            Encoding::FiveBit => size_of::<FiveBitPart>(),
            Encoding::FiveBitMinimum => size_of::<FiveBitMinimumPart>(),
            Encoding::SixBit => size_of::<SixBitPart>(),
            Encoding::SixBitPlanes | Encoding::HighOfSix => size_of::<SixBitHighPart>(),
            Encoding::FiveBitWhole | Encoding::FiveBitMinimumWhole | Encoding::SixBitWhole => {
                self.weights_offset() + WHOLE
            }
            Encoding::EightBit => size_of::<EightBitPart>(),
        }
    }

    /// Offset of the weights in a part, whose scales come first.
    pub(super) const fn weights_offset(self) -> usize {
        match self {
            Encoding::FourBit | Encoding::EightBitPlanes | Encoding::HighOfEight => {
                offset_of!(FourBitPart, weights)
            }
            Encoding::FourBitMinimum => offset_of!(FourBitMinimumPart, weights),
            Encoding::FourBitNested | Encoding::FourBitWide => offset_of!(FourBitNestedPart, weights),
            Encoding::FiveBit | Encoding::FiveBitWhole => offset_of!(FiveBitPart, weights),
            Encoding::FiveBitMinimum | Encoding::FiveBitMinimumWhole => {
                offset_of!(FiveBitMinimumPart, weights)
            }
            Encoding::SixBit => offset_of!(SixBitPart, weights),
            Encoding::SixBitPlanes | Encoding::HighOfSix => offset_of!(SixBitHighPart, weights),
            Encoding::SixBitWhole => offset_of!(SixBitWholePart, weights),
            Encoding::EightBit => offset_of!(EightBitPart, weights),
        }
    }

    /// Bytes of a group of rows of so many columns; of planes, in the first.
    pub(super) const fn group_bytes(self, cols: usize) -> usize {
        cols.div_ceil(self.chunk_columns()).saturating_mul(self.chunk_bytes())
    }

    /// Bytes of a group in the second of two planes.
    pub(super) const fn low_group_bytes(self, cols: usize) -> usize {
        cols.div_ceil(PART).saturating_mul(self.low_part_bytes())
    }

    /// Bytes of a matrix.
    pub(super) const fn matrix_bytes(self, rows: usize, cols: usize) -> usize {
        let group = self.group_bytes(cols).saturating_add(self.low_group_bytes(cols));
        rows.div_ceil(LANES).saturating_mul(group)
    }

    /// Bytes of one token's activations in a block.
    pub(super) const fn activation_bytes(self) -> usize {
        size_of::<f32>() + self.scales() * size_of::<i32>() + BLOCK
    }

    /// Bytes of one token's activations in so many columns.
    pub(super) const fn token_bytes(self, cols: usize) -> usize {
        cols.div_ceil(PART) * 2 * self.activation_bytes()
    }
}
