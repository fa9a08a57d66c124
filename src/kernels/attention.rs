//! Causal attention over a cache of half-precision keys and values.
//!
//! A task takes the query heads of one key-value head for a few tokens (its rows) and a range of positions, and goes
//! over the positions in tiles with a running maximum and sum (online softmax), so no row of scores is ever stored:
//!
//! ```text
//! for each tile of 64 positions:
//!     keys   = transposed keys of the tile, as f32
//!     scores = queries × keys;  later positions than a row's own: −∞
//!     new maximum; scores = exp(scores − maximum); sum, result *= exp(old maximum − maximum)
//!     sum += Σ scores;  result += scores × values
//! result /= sum
//! ```
//!
//! Both products are the same small kernel. Where there are too few heads and tokens for all threads, the positions
//! are divided as well and the parts put together at the end, each weighted by its maximum and sum.

use std::cell::RefCell;
use std::ops::Range;

use anyhow::{Result, ensure};
use half::f16;

use super::isa::{Isa, LANES};
use super::{Kernels, SharedPointer};

/// Positions of a tile.
const TILE: usize = 64;
/// Rows of a task at which transposing the keys costs little.
const ROWS: usize = 48;

/// The sizes of an attention and of its cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttentionShape {
    /// Query heads.
    pub heads: usize,
    /// Key-value heads; each serves `heads / kv_heads` consecutive query heads.
    pub kv_heads: usize,
    /// Values of a head, a multiple of 16.
    pub head_dim: usize,
    /// Positions that the cache has room for.
    pub capacity: usize,
}

impl AttentionShape {
    fn check(&self) -> Result<()> {
        ensure!(
            self.kv_heads > 0 && self.heads > 0 && self.heads.is_multiple_of(self.kv_heads),
            "{} query heads do not divide among {} key-value heads",
            self.heads,
            self.kv_heads
        );
        ensure!(
            self.head_dim > 0 && self.head_dim.is_multiple_of(LANES),
            "a head of {} values is not a multiple of {LANES}",
            self.head_dim
        );
        Ok(())
    }
}

/// Attention of new tokens to all positions so far: softmax(q · kᵀ / √head_dim) · v.
///
/// `q` and `out` are `[tokens][heads][head_dim]`; `k` and `v` are `[kv_heads][capacity][head_dim]` and already hold
/// the new tokens. Token `i` stands at position `start + i` and sees the positions up to its own.
///
/// # Errors
/// When the shape is impossible, a slice has another length than it asks for, or the cache is too small.
pub fn attend(
    kernels: &Kernels,
    shape: &AttentionShape,
    start: usize,
    q: &[f32],
    k: &[f16],
    v: &[f16],
    out: &mut [f32],
) -> Result<()> {
    shape.check()?;
    let &AttentionShape { heads, kv_heads, head_dim, capacity } = shape;
    let token_values = heads * head_dim;
    let tokens = q.len() / token_values;
    ensure!(
        tokens > 0 && q.len().is_multiple_of(token_values) && out.len() == q.len(),
        "queries of {heads} heads of {head_dim} values got {} values and room for {}",
        q.len(),
        out.len()
    );
    ensure!(
        kv_heads.checked_mul(capacity).and_then(|n| n.checked_mul(head_dim)) == Some(k.len())
            && v.len() == k.len(),
        "a cache of {kv_heads} heads, {capacity} positions and {head_dim} values got {} keys and {} values",
        k.len(),
        v.len()
    );
    ensure!(
        start.checked_add(tokens).is_some_and(|end| end <= capacity),
        "positions {start}… of {tokens} tokens do not fit into a cache of {capacity}"
    );

    let group = heads / kv_heads;
    let plan = Plan::new(kernels.threads(), group, kv_heads, tokens, start);
    let part_values = plan.rows() * (head_dim + 2);
    let mut scratch = kernels.scratch();
    if plan.splits > 1 {
        let wanted = plan.tasks() * part_values;
        if scratch.parts.len() < wanted {
            scratch.parts.resize(wanted, 0.0);
        }
    }
    let parts = SharedPointer(scratch.parts.as_mut_ptr());
    let result = SharedPointer(out.as_mut_ptr());
    let scratch_values = scratch_values(plan.rows(), head_dim);
    kernels.pool.run(plan.tasks(), &|index| {
        let Place { kv_head, tokens, positions } = plan.place(index);
        let offset = tokens.start * token_values + kv_head * group * head_dim;
        // SAFETY: the level is available. The lengths were checked above: all offsets lie inside their slices, and
        // positions end at `capacity` or before. Tasks differ in their heads, their tokens or their part.
        let task = unsafe {
            AttentionTask {
                q: q.as_ptr().add(offset),
                keys: k.as_ptr().add(kv_head * capacity * head_dim),
                values: v.as_ptr().add(kv_head * capacity * head_dim),
                out: result.get().add(offset),
                part: (plan.splits > 1).then(|| parts.get().add(index * part_values)),
                token_values,
                group,
                tokens: tokens.len(),
                head_dim,
                start: start + tokens.start,
                positions,
            }
        };
        // SAFETY: as above.
        with_thread_scratch(scratch_values, |scratch| unsafe { (kernels.routines.attend)(&task, scratch) });
    });
    if plan.splits > 1 {
        combine(&plan, shape, &scratch.parts, out);
    }
    Ok(())
}

