//! Causal attention over a cache of keys and values, in half precision or in bytes.
//!
//! The cache of a layer is its keys, `[kv_heads][capacity / 16][head_dim][16 positions]`, and then its values,
//! `[kv_heads][capacity][head_dim]`: so a vector of scores, one position a lane, needs no transposition. In bytes each key
//! and each value has a factor, f32, behind all of them: `[kv_heads][capacity]` of keys, then of values. A key's is applied to
//! its scores, a value's to its weights, so the products are the same.
//!
//! A task takes the query heads of one key-value head for a few tokens (its rows) and a range of positions, and goes
//! over the positions in tiles with a running maximum and sum (online softmax), so no row of scores is ever stored:
//!
//! ```text
//! for each tile of 64 positions:
//!     scores = queries × keys;  positions that a row does not see: −∞
//!     new maximum; scores = exp(scores − maximum); sum, result *= exp(old maximum − maximum)
//!     sum += Σ scores;  result += scores × values
//! result /= sum
//! ```
//!
//! Both products are the same small kernel. The positions are divided into parts of a fixed length, which are put
//! together at the end, each weighted by its maximum and sum. As their borders depend neither on the number of tokens of
//! the pass nor on that of the threads, a token's result is the same to the last bit however its text was cut into passes.

mod sight;
mod task;

use std::ops::Range;

use anyhow::{Result, bail, ensure};
use half::f16;
use half::slice::HalfFloatSliceExt;

use super::isa::LANES;
use super::scratch::with_thread_scratch;
use super::{Kernels, SharedPointer};
pub use sight::{Branch, Sight};
pub(super) use task::{AttentionTask, attend_task};
use task::{HeadCache, TILE, scratch_values};

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
    /// Numbers in a layer's cache: keys, then as many values.
    pub fn cache_values(&self) -> usize {
        2 * self.kv_heads * self.capacity * self.head_dim
    }

    /// Bytes of a layer's cache that holds them as bytes, their factors included.
    pub fn cache_bytes(&self) -> usize {
        self.cache_values() + 2 * self.kv_heads * self.capacity * size_of::<f32>()
    }

    /// Values of a token's queries, keys and values, which follow each other.
    pub fn row(&self) -> usize {
        (self.heads + 2 * self.kv_heads) * self.head_dim
    }

    /// The number of tokens in `qkv`, which start at position `start`.
    fn check(&self, start: usize, qkv: &[f32], cache: Size) -> Result<usize> {
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
        self.check_cache(cache)?;
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

    fn check_cache(&self, cache: Size) -> Result<()> {
        // All other sizes are at most this one.
        let row = self.kv_heads.checked_mul(2).and_then(|heads| heads.checked_add(self.heads));
        let all = row.and_then(|heads| heads.checked_mul(self.head_dim)?.checked_mul(self.capacity));
        ensure!(all.is_some(), "an attention of {self:?} is too large");
        let wanted = match cache {
            Size::Halves(_) => Size::Halves(self.cache_values()),
            Size::Bytes(_) => Size::Bytes(self.cache_bytes()),
        };
        ensure!(
            self.capacity.is_multiple_of(LANES) && cache == wanted,
            "a cache of {} heads, {} positions and {} values takes {wanted:?}, not {cache:?}",
            self.kv_heads,
            self.capacity,
            self.head_dim
        );
        Ok(())
    }
}

/// Keys and values of a layer.
#[derive(Debug, Clone, Copy)]
pub enum Cache<'a> {
    /// In half precision.
    Halves(&'a [f16]),
    /// As bytes with factors.
    Bytes(&'a [u8]),
}

/// Keys and values of a layer that change.
#[derive(Debug)]
pub enum CacheMut<'a> {
    /// In half precision.
    Halves(&'a mut [f16]),
    /// As bytes with factors.
    Bytes(&'a mut [u8]),
}

/// The length of a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Size {
    Halves(usize),
    Bytes(usize),
}

impl Cache<'_> {
    fn size(&self) -> Size {
        match self {
            Cache::Halves(values) => Size::Halves(values.len()),
            Cache::Bytes(bytes) => Size::Bytes(bytes.len()),
        }
    }

    /// The part of one key-value head.
    fn head(&self, shape: &AttentionShape, head: usize) -> HeadCache {
        let &AttentionShape { kv_heads, head_dim, capacity, .. } = shape;
        let (key, value) = (head * capacity * head_dim, (kv_heads + head) * capacity * head_dim);
        match self {
            Cache::Halves(cache) => {
                HeadCache::Halves { keys: cache[key..].as_ptr(), values: cache[value..].as_ptr() }
            }
            Cache::Bytes(cache) => {
                let scales = |head: usize| {
                    cache[shape.cache_values() + head * capacity * size_of::<f32>()..].as_ptr().cast()
                };
                HeadCache::Bytes {
                    keys: cache[key..].as_ptr().cast(),
                    values: cache[value..].as_ptr().cast(),
                    key_scales: scales(head),
                    value_scales: scales(kv_heads + head),
                }
            }
        }
    }
}

