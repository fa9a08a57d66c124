//! Packed matrices and their product with a batch of tokens.

use anyhow::{Result, ensure};

use super::isa::LANES;
use super::layout::{ACTIVATION_BYTES, AlignedBytes, BLOCK, CHUNK, Encoding};
use super::pack::unpack_block;
use super::routines::Routines;
use super::tile::{MAX_GROUPS, MAX_TOKENS, Tile};
use super::{Kernels, SharedPointer};

/// A matrix of `rows` × `cols` weights in 4 or 8 bits, in the order in which the kernels read it.
pub struct PackedMatrix {
    encoding: Encoding,
    rows: usize,
    cols: usize,
    /// Bytes of 16 rows.
    group_bytes: usize,
    packed: AlignedBytes,
}

/// Tokens whose activations stay in the second-level cache while the rows go by.
const TOKENS_PER_BLOCK: usize = 96;
/// Weights of a task when there are few tokens: large against the cost of a task, small against a matrix.
const BYTES_PER_TASK: usize = 64 << 10;
/// Tokens up to which one thread quantises them at once, instead of starting a region.
const TOKENS_QUANTIZED_IN_PLACE: usize = 4;

impl PackedMatrix {
    pub(super) fn from_packed(encoding: Encoding, rows: usize, cols: usize, packed: AlignedBytes) -> Self {
        PackedMatrix {
            encoding,
            rows,
            cols,
            group_bytes: cols.div_ceil(CHUNK) * encoding.chunk_bytes(),
            packed,
        }
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
        self.packed.len()
    }

    /// Writes one row's values to `out`, as for the embedding of a token.
    ///
    /// # Errors
    /// When there is no such row, or `out` is not one row long.
    pub fn row(&self, row: usize, out: &mut [f32]) -> Result<()> {
        ensure!(row < self.rows, "row {row} of a matrix of {} rows", self.rows);
        ensure!(out.len() == self.cols, "a row has {} values, not {}", self.cols, out.len());
        let group = &self.packed.as_slice()[row / LANES * self.group_bytes..][..self.group_bytes];
        for (column, out) in out.as_chunks_mut::<BLOCK>().0.iter_mut().enumerate() {
            unpack_block(self.encoding, group, row % LANES, column, out);
        }
        Ok(())
    }

    /// `out[t][r] = Σ_c self[r][c] · x[t][c]` for `tokens` tokens `t`, `x` rounded to 8 bits with a scale per 32.
    ///
    /// # Errors
    /// When there are no tokens, or `x` or `out` has another length than `tokens` rows.
    pub fn multiply(&self, kernels: &Kernels, tokens: usize, x: &[f32], out: &mut [f32]) -> Result<()> {
        ensure!(tokens > 0, "a product needs at least one token");
        ensure!(
            tokens.checked_mul(self.cols) == Some(x.len())
                && tokens.checked_mul(self.rows) == Some(out.len()),
            "a product of {} × {} weights and {tokens} tokens got {} values and room for {}",
            self.rows,
            self.cols,
            x.len(),
            out.len()
        );
        let routines = kernels.routines;
        let tiling = Tiling::new(tokens, routines.tile_tokens);
        let token_bytes = self.cols.div_ceil(CHUNK) * 2 * ACTIVATION_BYTES;
        let mut scratch = kernels.scratch();
        scratch.activations.grow(tokens * token_bytes);
        let activations = SharedPointer(scratch.activations.as_mut_ptr());

        let quantize = |tile: usize| {
            let (first, width) = tiling.tile(tile);
            for index in 0..width {
                // SAFETY: the level is available; `x` holds this token, and the tiles before this one take
                // `first` times `token_bytes` of the scratch, which has room for all of them.
                unsafe {
                    let token = x.as_ptr().add((first + index) * self.cols);
                    let tile = activations.get().add(first * token_bytes);
                    (routines.quantize_token)(self.encoding, token, self.cols, tile, width, index);
                }
            }
        };
        if tokens <= TOKENS_QUANTIZED_IN_PLACE {
            (0..tiling.tiles).for_each(quantize);
        } else {
            kernels.pool.run(tiling.tiles, &quantize);
        }

        let product = Product {
            matrix: self,
            routines,
            tiling,
            groups_per_pass: if tiling.tiles == 1 { 1 } else { routines.wide_groups },
            activations: SharedPointer(activations.get()),
            token_bytes,
            out: SharedPointer(out.as_mut_ptr()),
        };
        let groups = self.rows.div_ceil(LANES);
        let passes = groups.div_ceil(product.groups_per_pass);
        let token_blocks = tokens.div_ceil(TOKENS_PER_BLOCK);
        let threads = kernels.threads();
        let wanted = if tiling.tiles == 1 {
            (self.bytes() / BYTES_PER_TASK).clamp(threads, 8 * threads)
        } else {
            (4 * threads).div_ceil(token_blocks)
        };
        let row_blocks = wanted.clamp(1, passes);
        kernels.pool.run(token_blocks * row_blocks, &|task| {
            let (token_block, row_block) = (task / row_blocks, task % row_blocks);
            let tiles = share(tiling.tiles, token_blocks, token_block);
            // SAFETY: the level is available; tasks differ in their tokens or in their rows.
            unsafe { product.multiply(share(passes, row_blocks, row_block), tiles) };
        });
        Ok(())
    }
}

