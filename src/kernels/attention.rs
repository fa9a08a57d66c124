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
//! for each part of the positions:
//!     for each tile of 64 positions:
//!         scores = queries × keys;  positions that a row does not see: −∞
//!         new maximum; scores = 2^(scores − maximum); sum, result *= 2^(old maximum − maximum)
//!         sum += Σ scores;  result += scores × values
//!     add the part to those before it, each weighted by 2^(its maximum − that of all)
//! result /= sum
//! ```
//!
//! Queries are scaled so that scores are logarithms to base 2, whose powers are cheaper.
//!
//! Both products are the same small kernel. Where there are few heads and tokens, the parts are divided among tasks, and who
//! ends a head's last one adds them, in the same order. As their borders depend neither on the number of tokens of the pass nor
//! on that of the threads, a token's result is the same to the last bit however its text was cut into passes.

mod sight;
mod store;
mod task;

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, bail, ensure};
use half::f16;

use super::division::Homes;
use super::elementwise::Angles;
use super::isa::LANES;
use super::scratch::{Scratch, with_thread_scratch};
use super::{Kernels, SharedPointer};
pub use sight::{Branch, Sight};
pub(super) use task::{AttentionTask, attend_task, join_parts};
use task::{HeadCache, TILE, scratch_values};

/// Rows of a task at which turning keys and values into f32 costs little.
const ROWS: usize = 48;
/// Where the first parts begin: short ones, so that a few positions are divided evenly too.
const FIRST_PARTS: [usize; 3] = [0, TILE, 2 * TILE];
/// From its first multiple on, parts have so many positions.
const PART: usize = 4 * TILE;
/// Tasks for each thread that are enough for all threads to end together.
const TASKS: usize = 8;
/// Scores of a key-value head up to which there are only as many tasks as threads need to have equal shares, and most heads
/// are one: what the tasks of a head tell each other, and the first keys and values of each, for which nobody has asked,
/// would take longer than a thread waits for another.
const FEW_SCORES: usize = 8 << 10;

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
}

impl CacheMut<'_> {
    fn size(&self) -> Size {
        match self {
            CacheMut::Halves(values) => Size::Halves(values.len()),
            CacheMut::Bytes(bytes) => Size::Bytes(bytes.len()),
        }
    }

    /// Where it begins.
    fn start(&mut self) -> CacheStart {
        match self {
            CacheMut::Halves(values) => CacheStart::Halves(SharedPointer(values.as_mut_ptr())),
            CacheMut::Bytes(bytes) => CacheStart::Bytes(SharedPointer(bytes.as_mut_ptr())),
        }
    }
}

/// A cache that the tasks of a region share.
enum CacheStart {
    Halves(SharedPointer<f16>),
    Bytes(SharedPointer<u8>),
}

impl CacheStart {
    /// The part of one key-value head.
    ///
    /// # Safety
    /// The cache must be of this shape, and have the head.
    unsafe fn head(&self, shape: &AttentionShape, head: usize) -> HeadCache {
        let &AttentionShape { kv_heads, head_dim, capacity, .. } = shape;
        let (key, value) = (head * capacity * head_dim, (kv_heads + head) * capacity * head_dim);
        // SAFETY: the caller's promise.
        unsafe {
            match self {
                CacheStart::Halves(start) => {
                    HeadCache::Halves { keys: start.get().add(key), values: start.get().add(value) }
                }
                CacheStart::Bytes(start) => {
                    let scales = start.get().add(shape.cache_values()).cast::<f32>();
                    HeadCache::Bytes {
                        keys: start.get().add(key).cast(),
                        values: start.get().add(value).cast(),
                        key_scales: scales.add(head * capacity),
                        value_scales: scales.add((kv_heads + head) * capacity),
                    }
                }
            }
        }
    }
}

/// Where the tokens of a pass stand.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The position in the cache of the first; the others follow it there.
    pub start: usize,
    /// By which their queries and keys are rotated.
    pub angles: Angles<'a>,
    /// What they see.
    pub sight: Sight<'a>,
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