/// How an attention is divided into tasks.
struct Plan {
    group: usize,
    kv_heads: usize,
    tokens: usize,
    start: usize,
    tokens_per_block: usize,
    blocks: usize,
    /// Parts that the positions are divided into.
    splits: usize,
}

/// What one task works on.
struct Place {
    kv_head: usize,
    tokens: Range<usize>,
    positions: Range<usize>,
}

impl Plan {
    fn new(threads: usize, group: usize, kv_heads: usize, tokens: usize, start: usize) -> Self {
        let tokens_per_block = (ROWS / group).clamp(1, tokens);
        let blocks = tokens.div_ceil(tokens_per_block);
        let wanted = if threads > 1 { (2 * threads).div_ceil(blocks * kv_heads) } else { 1 };
        let splits = wanted.clamp(1, (start + tokens).div_ceil(TILE));
        Plan { group, kv_heads, tokens, start, tokens_per_block, blocks, splits }
    }

    fn rows(&self) -> usize {
        self.group * self.tokens_per_block
    }

    fn tasks(&self) -> usize {
        self.blocks * self.kv_heads * self.splits
    }

    fn index(&self, block: usize, kv_head: usize, split: usize) -> usize {
        // The last tokens have most positions to see: they come first, so that the threads end together.
        ((self.blocks - 1 - block) * self.kv_heads + kv_head) * self.splits + split
    }

    fn place(&self, index: usize) -> Place {
        let (split, rest) = (index % self.splits, index / self.splits);
        let (kv_head, block) = (rest % self.kv_heads, self.blocks - 1 - rest / self.kv_heads);
        let first = block * self.tokens_per_block;
        let tokens = first..(first + self.tokens_per_block).min(self.tokens);
        let end = self.start + tokens.end;
        let tiles = end.div_ceil(TILE);
        let boundary = |split: usize| (tiles * split / self.splits * TILE).min(end);
        Place { kv_head, tokens, positions: boundary(split)..boundary(split + 1) }
    }
}

/// Puts the parts of every row together.
fn combine(plan: &Plan, shape: &AttentionShape, parts: &[f32], out: &mut [f32]) {
    let head_dim = shape.head_dim;
    let row_values = head_dim + 2;
    for (place, out) in out.chunks_exact_mut(head_dim).enumerate() {
        let (token, head) = (place / shape.heads, place % shape.heads);
        let row = token % plan.tokens_per_block * plan.group + head % plan.group;
        let part = |split: usize| {
            let task = plan.index(token / plan.tokens_per_block, head / plan.group, split);
            let part = &parts[(task * plan.rows() + row) * row_values..][..row_values];
            (part[0], part[1], &part[2..])
        };
        let maximum = (0..plan.splits).map(|split| part(split).0).fold(f32::NEG_INFINITY, f32::max);
        let total: f32 = (0..plan.splits).map(part).map(|(max, sum, _)| sum * (max - maximum).exp()).sum();
        out.fill(0.0);
        for (max, _, values) in (0..plan.splits).map(part) {
            let weight = (max - maximum).exp() / total;
            out.iter_mut().zip(values).for_each(|(out, value)| *out += weight * value);
        }
    }
}

