//! The weights of a pass, as they lie in the matrix or as they are made ready beside it.

use super::super::Kernels;
use super::super::layout::{Encoding, PART, WIDE_SCALES};
use super::super::matrix::PackedMatrix;
use super::super::tile::Prepare;

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

    /// How many bytes ahead of the multiplication they are asked for: so many where they lie in the matrix, none where they were
    /// made ready, as those are in the cache.
    pub(super) fn ahead(&self, bytes: usize) -> usize {
        if self.encoding == self.matrix.encoding || self.encoding.is_wide() { bytes } else { 0 }
    }

    /// What they are made into for so many tiles of tokens, and how; nothing if they are multiplied as they lie.
    fn preparation(&self, kernels: &Kernels, tiles: usize) -> Option<(Encoding, Preparation)> {
        if let Some(joined) = self.encoding.joined() {
            return Some((joined, Preparation::JoinPlanes));
        }
        let routine = (kernels.routines.prepare)(self.encoding, tiles)?;
        Some((self.encoding.for_many_tokens()?, Preparation::Routine(routine)))
    }

    /// Bytes that so many groups take when they are made ready for so many tiles of tokens; none if they are multiplied as
    /// they lie.
    pub(super) fn prepared_bytes(&self, kernels: &Kernels, groups: usize, tiles: usize) -> usize {
        self.preparation(kernels, tiles).map_or(0, |(made, _)| groups * self.bytes_as(made))
    }

    /// Bytes of what a group is made into.
    fn bytes_as(&self, made: Encoding) -> usize {
        if made.is_wide() { self.wide_bytes() } else { made.group_bytes(self.matrix.cols) }
    }

    /// The same made ready in `room`.
    ///
    /// # Safety
    /// The level must be available; the groups must exist, and `room` be as many bytes on 64 as
    /// [`Weights::prepared_bytes`] says.
    pub(super) unsafe fn prepared(
        self,
        kernels: &Kernels,
        groups: usize,
        tiles: usize,
        room: *mut u8,
    ) -> Self {
        let Some((made, preparation)) = self.preparation(kernels, tiles) else {
            return self;
        };
        let bytes = self.bytes_as(made);
        for group in 0..groups {
            // SAFETY: the caller's promise.
            unsafe {
                let room = room.add(group * bytes);
                match preparation {
                    Preparation::JoinPlanes => {
                        let (high, low) = self.matrix.planes(self.first_group + group);
                        let room = std::slice::from_raw_parts_mut(room, bytes);
                        (kernels.routines.join_planes)(self.encoding, high, low, room);
                    }
                    Preparation::Routine(prepare) => {
                        let chunks = self.matrix.cols.div_ceil(self.encoding.chunk_columns());
                        prepare(self.start.add(group * self.group_bytes), chunks, room);
                    }
                }
            }
        }
        match made.is_wide() {
            true => Weights { encoding: made, wide: room, ..self },
            false => Weights { encoding: made, start: room, group_bytes: bytes, wide: room, ..self },
        }
    }
}

/// How a group of rows is made ready.
enum Preparation {
    JoinPlanes,
    Routine(Prepare),
}