/// Attention of new tokens to all positions so far, softmax(q · kᵀ / √head_dim) · v: rotates queries and keys (Su et al. 2021,
/// arXiv 2104.09864), stores keys and values, attends.
///
/// `qkv` is `[tokens]` rows of queries, keys and values, `[heads][head_dim]` each; `out` is `[tokens][heads][head_dim]`, or that of
/// some of the last tokens: then only these attend. Token `i` stands at position `place.start + i` and sees what `place.sight`
/// says, itself included.
///
/// # Errors
/// When the shape is impossible, a slice has another length than it asks for, the cache is too small, or a token's branch
/// does not end with the token itself.
pub fn attend(
    kernels: &Kernels,
    shape: &AttentionShape,
    place: &Place,
    qkv: &[f32],
    mut cache: CacheMut,
    out: &mut [f32],
) -> Result<()> {
    let &Place { start, angles, sight } = place;
    let tokens = shape.check(start, qkv, cache.size())?;
    if let Sight::Branches { trunk, branches } = sight {
        let is_own =
            |(index, branch): (usize, &Branch)| branch.last().map(|last| trunk + last) == Some(start + index);
        let fit = branches.len() == tokens && branches.iter().enumerate().all(is_own);
        ensure!(fit, "the branches do not end with the {tokens} tokens from position {start} on");
    }
    let &AttentionShape { heads, kv_heads, head_dim, .. } = shape;
    angles.check(tokens, head_dim)?;
    let out_width = heads * head_dim;
    let attending = out.len() / out_width;
    ensure!(
        out.len() == attending * out_width && (1..=tokens).contains(&attending),
        "{tokens} tokens got room for {} values",
        out.len()
    );

    let homes_of = |tokens: usize| Homes::new(tokens, kernels.routines.tile_tokens, kernels.threads());
    let plan = Plan::new(shape, start + tokens - attending, homes_of(attending), kernels.threads());
    let group = plan.group;
    let part_values = |rows: usize| rows * (head_dim + 2);
    let mut scratch = kernels.scratch();
    let Scratch { parts, unfinished, .. } = &mut *scratch;
    let wanted = plan.split_heads() * plan.parts * part_values(plan.rows);
    if parts.len() < wanted {
        parts.resize(wanted, 0.0);
    }
    unfinished.clear();
    unfinished.resize_with(plan.split_heads(), || AtomicUsize::new(plan.chunks));
    let (parts, unfinished) = (SharedPointer(parts.as_mut_ptr()), &*unfinished);
    let result = SharedPointer(out.as_mut_ptr());
    let cache = cache.start();
    let store = |kv_head: usize, tokens: Range<usize>| {
        with_thread_scratch(head_dim, |rotated| {
            for token in tokens {
                let row = &qkv[token * shape.row()..][..shape.row()];
                let head = |head: usize| &row[head * head_dim..][..head_dim];
                rotated.copy_from_slice(head(heads + kv_head));
                // SAFETY: the level is available. The cache was checked above, and of a head only one task stores a position.
                unsafe {
                    (kernels.routines.rotate)(rotated, angles.of_tokens(token..token + 1, head_dim));
                    let cache = cache.head(shape, kv_head);
                    cache.store(start + token, rotated, head(heads + kv_heads + kv_head));
                }
            }
        });
    };
    // Keys and values that only one task reads are stored there; the others must be there before.
    let is_stored = plan.blocks > 1 || attending < tokens;
    if is_stored {
        let homes = homes_of(tokens);
        match homes.count {
            1 => kernels.pool.run(kv_heads, &|kv_head| store(kv_head, 0..tokens)),
            count => kernels.pool.run_at_home(count, homes.parts_each(), &|part| {
                for tokens in homes.tokens_of(part) {
                    (0..kv_heads).for_each(|kv_head| store(kv_head, tokens.clone()));
                }
            }),
        }
    }
    // From here on of those that attend.
    let (start, first) = (plan.start, tokens - attending);
    let qkv = &qkv[first * shape.row()..];
    let (angles, sight) = (angles.of_tokens(first..tokens, head_dim), sight.of_tokens(first..tokens));
    kernels.pool.run_at_home(plan.homes.count, plan.tasks() / plan.homes.count, &|index| {
        let Share { kv_head, split, tokens, parts: range } = plan.share(index);
        if tokens.is_empty() {
            return; // fewer than blocks
        }
        let end = start + tokens.end;
        // Of a block's last parts only those are there that its tokens see.
        let positions = part_start(range.start)..part_start(range.end).min(end);
        if !is_stored {
            store(kv_head, plan.tokens_at(&positions));
        }
        let first_head = kv_head * group * head_dim;
        // SAFETY: the level is available. The lengths were checked above: all offsets lie inside their slices, and
        // positions end at `capacity` or before. Tasks differ in their heads, their tokens or their parts; who finishes
        // a head last has all parts of it before it.
        unsafe {
            let all_parts = |head: usize| parts.get().add(head * plan.parts * part_values(plan.rows));
            let task = AttentionTask {
                q: qkv.as_ptr().add(tokens.start * shape.row() + first_head),
                q_stride: shape.row(),
                angles: angles.of_tokens(tokens.clone(), head_dim),
                cache: cache.head(shape, kv_head),
                out: result.get().add(tokens.start * out_width + first_head),
                out_stride: out_width,
                parts: split.map(|head| all_parts(head).add(range.start * part_values(group * tokens.len()))),
                group,
                tokens: tokens.len(),
                head_dim,
                start: start + tokens.start,
                sight: sight.of_tokens(tokens),
                positions,
            };
            if !task.positions.is_empty() {
                with_thread_scratch(scratch_values(plan.rows, head_dim), |scratch| {
                    (kernels.routines.attend)(&task, scratch);
                });
            }
            if let Some(head) = split.filter(|head| unfinished[*head].fetch_sub(1, Ordering::AcqRel) == 1) {
                (kernels.routines.join_parts)(&task, all_parts(head), part_of(end - 1) + 1);
            }
        }
    });
    Ok(())
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

/// Where a part begins.
fn part_start(part: usize) -> usize {
    FIRST_PARTS.get(part).copied().unwrap_or_else(|| (part - (FIRST_PARTS.len() - 1)) * PART)
}

/// The part of a position.
fn part_of(position: usize) -> usize {
    match position {
        0..PART => FIRST_PARTS.partition_point(|start| *start <= position) - 1,
        _ => position / PART + FIRST_PARTS.len() - 1,
    }
}

/// How an attention is divided into tasks: of blocks of tokens, key-value heads, and chunks of parts.
struct Plan {
    group: usize,
    kv_heads: usize,
    start: usize,
    homes: Homes,
    /// Blocks of tokens in a run of such that follow each other and are at home in one place.
    blocks_each: usize,
    /// Blocks of all runs.
    blocks: usize,
    /// Query heads of the largest block's tokens.
    rows: usize,
    /// Parts that the positions are divided into.
    parts: usize,
    /// Key-value heads, of all blocks, that are a task each; the others are several.
    whole: usize,
    /// Tasks of each other head.
    chunks: usize,
}

/// What one task works on.
struct Share {
    kv_head: usize,
    /// The number of the head among those of several tasks, if it is one.
    split: Option<usize>,
    tokens: Range<usize>,
    parts: Range<usize>,
}

impl Plan {
    fn new(shape: &AttentionShape, start: usize, homes: Homes, threads: usize) -> Self {
        let &AttentionShape { heads, kv_heads, .. } = shape;
        let (group, tokens) = (heads / kv_heads, homes.tiling.tokens());
        let runs = if homes.count > 1 { 2 * homes.parts } else { 1 };
        let blocks_each = tokens.div_ceil(runs).div_ceil((ROWS / group).max(1));
        let blocks = runs * blocks_each;
        let parts = part_of(start + tokens - 1) + 1;
        let all = blocks * kv_heads;
        let (whole, chunks) = if homes.count == 1 && (start + tokens) * tokens * group <= FEW_SCORES {
            (all - all % threads, threads / greatest_common_divisor(threads, all % threads))
        } else {
            (0, (TASKS * threads).div_ceil(all))
        };
        let chunks = chunks.min(parts);
        let mut plan =
            Plan { group, kv_heads, start, homes, blocks_each, blocks, rows: 0, parts, whole, chunks };
        let largest = (0..blocks).map(|block| plan.tokens_of(block).len()).max();
        plan.rows = group * largest.unwrap_or_default();
        plan
    }

    /// The tokens of a block. Of those that are at home in one place the last come first: they have most positions to see, and
    /// so the threads end together.
    fn tokens_of(&self, block: usize) -> Range<usize> {
        let (run, block) = (block / self.blocks_each, block % self.blocks_each);
        let all = match self.homes.count {
            1 => 0..self.homes.tiling.tokens(),
            _ => self.homes.tokens_of(run / 2).nth(run % 2).unwrap_or_default(),
        };
        let bound = |block| all.start + all.len() * (self.blocks_each - block) / self.blocks_each;
        bound(block + 1)..bound(block)
    }

    /// The first part of a chunk. Chunks are as equally long as parts allow; one may be empty.
    fn first_part(&self, chunk: usize) -> usize {
        if chunk == self.chunks {
            return self.parts;
        }
        let wanted = (self.start + self.homes.tiling.tokens()) * chunk / self.chunks;
        let part = part_of(wanted);
        if wanted - part_start(part) <= part_start(part + 1) - wanted { part } else { part + 1 }
    }

    /// Key-value heads whose parts belong to several tasks, of all blocks.
    fn split_heads(&self) -> usize {
        if self.chunks > 1 { self.blocks * self.kv_heads - self.whole } else { 0 }
    }

    fn tasks(&self) -> usize {
        self.whole + (self.blocks * self.kv_heads - self.whole) * self.chunks
    }

    fn share(&self, index: usize) -> Share {
        let (head, parts) = match index.checked_sub(self.whole) {
            None => (index, 0..self.parts),
            Some(index) => {
                let chunk = index % self.chunks;
                (self.whole + index / self.chunks, self.first_part(chunk)..self.first_part(chunk + 1))
            }
        };
        let tokens = self.tokens_of(head / self.kv_heads);
        let split = (head >= self.whole && self.chunks > 1).then(|| head - self.whole);
        Share { kv_head: head % self.kv_heads, split, tokens, parts }
    }

    /// The new tokens that stand there.
    fn tokens_at(&self, positions: &Range<usize>) -> Range<usize> {
        let token = |position: usize| position.saturating_sub(self.start);
        token(positions.start)..token(positions.end)
    }
}
