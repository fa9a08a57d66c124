//! Products of packed matrices with a batch of tokens: several matrices in one region, gated, or added to a residual.
//!
//! ```text
//! for each part of the tokens:     as many as stay in the second-level cache; with many tokens, each has a home
//!     for each of its tokens:      normalise, if asked for; round to 8 bits with a scale per 32
//!     for each pass of rows:       one or two groups of sixteen, of one matrix after the other; meanwhile ask for the next
//!         for each tile of tokens: out = start + weights · activations                               (see tile.rs)
//! ```
//!
//! Few tokens are rounded by every thread for itself, while the first weights of its share are on their way; more, in a region
//! of their own; and many, which are at home with the threads (see `division.rs`), by the first who multiplies them.
//!
//! Where a pass is over one group, several are one call of the tile: a call takes as long as a dozen blocks of 32 columns.
//!
//! Passes are the tasks' currency. The first tasks take large shares and the last ones small, so that there are few to
//! take and the threads still end together.

mod weights;

use std::mem::MaybeUninit;
use std::ops::Range;
use std::slice;

use anyhow::{Result, ensure};

use super::division::{Homes, Shares, TileTokens};
use super::isa::LANES;
use super::layout::Encoding;
use super::matrix::PackedMatrix;
use super::pool::Preparation;
use super::scratch::{Scratch, new_region, thread_activations, with_thread_scratch, with_thread_weights};
use super::tile::{MAX_GROUPS, MAX_TOKENS, Tile};
use super::{Kernels, SharedPointer};
use weights::Weights;

/// Tokens up to which every thread rounds them for itself.
const TOKENS_ROUNDED_BY_EACH: usize = 4;
/// Bytes of weights that are asked for before that.
const FIRST_BYTES: usize = 16 << 10;
/// Groups of rows that a gated product multiplies before it opens gates.
const GATED_GROUPS: usize = 8;
const _: () = assert!(GATED_GROUPS >= MAX_GROUPS);
/// Bytes of weights that stay in the first-level cache for the next tile of tokens.
const AGAIN_BYTES: usize = 22 << 10;

/// What matrices are multiplied with: rows of values, normalised first if there is a norm.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// `[tokens][cols]`
    pub values: &'a [f32],
    /// Applied to every row.
    pub norm: Option<Norm<'a>>,
}

/// Root mean square normalisation.
#[derive(Clone, Copy)]
pub struct Norm<'a> {
    /// Of every column.
    pub weight: &'a [f32],
    pub epsilon: f32,
}

impl<'a> From<&'a [f32]> for Input<'a> {
    fn from(values: &'a [f32]) -> Self {
        Input { values, norm: None }
    }
}

/// `out[t] = (matrices[0] · x[t], matrices[1] · x[t], …)`, `x` rounded to 8 bits with a scale per 32; biases are added.
///
/// # Errors
/// When there is nothing to multiply, or a slice has another length than the shapes ask for.
pub fn multiply(kernels: &Kernels, matrices: &[&PackedMatrix], x: Input, out: &mut [f32]) -> Result<()> {
    let width = matrices.iter().map(|matrix| matrix.rows).sum();
    Product::new(kernels, matrices, x, out, width)?.run(Purpose::Store)
}

/// `out[t] += matrix · x[t]`; see [`multiply`].
///
/// # Errors
/// As [`multiply`], and where the matrix has a bias.
pub fn multiply_add(kernels: &Kernels, matrix: &PackedMatrix, x: Input, out: &mut [f32]) -> Result<()> {
    ensure!(matrix.bias().is_none(), "a product is added to one thing, a bias or values");
    Product::new(kernels, &[matrix], x, out, matrix.rows)?.run(Purpose::Add)
}

/// `out[t] = silu(gate · x[t]) · (up · x[t])`, silu(x) = x / (1 + e⁻ˣ); see [`multiply`].
///
/// # Errors
/// As [`multiply`], and where the two have not as many rows.
pub fn multiply_gated(
    kernels: &Kernels,
    gate: &PackedMatrix,
    up: &PackedMatrix,
    x: Input,
    out: &mut [f32],
) -> Result<()> {
    ensure!(gate.rows == up.rows, "{} rows of gates for {} rows", gate.rows, up.rows);
    Product::new(kernels, &[gate, up], x, out, gate.rows)?.run(Purpose::Gate)
}

/// What becomes of the sums.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Store,
    Add,
    Gate,
}

