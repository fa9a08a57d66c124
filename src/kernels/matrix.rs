//! Packed matrices: weights in the order in which the kernels read them, owned or in a mapped file.

use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result, ensure};

use super::aligned::AlignedBytes;
use super::isa::LANES;
use super::layout::{BLOCK, Encoding};
use super::pack::unpack_block;

/// A matrix of `rows` × `cols` weights in 4 to 8 bits, and a bias for each row if it has one.
pub struct PackedMatrix {
    pub(super) encoding: Encoding,
    pub(super) rows: usize,
    pub(super) cols: usize,
    /// Bytes of 16 rows; of planes, in the first.
    pub(super) group_bytes: usize,
    packed: Packed,
    /// Of rows in planes, once they were asked for.
    pub(super) steps: OnceLock<Vec<f32>>,
    /// Filled up with zeros to whole groups of rows.
    bias: Option<Vec<f32>>,
}

/// Bytes that others own, such as a mapped file.
pub type SharedBytes = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// Where the weights are: `bytes` bytes from `offset` on, which lies on 64 bytes.
#[derive(Clone)]
struct Packed {
    file: SharedBytes,
    offset: usize,
    bytes: usize,
}

impl PackedMatrix {
    pub(super) fn from_packed(encoding: Encoding, rows: usize, cols: usize, packed: AlignedBytes) -> Self {
        let bytes = packed.len();
        PackedMatrix::of(encoding, rows, cols, Packed { file: Arc::new(packed), offset: 0, bytes })
    }

    fn of(encoding: Encoding, rows: usize, cols: usize, packed: Packed) -> Self {
        let group_bytes = encoding.group_bytes(cols);
        PackedMatrix { encoding, rows, cols, group_bytes, packed, steps: OnceLock::new(), bias: None }
    }

    /// A matrix whose packed form, as [`PackedMatrix::as_bytes`] gave it, lies at `offset` of `file`.
    ///
    /// # Errors
    /// When there is no such encoding, the bytes are too few, or they do not lie on 64 bytes.
    pub fn from_shared(
        encoding: &str,
        rows: usize,
        cols: usize,
        file: SharedBytes,
        offset: usize,
    ) -> Result<PackedMatrix> {
        let encoding = Encoding::named(encoding).context("no packed matrix")?;
        ensure!(rows > 0 && cols > 0 && encoding.fits(cols), "no packed matrix");
        let bytes = encoding.matrix_bytes(rows, cols);
        let all: &[u8] = (*file).as_ref();
        let found = offset.checked_add(bytes).and_then(|end| all.get(offset..end));
        ensure!(
            found.is_some_and(|found| found.as_ptr().addr().is_multiple_of(64)),
            "no packed matrix there"
        );
        Ok(PackedMatrix::of(encoding, rows, cols, Packed { file, offset, bytes }))
    }

    /// The same matrix with a value that is added to each row's product.
    ///
    /// # Errors
    /// When there are not as many values as rows.
    pub fn with_bias(mut self, bias: &[f32]) -> Result<PackedMatrix> {
        ensure!(bias.len() == self.rows, "{} biases for {} rows", bias.len(), self.rows);
        let mut padded = bias.to_vec();
        padded.resize(self.rows.next_multiple_of(LANES), 0.0);
        self.bias = Some(padded);
        Ok(self)
    }

    /// The same matrix with the bias of another of as many rows.
    pub(super) fn with_bias_of(mut self, other: PackedMatrix) -> PackedMatrix {
        self.bias = other.bias;
        self
    }

    /// Rows: the length of the product.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns: the length of what it is multiplied with.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Memory that the weights take.
    pub fn bytes(&self) -> usize {
        self.as_bytes().len()
    }

    /// Of them, what a token reads where only the largest products are wanted: see [`super::multiply_top`].
    pub fn bytes_for_top(&self) -> usize {
        self.high_plane().map_or(self.bytes(), |high| high.bytes())
    }

    /// Name of the encoding of [`PackedMatrix::as_bytes`].
    pub fn encoding(&self) -> &'static str {
        self.encoding.name()
    }

    /// The weights as they are packed.
    pub fn as_bytes(&self) -> &[u8] {
        let Packed { file, offset, bytes } = &self.packed;
        &(**file).as_ref()[*offset..offset + bytes]
    }

    /// The upper four bits of a matrix in planes, whose values are on average a sixteenth of its own, or a quarter of six bits:
    /// what [`PackedMatrix::as_bytes`] begins with.
    pub(super) fn high_plane(&self) -> Option<PackedMatrix> {
        let high = self.encoding.high_plane().filter(|_| self.bias.is_none())?;
        let bytes = high.matrix_bytes(self.rows, self.cols);
        let packed = Packed { bytes, ..self.packed.clone() };
        Some(PackedMatrix::of(high, self.rows, self.cols, packed))
    }

    /// The planes of a group; without planes, the group and nothing.
    pub(super) fn planes(&self, group: usize) -> (&[u8], &[u8]) {
        let (low_bytes, groups) = (self.encoding.low_group_bytes(self.cols), self.rows.div_ceil(LANES));
        let (high, low) = self.as_bytes().split_at(groups * self.group_bytes);
        (&high[group * self.group_bytes..][..self.group_bytes], &low[group * low_bytes..][..low_bytes])
    }

    /// Bias of every row, whole groups, if there is one.
    pub(super) fn bias(&self) -> Option<&[f32]> {
        self.bias.as_deref()
    }

    /// Writes one row's values to `out`, as for the embedding of a token.
    ///
    /// # Errors
    /// When there is no such row, or `out` is not one row long.
    pub fn row(&self, row: usize, out: &mut [f32]) -> Result<()> {
        ensure!(row < self.rows, "row {row} of a matrix of {} rows", self.rows);
        ensure!(out.len() == self.cols, "a row has {} values, not {}", self.cols, out.len());
        let (group, low) = self.planes(row / LANES);
        for (column, out) in out.as_chunks_mut::<BLOCK>().0.iter_mut().enumerate() {
            unpack_block(self.encoding, group, low, row % LANES, column, out);
        }
        Ok(())
    }
}
