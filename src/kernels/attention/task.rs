//! One task of an attention: the query heads of one key-value head, for some tokens and some parts of the positions.

use std::ops::Range;

use half::f16;

use super::{Sight, part_of, part_start};
use crate::kernels::elementwise::{Angles, rotate};
use crate::kernels::isa::{Isa, LANES};

/// Positions of a tile, as many as [`Sight::window`] tells.
pub const TILE: usize = 64;
/// Rows from which keys and values are turned into f32 once instead of in every product.
const WIDEN: usize = 8;

/// The scratch of a task, in values: queries, keys or values, scores, results, maxima and sums of a part and of all.
pub fn scratch_values(rows: usize, head_dim: usize) -> usize {
    rows * head_dim + head_dim * TILE + rows * TILE + rows * head_dim + 4 * rows
}

/// One task: the heads of one key-value head, some tokens, some parts of the positions.
pub struct AttentionTask<'a> {
    /// The first token's first head.
    pub q: *const f32,
    /// Values from one token to the next in `q`.
    pub q_stride: usize,
    /// By which the queries are rotated.
    pub angles: Angles<'a>,
    /// The key-value head's first position.
    pub cache: HeadCache,
    /// The first token's first head.
    pub out: *mut f32,
    /// Values from one token to the next in `out`.
    pub out_stride: usize,
    /// Instead of `out`, for every part and row: maximum, sum, and the values not yet divided by it.
    pub parts: Option<*mut f32>,
    /// Query heads.
    pub group: usize,
    pub tokens: usize,
    pub head_dim: usize,
    /// The first token's position.
    pub start: usize,
    pub sight: Sight<'a>,
    /// Those to attend to; the first begins a part.
    pub positions: Range<usize>,
}

/// Keys and values of one key-value head.
#[derive(Clone, Copy)]
pub enum HeadCache {
    Halves {
        keys: *mut f16,
        values: *mut f16,
    },
    /// With a factor for each position's key and value.
    Bytes {
        keys: *mut i8,
        values: *mut i8,
        key_scales: *mut f32,
        value_scales: *mut f32,
    },
}

/// Runs a task; see the module's description.
///
/// # Safety
/// The level must be available; the task's pointers must be valid for its sizes; nobody else may use its results
/// meanwhile. `scratch` holds [`scratch_values`].
#[inline(always)]
pub unsafe fn attend_task<I: Isa>(task: &AttentionTask, scratch: &mut [f32]) {
    // SAFETY: the caller's promise.
    unsafe {
        match task.cache {
            HeadCache::Halves { keys, values } => attend::<I, f16>(task, keys, values, None, scratch),
            HeadCache::Bytes { keys, values, key_scales, value_scales } => {
                let scales = Some((key_scales.cast_const(), value_scales.cast_const()));
                attend::<I, i8>(task, keys, values, scales, scratch);
            }
        }
    }
}