thread_local! {
    static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Lends this thread's buffer, which grows and stays.
fn with_thread_scratch(values: usize, f: impl FnOnce(&mut [f32])) {
    SCRATCH.with_borrow_mut(|scratch| {
        if scratch.len() < values {
            scratch.resize(values, 0.0);
        }
        f(&mut scratch[..values]);
    });
}

/// The scratch of a task, in values: queries, keys, scores, results, maxima and sums.
fn scratch_values(rows: usize, head_dim: usize) -> usize {
    rows * head_dim + head_dim * TILE + rows * TILE + rows * head_dim + 2 * rows
}

/// One task: the heads of one key-value head, some tokens, some positions.
pub(super) struct AttentionTask {
    /// The first token's first head.
    q: *const f32,
    /// The key-value head's first position.
    keys: *const f16,
    values: *const f16,
    /// Laid out as `q`.
    out: *mut f32,
    /// Instead of `out`, for every row: maximum, sum, and the values not yet divided by it.
    part: Option<*mut f32>,
    /// Values from one token to the next in `q` and `out`.
    token_values: usize,
    group: usize,
    tokens: usize,
    head_dim: usize,
    /// The first token's position.
    start: usize,
    positions: Range<usize>,
}

/// Runs a task; see the module's description.
///
/// # Safety
/// The level must be available; the task's pointers must be valid for its sizes; nobody else may use its results
/// meanwhile. `scratch` holds [`scratch_values`].
#[inline(always)]
pub(super) unsafe fn attend_task<I: Isa>(task: &AttentionTask, scratch: &mut [f32]) {
    let &AttentionTask { group, tokens, head_dim, .. } = task;
    let rows = group * tokens;
    let (queries, rest) = scratch.split_at_mut(rows * head_dim);
    let (keys, rest) = rest.split_at_mut(head_dim * TILE);
    let (scores, rest) = rest.split_at_mut(rows * TILE);
    let (results, rest) = rest.split_at_mut(rows * head_dim);
    let (maxima, rest) = rest.split_at_mut(rows);
    let sums = &mut rest[..rows];
    results.fill(0.0);
    maxima.fill(f32::NEG_INFINITY);
    sums.fill(0.0);

    // SAFETY: the caller's promise; the slices above have the lengths that the loops below assume.
    unsafe {
        let scale = I::splat(1.0 / (head_dim as f32).sqrt());
        for token in 0..tokens {
            let source = task.q.add(token * task.token_values);
            let target = queries[token * group * head_dim..].as_mut_ptr();
            for i in (0..group * head_dim).step_by(LANES) {
                I::store(target.add(i), I::mul(I::load(source.add(i)), scale));
            }
        }
        for first in task.positions.clone().step_by(TILE) {
            let positions = (task.positions.end - first).min(TILE);
            let width = positions.next_multiple_of(LANES);
            transpose_keys::<I>(task.keys.add(first * head_dim), positions, head_dim, keys);
            let product =
                Product { inner: head_dim, left_stride: head_dim, right_stride: TILE, out_stride: TILE };
            multiply_panel::<I, f32, false>(
                &product,
                rows,
                width,
                queries.as_ptr(),
                keys.as_ptr(),
                scores.as_mut_ptr(),
            );
            for row in 0..rows {
                let visible = (task.start + row / group + 1).saturating_sub(first).min(positions);
                let scores = &mut scores[row * TILE..][..width];
                if visible == 0 {
                    scores.fill(0.0);
                    continue;
                }
                let (maximum, sum) = soften::<I>(scores, visible, maxima[row]);
                let factor = (maxima[row] - maximum).exp();
                maxima[row] = maximum;
                sums[row] = sums[row] * factor + sum;
                if factor != 1.0 {
                    scale_row::<I>(&mut results[row * head_dim..][..head_dim], factor);
                }
            }
            let product =
                Product { inner: positions, left_stride: TILE, right_stride: head_dim, out_stride: head_dim };
            let values = task.values.add(first * head_dim);
            multiply_panel::<I, f16, true>(
                &product,
                rows,
                head_dim,
                scores.as_ptr(),
                values,
                results.as_mut_ptr(),
            );
        }
        for row in 0..rows {
            let result = &mut results[row * head_dim..][..head_dim];
            let out = match task.part {
                Some(part) => {
                    let part = part.add(row * (head_dim + 2));
                    part.write(maxima[row]);
                    part.add(1).write(sums[row]);
                    part.add(2)
                }
                None => {
                    scale_row::<I>(result, 1.0 / sums[row]);
                    task.out.add(row / group * task.token_values + row % group * head_dim)
                }
            };
            std::ptr::copy_nonoverlapping(result.as_ptr(), out, head_dim);
        }
    }
}

/// Turns the first `visible` scores of a row into exp(score − maximum) and the others into zeros. Returns the
/// maximum of the scores and of `maximum`, and the sum.
///
/// # Safety
/// The level must be available; `scores` is a multiple of sixteen long.
#[inline(always)]
unsafe fn soften<I: Isa>(scores: &mut [f32], visible: usize, maximum: f32) -> (f32, f32) {
    let width = scores.len();
    scores[visible..].fill(f32::NEG_INFINITY);
    let start = scores.as_mut_ptr();
    // SAFETY: the caller's promise.
    unsafe {
        let mut largest = I::splat(maximum);
        for i in (0..width).step_by(LANES) {
            largest = I::max(largest, I::load(start.add(i)));
        }
        let maximum = I::largest(largest);
        let shift = I::splat(maximum);
        for i in (0..width).step_by(LANES) {
            I::store(start.add(i), I::exp(I::sub(I::load(start.add(i)), shift)));
        }
        // `exp` has a smallest value; what a row does not see is exactly zero.
        scores[visible..].fill(0.0);
        let start = scores.as_ptr();
        let mut sum = I::splat(0.0);
        for i in (0..width).step_by(LANES) {
            sum = I::add(sum, I::load(start.add(i)));
        }
        (maximum, I::sum(sum))
    }
}

/// # Safety
/// The level must be available; `row` is a multiple of sixteen long.
#[inline(always)]
unsafe fn scale_row<I: Isa>(row: &mut [f32], factor: f32) {
    for part in row.chunks_exact_mut(LANES) {
        // SAFETY: the caller's promise; a part has sixteen values.
        unsafe { I::store(part.as_mut_ptr(), I::mul(I::load(part.as_ptr()), I::splat(factor))) };
    }
}

/// Writes `[positions][head_dim]` halves as `[head_dim][TILE]` floats; positions up to the next sixteen are zeros.
///
/// # Safety
/// The level must be available; `source` holds the positions, at most `TILE`; `head_dim` is a multiple of sixteen.
#[inline(always)]
unsafe fn transpose_keys<I: Isa>(source: *const f16, positions: usize, head_dim: usize, keys: &mut [f32]) {
    for first in (0..positions).step_by(LANES) {
        for column in (0..head_dim).step_by(LANES) {
            // SAFETY: only positions that exist are read, and `keys` is `[head_dim][TILE]`.
            unsafe {
                let mut rows = [I::splat(0.0); LANES];
                for (i, row) in rows.iter_mut().enumerate().take(positions - first) {
                    *row = I::load_half(source.add((first + i) * head_dim + column));
                }
                let target = keys.as_mut_ptr().add(column * TILE + first);
                for (i, row) in I::transpose(rows).into_iter().enumerate() {
                    I::store(target.add(i * TILE), row);
                }
            }
        }
    }
}

/// The sizes of a product `out[r][c] = Σ_i left[r][i] · right[i][c]`; strides in values.
struct Product {
    inner: usize,
    left_stride: usize,
    right_stride: usize,
    out_stride: usize,
}

/// What the right side of a product consists of.
trait Element: Sized {
    /// # Safety
    /// As [`Isa::load`].
    unsafe fn load<I: Isa>(from: *const Self) -> I::Floats;
}

impl Element for f32 {
    #[inline(always)]
    unsafe fn load<I: Isa>(from: *const f32) -> I::Floats {
        // SAFETY: the caller's promise.
        unsafe { I::load(from) }
    }
}

impl Element for f16 {
    #[inline(always)]
    unsafe fn load<I: Isa>(from: *const f16) -> I::Floats {
        // SAFETY: the caller's promise.
        unsafe { I::load_half(from) }
    }
}

/// A product of `rows` rows and `columns` columns (a multiple of sixteen), added to `out` where `ADD`.
///
/// # Safety
/// The level must be available; the pointers must be valid for the sizes.
#[inline(always)]
unsafe fn multiply_panel<I: Isa, E: Element, const ADD: bool>(
    product: &Product,
    rows: usize,
    columns: usize,
    left: *const f32,
    right: *const E,
    out: *mut f32,
) {
    let wide = I::PANEL_COLUMNS * LANES;
    let mut column = 0;
    while column < columns {
        let is_wide = columns - column >= wide;
        let mut row = 0;
        while row < rows {
            let height = (rows - row).min(4);
            // SAFETY: the rows and columns exist.
            unsafe {
                let left = left.add(row * product.left_stride);
                let right = right.add(column);
                let out = out.add(row * product.out_stride + column);
                match (height, is_wide && I::PANEL_COLUMNS == 4) {
                    (1, true) => multiply_corner::<I, E, ADD, 1, 4>(product, left, right, out),
                    (2, true) => multiply_corner::<I, E, ADD, 2, 4>(product, left, right, out),
                    (3, true) => multiply_corner::<I, E, ADD, 3, 4>(product, left, right, out),
                    (_, true) => multiply_corner::<I, E, ADD, 4, 4>(product, left, right, out),
                    (1, false) => multiply_corner::<I, E, ADD, 1, 1>(product, left, right, out),
                    (2, false) => multiply_corner::<I, E, ADD, 2, 1>(product, left, right, out),
                    (3, false) => multiply_corner::<I, E, ADD, 3, 1>(product, left, right, out),
                    (_, false) => multiply_corner::<I, E, ADD, 4, 1>(product, left, right, out),
                }
            }
            row += height;
        }
        column += if is_wide { wide } else { LANES };
    }
}

/// `ROWS` rows and `COLUMNS` vectors of columns, which stay in registers.
///
/// # Safety
/// As [`multiply_panel`].
#[inline(always)]
unsafe fn multiply_corner<I: Isa, E: Element, const ADD: bool, const ROWS: usize, const COLUMNS: usize>(
    product: &Product,
    left: *const f32,
    right: *const E,
    out: *mut f32,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut sums = [[I::splat(0.0); COLUMNS]; ROWS];
        for inner in 0..product.inner {
            let mut vectors = [I::splat(0.0); COLUMNS];
            for column in 0..COLUMNS {
                vectors[column] = E::load::<I>(right.add(inner * product.right_stride + column * LANES));
            }
            for row in 0..ROWS {
                let value = I::splat(*left.add(row * product.left_stride + inner));
                for column in 0..COLUMNS {
                    sums[row][column] = I::fma(value, vectors[column], sums[row][column]);
                }
            }
        }
        for row in 0..ROWS {
            for column in 0..COLUMNS {
                let place = out.add(row * product.out_stride + column * LANES);
                let sum = if ADD { I::add(I::load(place), sums[row][column]) } else { sums[row][column] };
                I::store(place, sum);
            }
        }
    }
}