/// A product whose shapes fit.
#[derive(Clone, Copy)]
struct Product<'a> {
    kernels: &'a Kernels,
    matrices: &'a [&'a PackedMatrix],
    x: Input<'a>,
    out: SharedPointer<f32>,
    /// Values from one token to the next in `out`.
    out_width: usize,
    homes: Homes,
    /// Groups of rows in a pass.
    groups: usize,
    /// See [`Tile::ahead`].
    ahead: usize,
}

impl<'a> Product<'a> {
    fn new(
        kernels: &'a Kernels,
        matrices: &'a [&'a PackedMatrix],
        x: Input<'a>,
        out: &'a mut [f32],
        out_width: usize,
    ) -> Result<Self> {
        let Some(first) = matrices.first() else { anyhow::bail!("a product needs a matrix") };
        let cols = first.cols;
        ensure!(matrices.iter().all(|matrix| matrix.cols == cols), "matrices of one product differ in width");
        let tokens = x.values.len() / cols;
        ensure!(
            tokens > 0 && tokens * cols == x.values.len() && tokens.checked_mul(out_width) == Some(out.len()),
            "a product of {out_width} × {cols} weights got {} values and room for {}",
            x.values.len(),
            out.len()
        );
        let norm = x.norm.map_or(cols, |norm| norm.weight.len());
        ensure!(norm == cols, "a norm of {norm} values for rows of {cols}");
        let routines = kernels.routines;
        let is_one = tokens <= routines.few_tokens;
        let widest = if is_one { routines.few_tokens } else { routines.tile_tokens };
        let homes = Homes::new(tokens, widest, kernels.threads());
        // A second group saves loads of activations; where there are few, one stream of weights is easier to foresee.
        let groups = if homes.tiling.tiles <= 3 { 1 } else { kernels.routines.wide_groups };
        // Two streams are left to the CPU's own foresight.
        let ahead = if groups == 1 { kernels.bytes_ahead[usize::from(tokens > 1)] } else { 0 };
        let out = SharedPointer(out.as_mut_ptr());
        Ok(Product { kernels, matrices, x, out, out_width, homes, groups, ahead })
    }

    fn run(&self, purpose: Purpose) -> Result<()> {
        let (homes, shares) = (self.homes, self.shares(purpose));
        let mut scratch = self.kernels.scratch();
        let Scratch { activations: shared_room, part_bytes, rounded, .. } = &mut *scratch;
        let (areas, room) = self.areas();
        let cols = self.matrices[0].cols;
        let at = move |start: *mut u8| Activations { start: SharedPointer(start), areas, cols };
        let region = new_region();
        rounded.clear();
        let shared = (self.tokens() > TOKENS_ROUNDED_BY_EACH).then(|| {
            *part_bytes = room.max(*part_bytes);
            shared_room.grow(homes.parts * *part_bytes);
            let shared = (SharedPointer(shared_room.as_mut_ptr()), *part_bytes);
            match homes.parts {
                1 => self.kernels.pool.run(homes.tiling.tiles, &|tile| {
                    self.round_tile(homes.tile(tile), &at(shared.0.get()));
                }),
                parts => rounded.resize_with(parts, Preparation::default),
            }
            shared
        });
        let rounded = &rounded[..];
        // By value: what a task needs comes from the caller's core in few transfers that need not wait for each other.
        let product = *self;
        self.kernels.pool.run_at_home(homes.count, homes.parts_each() * shares.len(), &move |task| {
            let (part, share) = (task / shares.len(), task % shares.len());
            let activations = match shared {
                Some((start, part_bytes)) => {
                    let activations = at(start.get().wrapping_add(part * part_bytes));
                    if let Some(rounded) = rounded.get(part) {
                        rounded.once(|| {
                            homes.tiles_of(part).for_each(|tile| product.round_tile(tile, &activations));
                        });
                    }
                    activations
                }
                None => {
                    product.ask_for(purpose, shares.get(share).start);
                    at(thread_activations(region, room, |start| {
                        homes.tiles_of(part).for_each(|tile| product.round_tile(tile, &at(start)));
                    }))
                }
            };
            let mut passes = shares.get(share);
            while !passes.is_empty() {
                let some = passes.start..passes.start + product.at_once(purpose, &passes, part);
                let next = (some.end < passes.end).then_some(some.end);
                passes.start = some.end;
                // SAFETY: the level is available; tasks differ in their tokens or in their rows.
                unsafe { product.multiply_passes(purpose, some, next, part, &activations) };
            }
        });
        Ok(())
    }

    fn tokens(&self) -> usize {
        self.homes.tiling.tokens()
    }

    /// How the passes are divided among the threads of a home.
    fn shares(&self, purpose: Purpose) -> Shares {
        // In a gated product a pass is over the rows of both matrices.
        let counted = if purpose == Purpose::Gate { &self.matrices[..1] } else { self.matrices };
        let small = match self.tokens() {
            _ if self.kernels.threads() == 1 => 0,
            ..=TOKENS_ROUNDED_BY_EACH => 1,
            // Enough that who is done takes little of another's home.
            _ if self.homes.count > 1 => 10,
            _ => 4,
        };
        Shares {
            count: counted.iter().map(|matrix| self.passes(matrix)).sum(),
            threads: self.kernels.threads() / self.homes.count,
            small,
        }
    }

    /// Where the activations of each encoding that the matrices have begin, on whole cache lines, and where all end.
    fn areas(&self) -> ([usize; Encoding::ALL.len()], usize) {
        let (mut room, tokens) = (0, self.homes.tokens_of_largest());
        let areas = Encoding::ALL.map(|encoding| {
            let start = room;
            if self.has(encoding) {
                room += (tokens * encoding.token_bytes(self.matrices[0].cols)).next_multiple_of(64);
            }
            start
        });
        (areas, room)
    }

    /// Whether one of the matrices has this encoding.
    fn has(&self, encoding: Encoding) -> bool {
        self.matrices.iter().any(|matrix| matrix.encoding == encoding)
    }

    /// Passes over the rows of a matrix.
    fn passes(&self, matrix: &PackedMatrix) -> usize {
        matrix.rows.div_ceil(LANES).div_ceil(self.groups)
    }

    /// The matrix of a pass, the pass's number in it, and the column of the result where the matrix begins.
    fn place(&self, purpose: Purpose, mut pass: usize) -> (&PackedMatrix, usize, usize) {
        let (mut index, mut column) = (0, 0);
        while purpose == Purpose::Store && pass >= self.passes(self.matrices[index]) {
            pass -= self.passes(self.matrices[index]);
            column += self.matrices[index].rows;
            index += 1;
        }
        (self.matrices[index], pass, column)
    }

    /// Asks for the first weights of a pass, where there is one.
    fn ask_for(&self, purpose: Purpose, pass: usize) {
        if self.matrices.iter().map(|matrix| self.passes(matrix)).sum::<usize>() <= pass {
            return;
        }
        let (matrix, pass, _) = self.place(purpose, pass);
        let start = matrix.as_bytes().as_ptr().wrapping_add(pass * self.groups * matrix.group_bytes);
        // SAFETY: the level is available.
        unsafe { (self.kernels.routines.prefetch)(start, FIRST_BYTES) };
    }

    /// Rounds the tokens of a tile, once for each encoding that the matrices have.
    fn round_tile(&self, tile: TileTokens, activations: &Activations) {
        let cols = self.matrices[0].cols;
        let routines = self.kernels.routines;
        let TileTokens { first, count: width, before } = tile;
        with_thread_scratch(cols, |normed| {
            for index in 0..width {
                let mut token = &self.x.values[(first + index) * cols..][..cols];
                if let Some(Norm { weight, epsilon }) = self.x.norm {
                    // SAFETY: the level is available; all three are one row long.
                    unsafe { (routines.rms_norm_row)(token, weight, epsilon, normed) };
                    token = normed;
                }
                for encoding in Encoding::ALL {
                    if !self.has(encoding) {
                        continue;
                    }
                    // SAFETY: the level is available; the area has room for the part's tokens, and its tiles before this
                    // one take `before` tokens of it.
                    unsafe {
                        let tile = activations.tile(encoding, before);
                        (routines.quantize_token)(encoding, token.as_ptr(), cols, tile, width, index);
                    }
                }
            }
        });
    }

    /// How many of these passes, from the first on, are multiplied in one call: with one tile of tokens all of a matrix whose
    /// rows are whole groups, with several as many as stay in the first-level cache from one tile to the next.
    fn at_once(&self, purpose: Purpose, passes: &Range<usize>, part: usize) -> usize {
        if self.groups > 1 {
            return 1;
        }
        let tiles = self.homes.tile_count(part);
        let (matrix, pass, _) = self.place(purpose, passes.start);
        let matrices = if purpose == Purpose::Gate { self.matrices } else { slice::from_ref(&matrix) };
        if matrices.iter().any(|matrix| Weights::of(matrix, 0).prepared_bytes(self.kernels, 1, tiles) > 0) {
            return 1;
        }
        let bytes: usize = matrices.iter().map(|matrix| matrix.group_bytes).sum();
        let most = match (purpose, tiles) {
            (Purpose::Gate, 1) => GATED_GROUPS,
            (_, 1) => usize::MAX,
            _ => (AGAIN_BYTES / bytes).min(GATED_GROUPS),
        };
        (matrix.rows / LANES).saturating_sub(pass).min(most).clamp(1, passes.len())
    }

    /// Multiplies the rows of some passes with the tokens of a part; `next` is the pass that comes after them.
    ///
    /// # Safety
    /// The level must be available, and nobody else may write these rows of these tokens meanwhile.
    unsafe fn multiply_passes(
        &self,
        purpose: Purpose,
        passes: Range<usize>,
        next: Option<usize>,
        part: usize,
        activations: &Activations,
    ) {
        let tiles = self.homes.tile_count(part);
        let coming = next.map_or_else(Coming::default, |next| self.coming(purpose, next, tiles));
        let (matrix, pass, column) = self.place(purpose, passes.start);
        let first_group = pass * self.groups;
        let groups = self.groups.min(matrix.rows.div_ceil(LANES) - first_group);
        let rows = Rows { first_group, groups, passes: passes.len(), column, coming };
        let up = if purpose == Purpose::Gate { self.matrices[1] } else { matrix };
        let weights = [matrix, up].map(|matrix| Weights::of(matrix, first_group));
        let bytes = weights.each_ref().map(|weights| weights.prepared_bytes(self.kernels, groups, tiles));
        if bytes == [0; 2] {
            // SAFETY: the caller's promise.
            return unsafe { self.multiply_tiles(purpose, &rows, weights, part, activations) };
        }
        with_thread_weights(bytes[0] + bytes[1], |room| {
            let [first, second] = weights;
            // SAFETY: there is room for the groups of both; the rest is the caller's promise.
            unsafe {
                let first = first.prepared(self.kernels, groups, tiles, room);
                let second = if purpose == Purpose::Gate {
                    second.prepared(self.kernels, groups, tiles, room.add(bytes[0]))
                } else {
                    first
                };
                self.multiply_tiles(purpose, &rows, [first, second], part, activations);
            }
        });
    }

    /// The weights of a pass, to be asked for while so many tiles are multiplied with others.
    fn coming(&self, purpose: Purpose, pass: usize, tiles: usize) -> Coming {
        // One group of rows is asked for where it is multiplied, if at all.
        if self.groups == 1 {
            return Coming::default();
        }
        let (matrix, pass, _) = self.place(purpose, pass);
        let start = |matrix: &PackedMatrix| {
            matrix.as_bytes().as_ptr().wrapping_add(pass * self.groups * matrix.group_bytes)
        };
        let up = if purpose == Purpose::Gate { start(self.matrices[1]) } else { std::ptr::null() };
        let bytes = (self.groups * matrix.group_bytes).div_ceil(tiles).next_multiple_of(64);
        Coming { starts: [start(matrix), up], bytes }
    }

    /// Multiplies rows with the tokens of a part; the second weights are those that a gate opens.
    ///
    /// # Safety
    /// As [`Product::multiply_pass`].
    unsafe fn multiply_tiles(
        &self,
        purpose: Purpose,
        rows: &Rows,
        [main, up]: [Weights; 2],
        part: usize,
        activations: &Activations,
    ) {
        let &Rows { first_group, groups, passes, column, mut coming } = rows;
        let first_row = first_group * LANES;
        let width = passes * groups * LANES;
        let rows = width.min(main.matrix.rows - first_row);
        let operands = |weights: &Weights| Tile {
            weights: weights.start,
            group_stride: weights.group_bytes,
            passes,
            wide: weights.wide,
            wide_stride: weights.wide_bytes(),
            activations: std::ptr::null(),
            chunks: weights.matrix.cols.div_ceil(weights.encoding.chunk_columns()),
            ahead: weights.ahead(self.ahead),
            out: std::ptr::null_mut(),
            out_stride: width,
            start: weights.matrix.bias().map_or(std::ptr::null(), |bias| bias[first_row..].as_ptr()),
            start_stride: 0,
        };
        let (mut product, mut product_of_up) = (operands(&main), operands(&up));
        let (mut sums, mut sums_of_up) = (Sums::room(), Sums::room());
        for tile in self.homes.tiles_of(part) {
            // SAFETY: the level is available.
            unsafe { coming.ask(self.kernels) };
            let TileTokens { first: first_token, count: tokens, before } = tile;
            let multiply = |weights: &Weights, product: &mut Tile| {
                product.activations = activations.tile(weights.matrix.encoding, before);
                // SAFETY: the level is available, and `product` has all that the tile needs.
                unsafe {
                    (self.kernels.routines.multiply_tile)(weights.encoding, groups, tokens)(product);
                }
            };
            // SAFETY: the groups and the tokens exist, so all offsets lie inside their buffers; a tile reads and writes
            // whole groups, so a partial one goes through `sums`, which has room for the largest tile.
            unsafe {
                let out = self.out.get().add(first_token * self.out_width + column + first_row);
                if purpose == Purpose::Gate {
                    (product.out, product_of_up.out) = (sums.start(), sums_of_up.start());
                    multiply(&main, &mut product);
                    multiply(&up, &mut product_of_up);
                    for token in 0..tokens {
                        let row = |start: *mut f32| slice::from_raw_parts(start.add(token * width), rows);
                        let out = slice::from_raw_parts_mut(out.add(token * self.out_width), rows);
                        (self.kernels.routines.swiglu)(row(sums.start()), row(sums_of_up.start()), out);
                    }
                    continue;
                }
                let is_whole = rows == width;
                (product.out, product.out_stride) =
                    if is_whole { (out, self.out_width) } else { (sums.start(), width) };
                if purpose == Purpose::Add {
                    if !is_whole {
                        product.out.write_bytes(0, tokens * width);
                        copy_rows(out, self.out_width, product.out, width, tokens, rows);
                    }
                    (product.start, product.start_stride) = (product.out, product.out_stride);
                }
                multiply(&main, &mut product);
                if !is_whole {
                    copy_rows(product.out, width, out, self.out_width, tokens, rows);
                }
            }
        }
    }
}