/// # Safety
/// As [`attend_task`].
#[inline(always)]
unsafe fn attend<I: Isa, E: Element>(
    task: &AttentionTask,
    keys: *const E,
    values: *const E,
    scales: Option<(*const f32, *const f32)>,
    scratch: &mut [f32],
) {
    let &AttentionTask { group, tokens, head_dim, .. } = task;
    let rows = group * tokens;
    let (queries, rest) = scratch.split_at_mut(rows * head_dim);
    let (wide, rest) = rest.split_at_mut(head_dim * TILE);
    let (scores, rest) = rest.split_at_mut(rows * TILE);
    let (results, rest) = rest.split_at_mut(rows * head_dim);
    let (maxima, rest) = rest.split_at_mut(rows);
    let (sums, rest) = rest.split_at_mut(rows);
    let (all_maxima, rest) = rest.split_at_mut(rows);
    let all_sums = &mut rest[..rows];
    all_maxima.fill(f32::NEG_INFINITY);
    all_sums.fill(0.0);

    // SAFETY: the caller's promise; the slices above have the lengths that the loops below assume.
    unsafe {
        // Scores are logarithms to base 2.
        let scale = I::splat(std::f32::consts::LOG2_E / (head_dim as f32).sqrt());
        for token in 0..tokens {
            let source = task.q.add(token * task.q_stride);
            let heads = &mut queries[token * group * head_dim..][..group * head_dim];
            for i in (0..group * head_dim).step_by(LANES) {
                I::store(heads.as_mut_ptr().add(i), I::mul(I::load(source.add(i)), scale));
            }
            rotate(heads, task.angles.of_tokens(token..token + 1, head_dim));
        }
        let mut part = part_of(task.positions.start);
        while part_start(part) < task.positions.end {
            let positions = part_start(part)..part_start(part + 1).min(task.positions.end);
            results.fill(0.0);
            maxima.fill(f32::NEG_INFINITY);
            sums.fill(0.0);
            for first in positions.clone().step_by(TILE) {
                let count = (positions.end - first).min(TILE);
                let width = count.next_multiple_of(LANES);
                let is_last = first + TILE >= task.positions.end;
                let next_tile = if is_last { 0 } else { (TILE * head_dim) as isize };
                let first_values = if first == task.positions.start { values.offset_from(keys) } else { 0 };
                // Sixteen positions are a vector of columns; their keys lie together.
                let product = Product {
                    inner: head_dim,
                    left_stride: head_dim,
                    right_stride: LANES,
                    right_column: head_dim * LANES,
                    out_stride: TILE,
                    ahead: [next_tile, first_values],
                };
                let (left, out) = (queries.as_ptr(), scores.as_mut_ptr());
                let keys = keys.add(first * head_dim);
                if rows < WIDEN {
                    multiply_panel::<I, E, false>(&product, rows, width, left, keys, out);
                } else {
                    widen::<I, E>(keys, &mut wide[..width * head_dim]);
                    multiply_panel::<I, f32, false>(&product, rows, width, left, wide.as_ptr(), out);
                }
                for row in 0..rows {
                    let seen = task.sight.window(task.start, row / group, first);
                    let scores = &mut scores[row * TILE..][..width];
                    if let Some((key_scales, _)) = scales {
                        scale_each::<I>(scores, key_scales.add(first));
                    }
                    if seen == 0 {
                        scores.fill(0.0);
                        continue;
                    }
                    let (maximum, sum) = soften::<I>(scores, seen, maxima[row]);
                    if maximum > maxima[row] && sums[row] > 0.0 {
                        let factor = (maxima[row] - maximum).exp2();
                        sums[row] *= factor;
                        scale_row::<I>(&mut results[row * head_dim..][..head_dim], factor);
                    }
                    maxima[row] = maximum;
                    sums[row] += sum;
                    if let Some((_, value_scales)) = scales {
                        scale_each::<I>(scores, value_scales.add(first));
                    }
                }
                let product = Product {
                    inner: count,
                    left_stride: TILE,
                    right_stride: head_dim,
                    right_column: LANES,
                    out_stride: head_dim,
                    ahead: [next_tile, 0],
                };
                let (left, out) = (scores.as_ptr(), results.as_mut_ptr());
                let values = values.add(first * head_dim);
                if rows < WIDEN {
                    multiply_panel::<I, E, true>(&product, rows, head_dim, left, values, out);
                } else {
                    widen::<I, E>(values, &mut wide[..count * head_dim]);
                    multiply_panel::<I, f32, true>(&product, rows, head_dim, left, wide.as_ptr(), out);
                }
            }
            for row in 0..rows {
                let result = &results[row * head_dim..][..head_dim];
                match task.parts {
                    Some(parts) => {
                        let index = part - part_of(task.positions.start);
                        let to = parts.add((index * rows + row) * (head_dim + 2));
                        to.write(maxima[row]);
                        to.add(1).write(sums[row]);
                        std::ptr::copy_nonoverlapping(result.as_ptr(), to.add(2), head_dim);
                    }
                    None => {
                        let mut all = Softened { maximum: all_maxima[row], sum: all_sums[row] };
                        let part = Softened { maximum: maxima[row], sum: sums[row] };
                        all.add::<I>(part, result.as_ptr(), task.out_row(row), head_dim);
                        (all_maxima[row], all_sums[row]) = (all.maximum, all.sum);
                    }
                }
            }
            part += 1;
        }
        if task.parts.is_none() {
            for row in 0..rows {
                let out = std::slice::from_raw_parts_mut(task.out_row(row), head_dim);
                scale_row::<I>(out, 1.0 / all_sums[row]);
            }
        }
    }
}

