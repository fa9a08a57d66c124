//! Causal attention over a cache of half-precision keys and values.
//!
//! The cache of a layer is its keys, `[kv_heads][capacity / 16][head_dim][16 positions]`, and then its values,
//! `[kv_heads][capacity][head_dim]`: so a vector of scores, one position a lane, needs no transposition.
//!
//! A task takes the query heads of one key-value head for a few tokens (its rows) and a range of positions, and goes
//! over the positions in tiles with a running maximum and sum (online softmax), so no row of scores is ever stored:
//!
//! ```text
//! for each tile of 64 positions:
//!     scores = queries × keys;  later positions than a row's own: −∞
//!     new maximum; scores = exp(scores − maximum); sum, result *= exp(old maximum − maximum)
//!     sum += Σ scores;  result += scores × values
//! result /= sum
//! ```
//!
//! Both products are the same small kernel. The positions are divided into parts of a fixed length, which are put
//! together at the end, each weighted by its maximum and sum. As their borders depend neither on the number of tokens of
//! the pass nor on that of the threads, a token's result is the same to the last bit however its text was cut into passes.

mod task;

use std::ops::Range;

use anyhow::{Result, ensure};
use half::f16;
use half::slice::HalfFloatSliceExt;

use super::isa::LANES;
use super::scratch::with_thread_scratch;
use super::{Kernels, SharedPointer};
pub(super) use task::{AttentionTask, attend_task};
use task::{TILE, scratch_values};

/// Rows of a task at which turning keys and values into f32 costs little.
const ROWS: usize = 48;
/// Positions of a part.
const PART: usize = 4 * TILE;
/// Tokens from which storing is worth a region of all threads.
const PARALLEL: usize = 16;

/// The sizes of an attention and of its cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttentionShape {
    /// Query heads.
    pub heads: usize,
    /// Key-value heads; each serves `heads / kv_heads` consecutive query heads.
    pub kv_heads: usize,
    /// Values of a head, a multiple of 16.
    pub head_dim: usize,
    /// Positions that the cache has room for, a multiple of 16.
    pub capacity: usize,
}

impl AttentionShape {
    /// Values of a layer's cache: keys, then as many values.
    pub fn cache_values(&self) -> usize {
        2 * self.kv_heads * self.capacity * self.head_dim
    }

    /// Values of a token's queries, keys and values, which follow each other.
    pub fn row(&self) -> usize {
        (self.heads + 2 * self.kv_heads) * self.head_dim
    }

    /// The number of tokens in `qkv`, which start at position `start`.
    fn check(&self, start: usize, qkv: &[f32], cache: &[f16]) -> Result<usize> {
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
        // All other sizes are at most this one.
        let row = self.kv_heads.checked_mul(2).and_then(|heads| heads.checked_add(self.heads));
        let all = row.and_then(|heads| heads.checked_mul(self.head_dim)?.checked_mul(self.capacity));
        ensure!(all.is_some(), "an attention of {self:?} is too large");
        ensure!(
            self.capacity.is_multiple_of(LANES) && cache.len() == self.cache_values(),
            "a cache of {} heads, {} positions and {} values got {} values",
            self.kv_heads,
            self.capacity,
            self.head_dim,
            cache.len()
        );
        let tokens = qkv.len() / self.row();
        ensure!(
            tokens > 0 && qkv.len() == tokens * self.row(),
            "rows of {} queries, keys and values got {} values",
            self.row(),
            qkv.len()
        );
        ensure!(
            start.checked_add(tokens).is_some_and(|end| end <= self.capacity),
            "positions {start}… of {tokens} tokens do not fit into a cache of {}",
            self.capacity
        );
        Ok(tokens)
    }
}