impl CacheMut<'_> {
    fn size(&self) -> Size {
        match self {
            CacheMut::Halves(values) => Size::Halves(values.len()),
            CacheMut::Bytes(bytes) => Size::Bytes(bytes.len()),
        }
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
    cache: CacheMut,
) -> Result<()> {
    let tokens = shape.check(start, qkv, cache.size())?;
    let &AttentionShape { heads, kv_heads, head_dim, .. } = shape;
    // The key and the value of each new token in a head.
    let rows = |head: usize| {
        qkv.chunks_exact(shape.row()).enumerate().map(move |(token, row)| {
            let (key, value) = ((heads + head) * head_dim, (heads + kv_heads + head) * head_dim);
            (start + token, &row[key..][..head_dim], &row[value..][..head_dim])
        })
    };
    let numbers = shape.cache_values();
    match cache {
        CacheMut::Halves(cache) => {
            let (keys, values) = cache.split_at_mut(numbers / 2);
            each_head(kernels, kv_heads, tokens, [keys, values], |head, [keys, values]| {
                for (position, key, value) in rows(head) {
                    let block = &mut keys[position / LANES * LANES * head_dim..][..LANES * head_dim];
                    for (key, block) in key.chunks(LANES).zip(block.chunks_mut(LANES * LANES)) {
                        let mut halves = [f16::ZERO; LANES];
                        halves.convert_from_f32_slice(key);
                        for (lanes, half) in block.chunks_exact_mut(LANES).zip(halves) {
                            lanes[position % LANES] = half;
                        }
                    }
                    values[position * head_dim..][..head_dim].convert_from_f32_slice(value);
                }
            });
        }
        CacheMut::Bytes(cache) => {
            let (cache, scales) = cache.split_at_mut(numbers);
            let (keys, values) = cache.split_at_mut(numbers / 2);
            let (key_scales, value_scales) = scales.split_at_mut(scales.len() / 2);
            let parts = [keys, values, key_scales, value_scales];
            each_head(kernels, kv_heads, tokens, parts, |head, [keys, values, key_scales, value_scales]| {
                for (position, key, value) in rows(head) {
                    let block = &mut keys[position / LANES * LANES * head_dim..][..LANES * head_dim];
                    let key_bytes = block.iter_mut().skip(position % LANES).step_by(LANES);
                    to_bytes(key, key_bytes, position, key_scales);
                    to_bytes(value, values[position * head_dim..].iter_mut(), position, value_scales);
                }
            });
        }
    }
    Ok(())
}

/// Rounds a row to bytes and writes the factor that makes values of them.
fn to_bytes<'a>(row: &[f32], bytes: impl Iterator<Item = &'a mut u8>, position: usize, scales: &mut [u8]) {
    // Added and taken away, it leaves no place for fractions: 1.5 · 2²³.
    const ROUND: f32 = 12_582_912.0;
    let largest = row.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let scale = largest / 127.0;
    // Of a row of zeros, or nearly, nothing is left.
    let inverse = if largest > 1e-30 { 127.0 / largest } else { 0.0 };
    for (byte, value) in bytes.zip(row) {
        *byte = ((value * inverse + ROUND) - ROUND) as i8 as u8;
    }
    scales[position * size_of::<f32>()..][..size_of::<f32>()].copy_from_slice(&scale.to_ne_bytes());
}