/// The rows of a pass.
struct Rows {
    first_group: usize,
    /// Of a pass.
    groups: usize,
    passes: usize,
    /// The column of the result where their matrix begins.
    column: usize,
    /// What comes after them.
    coming: Coming,
}

/// Weights that are needed soon, and asked for a few at a time: a burst of requests would make what is under way wait.
#[derive(Clone, Copy)]
struct Coming {
    /// Of one matrix or two; else null.
    starts: [*const u8; 2],
    /// Of each at a time.
    bytes: usize,
}

impl Default for Coming {
    fn default() -> Self {
        Coming { starts: [std::ptr::null(); 2], bytes: 0 }
    }
}

impl Coming {
    /// Asks for the next of them.
    ///
    /// # Safety
    /// The level must be available.
    unsafe fn ask(&mut self, kernels: &Kernels) {
        for start in self.starts.iter_mut().filter(|start| !start.is_null()) {
            // SAFETY: the caller's promise; the addresses need not be valid.
            unsafe { (kernels.routines.prefetch_for_later)(*start, self.bytes) };
            *start = start.wrapping_add(self.bytes);
        }
    }
}

/// Room for the sums of the largest tile, or of the passes of a gated product; a product writes it before it is read.
#[repr(align(64))]
struct Sums([MaybeUninit<f32>; MAX_TOKENS * GATED_GROUPS * LANES]);