/// Writes the keys and values of new tokens into the cache, from position `start` on. `qkv` is `[tokens]` rows of
/// queries, keys and values, `[heads][head_dim]` each.
///
/// # Errors
/// When the shape is impossible, a slice has another length than it asks for, or the cache is too small.
pub fn store(
    kernels: &Kernels,
    shape: &AttentionShape,
    start: usize,
    qkv: &[f32],
    cache: &mut [f16],
) -> Result<()> {
    let tokens = shape.check(start, qkv, cache)?;
    let &AttentionShape { heads, kv_heads, head_dim, capacity } = shape;
    let (keys, values) = cache.split_at_mut(kv_heads * capacity * head_dim);
    let head_values = capacity * head_dim;
    let store_head = |head: usize, keys: &mut [f16], values: &mut [f16]| {
        for token in 0..tokens {
            let position = start + token;
            let row = &qkv[token * shape.row()..][..shape.row()];
            let (key, value) = ((heads + head) * head_dim, (heads + kv_heads + head) * head_dim);
            let block = &mut keys[position / LANES * LANES * head_dim..][..LANES * head_dim];
            for (key, block) in row[key..][..head_dim].chunks(LANES).zip(block.chunks_mut(LANES * LANES)) {
                let mut halves = [f16::ZERO; LANES];
                halves.convert_from_f32_slice(key);
                for (lanes, half) in block.chunks_exact_mut(LANES).zip(halves) {
                    lanes[position % LANES] = half;
                }
            }
            values[position * head_dim..][..head_dim].convert_from_f32_slice(&row[value..value + head_dim]);
        }
    };
    if tokens < PARALLEL {
        let heads = keys.chunks_exact_mut(head_values).zip(values.chunks_exact_mut(head_values));
        heads.enumerate().for_each(|(head, (keys, values))| store_head(head, keys, values));
    } else {
        let (keys, values) = (SharedPointer(keys.as_mut_ptr()), SharedPointer(values.as_mut_ptr()));
        kernels.pool.run(kv_heads, &|head| {
            // SAFETY: the parts of the heads lie inside keys and values and do not overlap.
            let [keys, values] = [&keys, &values].map(|part| unsafe {
                std::slice::from_raw_parts_mut(part.get().add(head * head_values), head_values)
            });
            store_head(head, keys, values);
        });
    }
    Ok(())
}

/// Copies the first `length` positions from one cache of this shape to another.
///
/// # Errors
/// When the caches have another size, or not so many positions.
pub fn copy_cache(shape: &AttentionShape, from: &[f16], to: &mut [f16], length: usize) -> Result<()> {
    let wanted = shape.cache_values();
    ensure!(
        from.len() == wanted && to.len() == wanted,
        "two caches of {} and {} values",
        from.len(),
        to.len()
    );
    ensure!(length <= shape.capacity, "{length} positions of a cache of {}", shape.capacity);
    // Keys lie in blocks of sixteen positions; positions beyond the length are overwritten before they are read.
    let count = length.next_multiple_of(LANES) * shape.head_dim;
    let head = shape.capacity * shape.head_dim;
    for (from, to) in from.chunks_exact(head).zip(to.chunks_exact_mut(head)) {
        to[..count].copy_from_slice(&from[..count]);
    }
    Ok(())
}

/// Attention of new tokens to all positions so far: softmax(q · kᵀ / √head_dim) · v.
///
/// `qkv` is as for [`store`], which has put its keys and values into the cache; `out` is `[tokens][heads][head_dim]`.
/// Token `i` stands at position `start + i` and sees the positions up to its own.
///
/// # Errors
/// As [`store`].
pub fn attend(
    kernels: &Kernels,
    shape: &AttentionShape,
    start: usize,
    qkv: &[f32],
    cache: &[f16],
    out: &mut [f32],
) -> Result<()> {
    let tokens = shape.check(start, qkv, cache)?;
    let &AttentionShape { heads, kv_heads, head_dim, capacity } = shape;
    let out_width = heads * head_dim;
    ensure!(out.len() == tokens * out_width, "{tokens} tokens got room for {} values", out.len());

    let group = heads / kv_heads;
    let plan = Plan::new(group, kv_heads, tokens, start);
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
    let (keys, values) = cache.split_at(kv_heads * capacity * head_dim);
    kernels.pool.run(plan.tasks(), &|index| {
        let Place { kv_head, tokens, positions } = plan.place(index);
        let (head, cached) = (kv_head * group * head_dim, kv_head * capacity * head_dim);
        // SAFETY: the level is available. The lengths were checked above: all offsets lie inside their slices, and
        // positions end at `capacity` or before. Tasks differ in their heads, their tokens or their part.
        let task = unsafe {
            AttentionTask {
                q: qkv.as_ptr().add(tokens.start * shape.row() + head),
                q_stride: shape.row(),
                keys: keys.as_ptr().add(cached),
                values: values.as_ptr().add(cached),
                out: result.get().add(tokens.start * out_width + head),
                out_stride: out_width,
                part: (plan.splits > 1).then(|| parts.get().add(index * part_values)),
                group,
                tokens: tokens.len(),
                head_dim,
                start: start + tokens.start,
                positions,
            }
        };
        // SAFETY: as above.
        with_thread_scratch(scratch_values(plan.rows(), head_dim), |scratch| unsafe {
            (kernels.routines.attend)(&task, scratch);
        });
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
    /// Parts that the positions are divided into, [`PART`] each.
    splits: usize,
}

/// What one task works on.
struct Place {
    kv_head: usize,
    tokens: Range<usize>,
    positions: Range<usize>,
}

impl Plan {
    fn new(group: usize, kv_heads: usize, tokens: usize, start: usize) -> Self {
        let tokens_per_block = (ROWS / group).clamp(1, tokens);
        let blocks = tokens.div_ceil(tokens_per_block);
        let splits = (start + tokens).div_ceil(PART);
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
        let boundary = |split: usize| (split * PART).min(end);
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
