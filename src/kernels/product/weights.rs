//! The weights of a pass, as they lie in the matrix or as they are made ready beside it.

use super::super::Kernels;
use super::super::layout::{Encoding, PART, WIDE_SCALES};
use super::super::matrix::PackedMatrix;

/// Tiles of tokens from which a group's nested scales are multiplied out before its weights are multiplied.
const TILES_WORTH_SPREADING: usize = 4;

/// A few groups of rows, from the first on.
#[derive(Clone, Copy)]
pub(super) struct Weights<'a> {
    pub(super) matrix: &'a PackedMatrix,
    /// How they are multiplied.
    pub(super) encoding: Encoding,
    pub(super) start: *const u8,
    /// Bytes from one group to the next.
    pub(super) group_bytes: usize,
    /// The scales, where they are multiplied out.
    pub(super) wide: *const u8,
    first_group: usize,
}

impl<'a> Weights<'a> {
    pub(super) fn of(matrix: &'a PackedMatrix, first_group: usize) -> Self {
        let start = matrix.as_bytes()[first_group * matrix.group_bytes..].as_ptr();
        let PackedMatrix { encoding, group_bytes, .. } = *matrix;
        Weights { matrix, encoding, start, group_bytes, wide: start, first_group }
    }

    /// Bytes of a group's scales multiplied out.
    pub(super) fn wide_bytes(&self) -> usize {
        self.matrix.cols.div_ceil(PART) * WIDE_SCALES
    }

    /// Bytes that so many groups take when they are made ready for so many tiles of tokens; none if they are multiplied as
    /// they lie.
    pub(super) fn prepared_bytes(&self, kernels: &Kernels, groups: usize, tiles: usize) -> usize {
        let spreads = kernels.routines.spread_scales.is_some() && tiles >= TILES_WORTH_SPREADING;
        groups
            * match self.encoding {
                Encoding::FourBitNested if spreads => self.wide_bytes(),
                Encoding::EightBitPlanes => Encoding::EightBit.group_bytes(self.matrix.cols),
                _ => 0,
            }
    }

    /// The same made ready in `room`: planes joined, and nested scales multiplied out.
    ///
    /// # Safety
    /// The level must be available; the groups must exist, and `room` be `bytes` bytes on 64: as many as
    /// [`Weights::prepared_bytes`] says.
    pub(super) unsafe fn prepared(
        self,
        kernels: &Kernels,
        groups: usize,
        bytes: usize,
        room: *mut u8,
    ) -> Self {
        if bytes == 0 {
            return self;
        }
        let group_bytes = bytes / groups;
        for group in 0..groups {
            // SAFETY: the caller's promise.
            unsafe {
                let room = room.add(group * group_bytes);
                if self.encoding == Encoding::EightBitPlanes {
                    let (high, low) = self.matrix.planes(self.first_group + group);
                    let room = std::slice::from_raw_parts_mut(room, group_bytes);
                    (kernels.routines.join_planes)(high, low, room);
                } else if let Some(spread_scales) = kernels.routines.spread_scales {
                    let chunks = self.matrix.cols / self.encoding.chunk_columns();
                    spread_scales(self.start.add(group * self.group_bytes), chunks, room);
                }
            }
        }
        match self.encoding {
            Encoding::EightBitPlanes => {
                Weights { encoding: Encoding::EightBit, start: room, group_bytes, wide: room, ..self }
            }
            _ => Weights { encoding: Encoding::FourBitWide, wide: room, ..self },
        }
    }
}