/// Adds up the parts that tasks have written, `[count][rows]` as [`AttentionTask::parts`] says, and writes the results of
/// a head.
///
/// # Safety
/// As [`attend_task`].
#[inline(always)]
pub unsafe fn join_parts<I: Isa>(task: &AttentionTask, parts: *const f32, count: usize) {
    let &AttentionTask { group, tokens, head_dim, .. } = task;
    let rows = group * tokens;
    for row in 0..rows {
        let mut all = Softened { maximum: f32::NEG_INFINITY, sum: 0.0 };
        // SAFETY: the caller's promise.
        unsafe {
            let out = task.out_row(row);
            for part in 0..count {
                let from = parts.add((part * rows + row) * (head_dim + 2));
                let part = Softened { maximum: from.read(), sum: from.add(1).read() };
                all.add::<I>(part, from.add(2), out, head_dim);
            }
            scale_row::<I>(std::slice::from_raw_parts_mut(out, head_dim), 1.0 / all.sum);
        }
    }
}

/// What a row's values, not yet divided by their weights' sum, are weighted with.
#[derive(Clone, Copy)]
struct Softened {
    /// The largest score.
    maximum: f32,
    /// Of 2^(score − maximum).
    sum: f32,
}

impl Softened {
    /// Adds a part with its `values` to `all`, which holds nothing before the first part that a row sees something of.
    ///
    /// # Safety
    /// The level must be available; both hold `head_dim` values, a multiple of sixteen.
    #[inline(always)]
    unsafe fn add<I: Isa>(&mut self, part: Softened, values: *const f32, all: *mut f32, head_dim: usize) {
        if part.sum == 0.0 {
            return;
        }
        if self.sum == 0.0 {
            *self = part;
            // SAFETY: the caller's promise.
            return unsafe { std::ptr::copy_nonoverlapping(values, all, head_dim) };
        }
        let mut factor = [0.0; LANES];
        // SAFETY: the caller's promise.
        unsafe {
            let distance = I::splat(-(self.maximum - part.maximum).abs());
            I::store(factor.as_mut_ptr(), I::exp2(distance));
        }
        // One of the two is 1.
        let (before, weight) = match self.maximum < part.maximum {
            true => (factor[0], 1.0),
            false => (1.0, factor[0]),
        };
        let maximum = self.maximum.max(part.maximum);
        *self = Softened { maximum, sum: self.sum * before + part.sum * weight };
        for i in (0..head_dim).step_by(LANES) {
            // SAFETY: the caller's promise.
            unsafe {
                let old = I::mul(I::load(all.add(i)), I::splat(before));
                I::store(all.add(i), I::fma(I::load(values.add(i)), I::splat(weight), old));
            }
        }
    }
}

impl AttentionTask<'_> {
    /// Where the result of a row belongs.
    ///
    /// # Safety
    /// There must be such a row.
    #[inline(always)]
    unsafe fn out_row(&self, row: usize) -> *mut f32 {
        // SAFETY: the caller's promise.
        unsafe { self.out.add(row / self.group * self.out_stride + row % self.group * self.head_dim) }
    }
}

/// Turns the scores of a row that are `seen`, a bit each, into 2^(score − maximum) and the others into zeros. Returns
/// the maximum of the scores and of `maximum`, and the sum.
///
/// # Safety
/// The level must be available; `scores` is a multiple of sixteen long.
#[inline(always)]
unsafe fn soften<I: Isa>(scores: &mut [f32], seen: u64, maximum: f32) -> (f32, f32) {
    let width = scores.len();
    replace_unseen(scores, seen, f32::NEG_INFINITY);
    let start = scores.as_mut_ptr();
    // SAFETY: the caller's promise.
    unsafe {
        let mut largest = I::splat(maximum);
        for i in (0..width).step_by(LANES) {
            largest = I::max(largest, I::load(start.add(i)));
        }
        let maximum = I::largest(largest);
        let shift = I::splat(maximum);
        let mut sum = I::splat(0.0);
        for i in (0..width).step_by(LANES) {
            let weight = I::exp2(I::sub(I::load(start.add(i)), shift));
            I::store(start.add(i), weight);
            // What a row does not see adds the smallest value of `exp2`, nothing beside the maximum's 1.
            sum = I::add(sum, weight);
        }
        replace_unseen(scores, seen, 0.0);
        (maximum, I::sum(sum))
    }
}