/// The `index`-th of `parts` nearly equal parts of `0..count`.
fn share(count: usize, parts: usize, index: usize) -> std::ops::Range<usize> {
    count * index / parts..count * (index + 1) / parts
}

/// How tokens are divided into tiles: as few as possible, their widths as even as possible, the wider ones first.
#[derive(Clone, Copy)]
struct Tiling {
    tiles: usize,
    narrow: usize,
    wider: usize,
}

impl Tiling {
    fn new(tokens: usize, widest: usize) -> Self {
        let tiles = tokens.div_ceil(widest);
        Tiling { tiles, narrow: tokens / tiles, wider: tokens % tiles }
    }

    /// The first token and the number of tokens of a tile.
    fn tile(self, tile: usize) -> (usize, usize) {
        (tile * self.narrow + tile.min(self.wider), self.narrow + usize::from(tile < self.wider))
    }
}

/// A product under way.
struct Product<'a> {
    matrix: &'a PackedMatrix,
    routines: &'static Routines,
    tiling: Tiling,
    groups_per_pass: usize,
    activations: SharedPointer<u8>,
    token_bytes: usize,
    out: SharedPointer<f32>,
}

impl Product<'_> {
    /// Multiplies some of the rows with some of the tokens.
    ///
    /// # Safety
    /// The level must be available, and nobody else may write these rows of these tokens meanwhile.
    unsafe fn multiply(&self, passes: std::ops::Range<usize>, tiles: std::ops::Range<usize>) {
        let matrix = self.matrix;
        let all_groups = matrix.rows.div_ceil(LANES);
        for pass in passes {
            let first_group = pass * self.groups_per_pass;
            let groups = self.groups_per_pass.min(all_groups - first_group);
            let first_row = first_group * LANES;
            let rows = (groups * LANES).min(matrix.rows - first_row);
            for tile in tiles.clone() {
                let (first_token, tokens) = self.tiling.tile(tile);
                // SAFETY: the groups and the tokens exist, so all offsets lie inside their buffers; a tile writes
                // whole groups, so a partial one goes through `edge`, which has room for the largest tile.
                unsafe {
                    let out = self.out.get().add(first_token * matrix.rows + first_row);
                    let mut operands = Tile {
                        weights: matrix.packed.as_ptr().add(first_group * matrix.group_bytes),
                        group_stride: matrix.group_bytes,
                        activations: self.activations.get().add(first_token * self.token_bytes),
                        chunks: matrix.cols.div_ceil(CHUNK),
                        out,
                        out_stride: matrix.rows,
                    };
                    let multiply = (self.routines.multiply_tile)(matrix.encoding, groups, tokens);
                    if rows == groups * LANES {
                        multiply(&operands);
                        continue;
                    }
                    let mut edge = [0.0_f32; MAX_TOKENS * MAX_GROUPS * LANES];
                    (operands.out, operands.out_stride) = (edge.as_mut_ptr(), groups * LANES);
                    multiply(&operands);
                    for token in 0..tokens {
                        let source = edge.as_ptr().add(token * groups * LANES);
                        std::ptr::copy_nonoverlapping(source, out.add(token * matrix.rows), rows);
                    }
                }
            }
        }
    }
}