/// Calls `task` for every head with its share of each part.
fn each_head<T: Send, const PARTS: usize>(
    kernels: &Kernels,
    heads: usize,
    tokens: usize,
    parts: [&mut [T]; PARTS],
    task: impl Fn(usize, [&mut [T]; PARTS]) + Sync,
) {
    let parts = parts.map(|part| (part.len() / heads, SharedPointer(part.as_mut_ptr())));
    let run = |head: usize| {
        // SAFETY: the shares of the heads lie inside their part and do not overlap.
        let shares = parts.each_ref().map(|(share, part)| unsafe {
            std::slice::from_raw_parts_mut(part.get().add(head * share), *share)
        });
        task(head, shares);
    };
    if tokens < PARALLEL { (0..heads).for_each(run) } else { kernels.pool.run(heads, &run) }
}

/// Copies the first `length` positions from one cache of this shape to another.
///
/// # Errors
/// When the caches have another size, or not so many positions.
pub fn copy_cache(shape: &AttentionShape, from: Cache, to: CacheMut, length: usize) -> Result<()> {
    shape.check_cache(from.size())?;
    shape.check_cache(to.size())?;
    ensure!(length <= shape.capacity, "{length} positions of a cache of {}", shape.capacity);
    // Keys lie in blocks of sixteen positions; positions beyond the length are overwritten before they are read.
    let length = length.next_multiple_of(LANES);
    let numbers = shape.cache_values();
    match (from, to) {
        (Cache::Halves(from), CacheMut::Halves(to)) => copy_heads(shape, from, to, shape.head_dim, length),
        (Cache::Bytes(from), CacheMut::Bytes(to)) => {
            copy_heads(shape, &from[..numbers], &mut to[..numbers], shape.head_dim, length);
            copy_heads(shape, &from[numbers..], &mut to[numbers..], size_of::<f32>(), length);
        }
        _ => bail!("one cache has halves, the other bytes"),
    }
    Ok(())
}

/// Copies the first `length` positions of every head, each of so many elements.
fn copy_heads<T: Copy>(shape: &AttentionShape, from: &[T], to: &mut [T], elements: usize, length: usize) {
    let head = (shape.capacity * elements).max(1); // an empty cache has no heads
    for (from, to) in from.chunks_exact(head).zip(to.chunks_exact_mut(head)) {
        to[..length * elements].copy_from_slice(&from[..length * elements]);
    }
}

/// Attention of new tokens to all positions so far: softmax(q · kᵀ / √head_dim) · v.
///
/// `qkv` is as for [`store`], which has put its keys and values into the cache; `out` is `[tokens][heads][head_dim]`.
/// Token `i` stands at position `start + i` and sees what `sight` says, itself included.
///
/// # Errors
/// As [`store`], and when a token's branch does not end with the token itself.
pub fn attend(
    kernels: &Kernels,
    shape: &AttentionShape,
    start: usize,
    sight: Sight,
    qkv: &[f32],
    cache: Cache,
    out: &mut [f32],
) -> Result<()> {
    let tokens = shape.check(start, qkv, cache.size())?;
    if let Sight::Branches { trunk, branches } = sight {
        let is_own =
            |(index, branch): (usize, &Branch)| branch.last().map(|last| trunk + last) == Some(start + index);
        let fit = branches.len() == tokens && branches.iter().enumerate().all(is_own);
        ensure!(fit, "the branches do not end with the {tokens} tokens from position {start} on");
    }
    let &AttentionShape { heads, kv_heads, head_dim, .. } = shape;
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
    kernels.pool.run(plan.tasks(), &|index| {
        let Place { kv_head, tokens, positions } = plan.place(index);
        let head = kv_head * group * head_dim;
        // SAFETY: the level is available. The lengths were checked above: all offsets lie inside their slices, and
        // positions end at `capacity` or before. Tasks differ in their heads, their tokens or their part.
        let task = unsafe {
            AttentionTask {
                q: qkv.as_ptr().add(tokens.start * shape.row() + head),
                q_stride: shape.row(),
                cache: cache.head(shape, kv_head),
                out: result.get().add(tokens.start * out_width + head),
                out_stride: out_width,
                part: (plan.splits > 1).then(|| parts.get().add(index * part_values)),
                group,
                tokens: tokens.len(),
                head_dim,
                start: start + tokens.start,
                sight: sight.of_tokens(tokens),
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
