//! Attention over either kind of cache against the formula.

use super::*;

/// Attention of `tokens` tokens after `start` others, all of whose keys and values went through [`store`].
pub fn check_attention(shape: AttentionShape, start: usize, tokens: usize, seed: u64) {
    let AttentionShape { heads, head_dim, .. } = shape;
    let mut numbers = Numbers(seed | 1);
    let all: Vec<f32> =
        numbers.floats((start + tokens) * shape.row()).iter().map(|value| 3.0 * value).collect();
    for is_bytes in [false, true] {
        let before = |token: usize, position: usize| position <= start + token;
        let expected = expected_attention(shape, start, tokens, &all, is_bytes, before);
        for kernels in all_kernels() {
            let mut caches = [0, 1].map(|_| AnyCache::new(&shape, is_bytes));
            let [cache, copy] = &mut caches;
            let (before, qkv) = all.split_at(start * shape.row());
            if start > 0 {
                store(&kernels, &shape, 0, before, cache.as_mut()).unwrap();
            }
            store(&kernels, &shape, start, qkv, cache.as_mut()).unwrap();
            copy_cache(&shape, cache.as_ref(), copy.as_mut(), start + tokens).unwrap();
            for cache in &caches {
                let mut out = vec![7.0; tokens * heads * head_dim];
                attend(&kernels, &shape, start, Sight::Before, qkv, cache.as_ref(), &mut out).unwrap();
                check_close(&kernels, &out, &expected, 1e-5);
            }
        }
    }
}

/// Attention of the last tokens of a tree, `nodes` altogether after `trunk` others; each follows one of those before it.
pub fn check_branches(shape: AttentionShape, trunk: usize, nodes: usize, seed: u64) {
    let AttentionShape { heads, head_dim, .. } = shape;
    let mut numbers = Numbers(seed | 1);
    let all: Vec<f32> =
        numbers.floats((trunk + nodes) * shape.row()).iter().map(|value| 3.0 * value).collect();
    let mut branches: Vec<Branch> = Vec::new();
    for node in 0..nodes {
        let parent = numbers.next() as usize % (node + 1);
        let followed = branches.get(parent).copied().unwrap_or_default();
        branches.push(followed.with(node));
    }
    let first = nodes / 3;
    let (before, qkv) = all.split_at((trunk + first) * shape.row());
    let sight = Sight::Branches { trunk, branches: &branches[first..] };
    let sees =
        |token: usize, position: usize| position < trunk || branches[first + token].has(position - trunk);
    for is_bytes in [false, true] {
        let expected = expected_attention(shape, trunk + first, nodes - first, &all, is_bytes, sees);
        for kernels in all_kernels() {
            let mut cache = AnyCache::new(&shape, is_bytes);
            if !before.is_empty() {
                store(&kernels, &shape, 0, before, cache.as_mut()).unwrap();
            }
            store(&kernels, &shape, trunk + first, qkv, cache.as_mut()).unwrap();
            let mut out = vec![7.0; (nodes - first) * heads * head_dim];
            attend(&kernels, &shape, trunk + first, sight, qkv, cache.as_ref(), &mut out).unwrap();
            check_close(&kernels, &out, &expected, 1e-5);
        }
    }
}

/// A layer's cache.
enum AnyCache {
    Halves(Vec<f16>),
    Bytes(Vec<u8>),
}

impl AnyCache {
    /// Full of what must not matter where nothing was stored.
    fn new(shape: &AttentionShape, is_bytes: bool) -> Self {
        match is_bytes {
            true => AnyCache::Bytes(vec![0xff; shape.cache_bytes()]),
            false => AnyCache::Halves(vec![f16::MAX; shape.cache_values()]),
        }
    }

    fn as_ref(&self) -> Cache<'_> {
        match self {
            AnyCache::Halves(values) => Cache::Halves(values),
            AnyCache::Bytes(bytes) => Cache::Bytes(bytes),
        }
    }

    fn as_mut(&mut self) -> CacheMut<'_> {
        match self {
            AnyCache::Halves(values) => CacheMut::Halves(values),
            AnyCache::Bytes(bytes) => CacheMut::Bytes(bytes),
        }
    }
}

/// By the formula, of keys and values as the cache rounds them.
fn expected_attention(
    shape: AttentionShape,
    start: usize,
    tokens: usize,
    all: &[f32],
    is_bytes: bool,
    sees: impl Fn(usize, usize) -> bool,
) -> Vec<f64> {
    let AttentionShape { heads, kv_heads, head_dim, .. } = shape;
    let rounded: Vec<f64> = all
        .chunks_exact(head_dim)
        .flat_map(|vector| {
            let largest = vector.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
            vector.iter().map(move |value| match is_bytes {
                true => f64::from((value * (127.0 / largest)).round_ties_even()) * f64::from(largest / 127.0),
                false => f16::from_f32(*value).to_f64(),
            })
        })
        .collect();
    let row = |position: usize| position * shape.row();
    let mut expected = Vec::new();
    for token in 0..tokens {
        for head in 0..heads {
            let query = &all[row(start + token) + head * head_dim..][..head_dim];
            let key = (heads + head / (heads / kv_heads)) * head_dim;
            let value = key + kv_heads * head_dim;
            let dot = |position: usize| {
                if !sees(token, position) {
                    return f64::NEG_INFINITY;
                }
                let key = &rounded[row(position) + key..][..head_dim];
                key.iter().zip(query).map(|(k, q)| k * f64::from(*q)).sum::<f64>() / (head_dim as f64).sqrt()
            };
            let scores: Vec<f64> = (0..=start + token).map(dot).collect();
            let largest = scores.iter().copied().fold(f64::MIN, f64::max);
            let total: f64 = scores.iter().map(|score| (score - largest).exp()).sum();
            expected.extend((0..head_dim).map(|i| {
                let weighted = scores.iter().enumerate().map(|(position, score)| {
                    (score - largest).exp() / total * rounded[row(position) + value + i]
                });
                weighted.sum::<f64>()
            }));
        }
    }
    expected
}

#[test]
fn attention_of_one_token_and_of_a_long_prompt() {
    let shape = AttentionShape { heads: 9, kv_heads: 3, head_dim: 64, capacity: 704 };
    check_attention(shape, 0, 1, 1);
    check_attention(shape, 63, 1, 2);
    check_attention(shape, 64, 1, 3);
    check_attention(shape, 640, 1, 4);
    check_attention(shape, 60, 70, 5);
}

#[test]
fn attention_of_branches() {
    let shape = AttentionShape { heads: 9, kv_heads: 3, head_dim: 64, capacity: 704 };
    check_branches(shape, 0, 1, 1);
    check_branches(shape, 64, 4, 2);
    check_branches(shape, 301, 200, 3);
    check_branches(shape, 640, 60, 4);
}