impl Sums {
    fn room() -> Self {
        Self([const { MaybeUninit::uninit() }; MAX_TOKENS * GATED_GROUPS * LANES])
    }

    fn start(&mut self) -> *mut f32 {
        self.0.as_mut_ptr().cast()
    }
}

/// Copies the first `rows` values of each token.
///
/// # Safety
/// Both must be valid for these sizes, and not overlap.
unsafe fn copy_rows(
    from: *const f32,
    from_stride: usize,
    to: *mut f32,
    to_stride: usize,
    tokens: usize,
    rows: usize,
) {
    for token in 0..tokens {
        // SAFETY: the caller's promise.
        unsafe {
            std::ptr::copy_nonoverlapping(from.add(token * from_stride), to.add(token * to_stride), rows);
        }
    }
}

/// Rounded activations of a part's tokens, one area for each encoding.
struct Activations {
    start: SharedPointer<u8>,
    /// Offsets of the encodings' areas.
    areas: [usize; Encoding::ALL.len()],
    cols: usize,
}

impl Activations {
    /// Where a tile is, so many tokens of the part standing before it.
    fn tile(&self, encoding: Encoding, before: usize) -> *mut u8 {
        // Inside the buffer, whose size `run` made from the same numbers.
        let offset = self.areas[encoding as usize] + before * encoding.token_bytes(self.cols);
        self.start.get().wrapping_add(offset)
    }
}