/// Puts `value` in the place of every score that is not seen.
#[inline(always)]
fn replace_unseen(scores: &mut [f32], seen: u64, value: f32) {
    let end = (u64::BITS - seen.leading_zeros()) as usize;
    if end < scores.len() {
        scores[end..].fill(value);
    }
    // Where tokens follow each other, none is left.
    let mut unseen = !seen & (u64::MAX >> seen.leading_zeros());
    while unseen != 0 {
        scores[unseen.trailing_zeros() as usize] = value;
        unseen &= unseen - 1;
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

/// Multiplies a row, a multiple of sixteen long, with as many factors.
///
/// # Safety
/// The level must be available; the factors must be there. What they are beyond those visible does not matter: nothing
/// reads the results there.
#[inline(always)]
unsafe fn scale_each<I: Isa>(row: &mut [f32], factors: *const f32) {
    for (index, part) in row.chunks_exact_mut(LANES).enumerate() {
        // SAFETY: the caller's promise; a part has sixteen values.
        unsafe {
            I::store(part.as_mut_ptr(), I::mul(I::load(part.as_ptr()), I::load(factors.add(index * LANES))))
        };
    }
}

/// Turns elements, a multiple of sixteen many, into floats.
///
/// # Safety
/// The level must be available; `source` holds as many values as `target`.
#[inline(always)]
unsafe fn widen<I: Isa, E: Element>(source: *const E, target: &mut [f32]) {
    for (index, target) in target.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
        // SAFETY: the caller's promise.
        unsafe { I::store(target.as_mut_ptr(), E::load::<I>(source.add(index * LANES))) };
    }
}

/// The sizes of a product `out[r][c] = Σ_i left[r][i] · right[i][c]`; strides in values.
struct Product {
    inner: usize,
    left_stride: usize,
    right_stride: usize,
    /// Values from one vector of columns to the next in `right`.
    right_column: usize,
    out_stride: usize,
    /// How far from an element of the cache those stand that are asked for when it is read: the next tile's, and with a task's
    /// first keys its first values. Zero: none. In the loop, a line at a time, because a burst of requests would keep the loop
    /// waiting.
    ahead: [isize; 2],
}

impl Element for i8 {
    const PREFETCHED: bool = true;

    #[inline(always)]
    unsafe fn load<I: Isa>(from: *const i8) -> I::Floats {
        // SAFETY: the caller's promise.
        unsafe { I::load_bytes(from) }
    }
}

/// What the right side of a product consists of.
trait Element: Sized {
    /// Whether they come from memory and are asked for in advance.
    const PREFETCHED: bool;

    /// # Safety
    /// As [`Isa::load`].
    unsafe fn load<I: Isa>(from: *const Self) -> I::Floats;
}

impl Element for f32 {
    const PREFETCHED: bool = false;

    #[inline(always)]
    unsafe fn load<I: Isa>(from: *const f32) -> I::Floats {
        // SAFETY: the caller's promise.
        unsafe { I::load(from) }
    }
}

impl Element for f16 {
    const PREFETCHED: bool = true;

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
                let right = right.add(column / LANES * product.right_column);
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
                let place = inner * product.right_stride + column * product.right_column;
                vectors[column] = E::load::<I>(right.add(place));
                // A line holds several vectors and is asked for with the first.
                if E::PREFETCHED && place.is_multiple_of(64 / size_of::<E>()) {
                    for ahead in product.ahead.into_iter().filter(|ahead| *ahead != 0) {
                        I::prefetch(right.wrapping_offset(place as isize + ahead).cast());
                    }
                }
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
