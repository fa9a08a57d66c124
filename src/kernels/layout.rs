//! How weights and activations lie in memory for the tiles of `tile.rs`.
//!
//! Weights: groups of 16 rows; in a group, one chunk for every 64 columns, one after the other, so that a group is
//! read as one forward stream. A chunk is two blocks of 32 columns, each with a scale per row:
//!
//! ```text
//! scales    [block 0, 1][16 rows] f16
//! minima    [block 0, 1][16 rows] f16        only where the encoding has them
//! weights   4-bit: [j: 0..8][row r: 0..16][i: 0..4]     low nibble: column 4j+i, high nibble: column 32+4j+i
//!           5-bit: the same, then the fifth bits, [block 0, 1][r][i]: bit (4+j) mod 8 is column 4j+i's
//!           8-bit: [block 0, 1][j][r][i]                value + 128 of column 32·block+4j+i
//! ```
//!
//! So 64 bytes of weights hold four consecutive columns of sixteen rows: a dot product of bytes adds four columns in
//! each lane, every lane is a row, and no sum ever crosses lanes. Missing rows and columns are zeros.
//!
//! Activations: tiles of `w` tokens; in a tile, for every 32 columns:
//!
//! ```text
//! scales       [w] f32
//! corrections  [w] i32, what the offset of the weights adds to the sum; or f32 sums where there are minima
//! values       [j: 0..8][w][i: 0..4] i8      column 4j+i
//! ```

use std::mem::{offset_of, size_of};

use half::f16;

use super::isa::LANES;

/// Columns that share a scale.
pub(super) const BLOCK: usize = 32;
/// Columns of a chunk.
pub(super) const CHUNK: usize = 2 * BLOCK;
/// 64-byte vectors of a block of bytes.
pub(super) const VECTORS: usize = BLOCK / 4;
/// Bytes of one token's activations in a block.
pub(super) const ACTIVATION_BYTES: usize = 4 + 4 + BLOCK;

type Scales = [[f16; LANES]; 2];
type Vector = [u8; 4 * LANES];

#[repr(C, align(64))]
struct FourBitChunk {
    scales: Scales,
    weights: [Vector; VECTORS],
}

#[repr(C, align(64))]
struct FourBitMinimumChunk {
    scales: Scales,
    minima: Scales,
    weights: [Vector; VECTORS],
}

#[repr(C, align(64))]
struct FiveBitChunk {
    scales: Scales,
    weights: [Vector; VECTORS],
    fifth: [Vector; 2],
}

#[repr(C, align(64))]
struct EightBitChunk {
    scales: Scales,
    weights: [[Vector; VECTORS]; 2],
}

const _: () = assert!(size_of::<FourBitChunk>() == 576 && offset_of!(FourBitChunk, weights) == 64);
const _: () =
    assert!(size_of::<FourBitMinimumChunk>() == 640 && offset_of!(FourBitMinimumChunk, weights) == 128);
const _: () = assert!(offset_of!(FourBitMinimumChunk, minima) == MINIMA);
const _: () = assert!(size_of::<FiveBitChunk>() == 704 && offset_of!(FiveBitChunk, weights) == 64);
const _: () = assert!(offset_of!(FiveBitChunk, fifth) == offset_of!(FiveBitChunk, weights) + FIFTH);
const _: () = assert!(offset_of!(FiveBitChunk, scales) == 0);
const _: () = assert!(size_of::<EightBitChunk>() == 1088 && offset_of!(EightBitChunk, weights) == 64);
const _: () = assert!(offset_of!(FourBitChunk, scales) == 0 && offset_of!(EightBitChunk, scales) == 0);
const _: () = assert!(offset_of!(FourBitMinimumChunk, scales) == 0);

/// Offset of the minima in a chunk that has them.
pub(super) const MINIMA: usize = 64;
/// Offset of the fifth bits from the weights.
pub(super) const FIFTH: usize = VECTORS * 64;

/// How a packed matrix holds its weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// (q − 8) · scale, q in 0…15
    FourBit,
    /// q · scale + minimum, q in 0…15
    FourBitMinimum,
    /// (q − 16) · scale, q in 0…31
    FiveBit,
    /// q · scale, q in −128…127
    EightBit,
}

impl Encoding {
    /// Every encoding; their places here number them.
    pub(super) const ALL: [Encoding; 4] =
        [Encoding::FourBit, Encoding::FourBitMinimum, Encoding::FiveBit, Encoding::EightBit];

    /// The name in files of packed weights.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Encoding::FourBit => "four-bit",
            Encoding::FourBitMinimum => "four-bit-minimum",
            Encoding::FiveBit => "five-bit",
            Encoding::EightBit => "eight-bit",
        }
    }

    /// The encoding of this name.
    pub(super) fn named(name: &str) -> Option<Encoding> {
        Encoding::ALL.into_iter().find(|encoding| encoding.name() == name)
    }

    /// Bytes of a chunk.
    pub(super) const fn chunk_bytes(self) -> usize {
        match self {
            Encoding::FourBit => size_of::<FourBitChunk>(),
            Encoding::FourBitMinimum => size_of::<FourBitMinimumChunk>(),
            Encoding::FiveBit => size_of::<FiveBitChunk>(),
            Encoding::EightBit => size_of::<EightBitChunk>(),
        }
    }

    /// Offset of the weights in a chunk.
    pub(super) const fn weights_offset(self) -> usize {
        match self {
            Encoding::FourBit => offset_of!(FourBitChunk, weights),
            Encoding::FourBitMinimum => offset_of!(FourBitMinimumChunk, weights),
            Encoding::FiveBit => offset_of!(FiveBitChunk, weights),
            Encoding::EightBit => offset_of!(EightBitChunk, weights),
        }
    }
}

/// A buffer on 64-byte boundaries.
#[derive(Default)]
pub(super) struct AlignedBytes(Vec<CacheLine>);

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct CacheLine([u8; 64]);

impl AsRef<[u8]> for AlignedBytes {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl AlignedBytes {
    /// `bytes` zeros, rounded up to whole cache lines.
    pub(super) fn zeroed(bytes: usize) -> Self {
        let mut buffer = AlignedBytes::default();
        buffer.grow(bytes);
        buffer
    }

    /// Makes room for at least `bytes` bytes; keeps what is there.
    pub(super) fn grow(&mut self, bytes: usize) {
        if bytes > self.len() {
            self.0.resize(bytes.div_ceil(64), CacheLine([0; 64]));
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len() * 64
    }

    pub(super) fn as_ptr(&self) -> *const u8 {
        self.0.as_ptr().cast()
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut u8 {
        self.0.as_mut_ptr().cast()
    }

    #[cfg(test)]
    pub(super) fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: as in `as_slice`; any byte is a valid byte.
        unsafe { std::slice::from_raw_parts_mut(self.as_mut_ptr(), self.len()) }
    }

    pub(super) fn as_floats_mut(&mut self) -> &mut [f32] {
        // SAFETY: the lines are aligned for floats, and any four bytes are a float.
        unsafe { std::slice::from_raw_parts_mut(self.as_mut_ptr().cast(), self.len() / size_of::<f32>()) }
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        // SAFETY: the vector's lines are plain bytes, without padding.
        unsafe { std::slice::from_raw_parts(self.as_ptr(), self.len()) }
    }
}
