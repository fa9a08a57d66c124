//! Attention over either kind of cache against the formula.

use std::ops::Range;

use super::*;

/// Attention of `tokens` tokens after `start` others.
pub fn check_attention(shape: AttentionShape, start: usize, tokens: usize, seed: u64) {
    let text = Text::new(shape, start + tokens, seed);
    for is_bytes in [false, true] {
        let before = |token: usize, position: usize| position <= start + token;
        let expected = text.expected_attention(start, is_bytes, before);
        for kernels in all_kernels() {
            let mut cache = AnyCache::new(&shape, is_bytes);
            text.attend(&kernels, 0..start, Sight::Before, &mut cache);
            let mut copy = AnyCache::new(&shape, is_bytes);
            copy_cache(&shape, cache.as_ref(), copy.as_mut(), start).unwrap();
            for cache in [&mut cache, &mut copy] {
                let out = text.attend(&kernels, start..start + tokens, Sight::Before, cache);
                check_close(&kernels, &out, &expected, 1e-5);
            }
        }
    }
}

/// Attention of the last tokens of a tree, `nodes` altogether after `trunk` others; each follows one of those before it.
pub fn check_branches(shape: AttentionShape, trunk: usize, nodes: usize, seed: u64) {
    let text = Text::new(shape, trunk + nodes, seed);
    let mut numbers = Numbers(seed | 1);
    let mut branches: Vec<Branch> = Vec::new();
    for node in 0..nodes {
        let parent = numbers.next() as usize % (node + 1);
        let followed = branches.get(parent).copied().unwrap_or_default();
        branches.push(followed.with(node));
    }
    let first = nodes / 3;
    let sight = Sight::Branches { trunk, branches: &branches[first..] };
    let sees =
        |token: usize, position: usize| position < trunk || branches[first + token].has(position - trunk);
    for is_bytes in [false, true] {
        let expected = text.expected_attention(trunk + first, is_bytes, sees);
        for kernels in all_kernels() {
            let mut cache = AnyCache::new(&shape, is_bytes);
            text.attend(&kernels, 0..trunk + first, Sight::Before, &mut cache);
            let out = text.attend(&kernels, trunk + first..trunk + nodes, sight, &mut cache);
            check_close(&kernels, &out, &expected, 1e-5);
        }
    }
}

/// Queries, keys and values of some tokens, and angles to rotate them by.
struct Text {
    shape: AttentionShape,
    qkv: Vec<f32>,
    cos: Vec<f32>,
    sin: Vec<f32>,
    style: RopeStyle,
}

impl Text {
    fn new(shape: AttentionShape, tokens: usize, seed: u64) -> Self {
        let mut numbers = Numbers(seed | 1);
        let qkv = numbers.floats(tokens * shape.row()).iter().map(|value| 3.0 * value).collect();
        let angles = numbers.floats(tokens * shape.head_dim / 2);
        let (cos, sin) = angles.iter().map(|angle| ((7.0 * angle).cos(), (7.0 * angle).sin())).unzip();
        let style = if seed & 2 == 0 { RopeStyle::Halves } else { RopeStyle::Interleaved };
        Text { shape, qkv, cos, sin, style }
    }

    /// The attention of some of the tokens, those before them being in the cache.
    fn attend(
        &self,
        kernels: &Kernels,
        tokens: Range<usize>,
        sight: Sight,
        cache: &mut AnyCache,
    ) -> Vec<f32> {
        self.attend_last(kernels, tokens.clone(), tokens.len(), sight, cache)
    }

    /// That of so many of the last of them.
    fn attend_last(
        &self,
        kernels: &Kernels,
        tokens: Range<usize>,
        wanted: usize,
        sight: Sight,
        cache: &mut AnyCache,
    ) -> Vec<f32> {
        let AttentionShape { heads, head_dim, .. } = self.shape;
        let mut out = vec![7.0; wanted * heads * head_dim];
        if !tokens.is_empty() {
            let all = Angles { cos: &self.cos, sin: &self.sin, style: self.style };
            let angles = all.of_tokens(tokens.clone(), head_dim);
            let place = Place { start: tokens.start, angles, sight };
            let qkv = &self.qkv[tokens.start * self.shape.row()..tokens.end * self.shape.row()];
            attend(kernels, &self.shape, &place, qkv, cache.as_mut(), &mut out).unwrap();
        }
        out
    }

    /// A head of a token, rotated to its place.
    fn rotated(&self, token: usize, head: usize) -> Vec<f32> {
        let dim = self.shape.head_dim;
        let mut values = self.head(token, head).to_vec();
        for pair in 0..dim / 2 {
            let (first, second) = match self.style {
                RopeStyle::Interleaved => (2 * pair, 2 * pair + 1),
                RopeStyle::Halves => (pair, pair + dim / 2),
            };
            let (cos, sin) = (self.cos[token * dim / 2 + pair], self.sin[token * dim / 2 + pair]);
            let (a, b) = (values[first], values[second]);
            (values[first], values[second]) = (a * cos - b * sin, a * sin + b * cos);
        }
        values
    }

    fn head(&self, token: usize, head: usize) -> &[f32] {
        &self.qkv[token * self.shape.row() + head * self.shape.head_dim..][..self.shape.head_dim]
    }

    /// By the formula, of the tokens from `start` on; keys and values are as the cache rounds them.
    fn expected_attention(
        &self,
        start: usize,
        is_bytes: bool,
        sees: impl Fn(usize, usize) -> bool,
    ) -> Vec<f64> {
        let AttentionShape { heads, kv_heads, head_dim, .. } = self.shape;
        let rounded = |values: &[f32]| -> Vec<f64> {
            let largest = values.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
            let round = |value: &f32| match is_bytes {
                true => f64::from((value * (127.0 / largest)).round_ties_even()) * f64::from(largest / 127.0),
                false => f16::from_f32(*value).to_f64(),
            };
            values.iter().map(round).collect()
        };
        let all = self.qkv.len() / self.shape.row();
        let of_kv_heads = |head: &dyn Fn(usize, usize) -> Vec<f64>| -> Vec<Vec<f64>> {
            (0..all).flat_map(|token| (0..kv_heads).map(move |kv| head(token, kv))).collect()
        };
        let keys = of_kv_heads(&|token, kv| rounded(&self.rotated(token, heads + kv)));
        let values = of_kv_heads(&|token, kv| rounded(self.head(token, heads + kv_heads + kv)));
        let mut expected = Vec::new();
        for token in start..all {
            for head in 0..heads {
                let query = self.rotated(token, head);
                let place = |position: usize| position * kv_heads + head / (heads / kv_heads);
                let dot = |position: usize| {
                    if !sees(token - start, position) {
                        return f64::NEG_INFINITY;
                    }
                    let products = keys[place(position)].iter().zip(&query).map(|(k, q)| k * f64::from(*q));
                    products.sum::<f64>() / (head_dim as f64).sqrt()
                };
                let scores: Vec<f64> = (0..=token).map(dot).collect();
                let largest = scores.iter().copied().fold(f64::MIN, f64::max);
                let total: f64 = scores.iter().map(|score| (score - largest).exp()).sum();
                expected.extend((0..head_dim).map(|i| {
                    let weighted = scores.iter().enumerate().map(|(position, score)| {
                        (score - largest).exp() / total * values[place(position)][i]
                    });
                    weighted.sum::<f64>()
                }));
            }
        }
        expected
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

#[test]
fn the_last_tokens_attend_as_they_do_with_the_others() {
    let shape = AttentionShape { heads: 6, kv_heads: 2, head_dim: 16, capacity: 144 };
    let text = Text::new(shape, 140, 6);
    let width = shape.heads * shape.head_dim;
    for (start, tokens, wanted) in [(60, 80, 1), (60, 80, 50), (0, 20, 3), (100, 8, 5), (139, 1, 1)] {
        for (kernels, is_bytes) in all_kernels().iter().flat_map(|it| [(it, false), (it, true)]) {
            let attend = |wanted: usize| {
                let mut cache = AnyCache::new(&shape, is_bytes);
                text.attend(kernels, 0..start, Sight::Before, &mut cache);
                let out = text.attend_last(kernels, start..start + tokens, wanted, Sight::Before, &mut cache);
                let end = start + tokens;
                // The others are in the cache none the less.
                let after = if end < 140 {
                    text.attend(kernels, end..140, Sight::Before, &mut cache)
                } else {
                    vec![]
                };
                (out, after)
            };
            let ((all, after_all), (last, after_last)) = (attend(tokens), attend(wanted));
            assert!(
                all[(tokens - wanted) * width..] == last && after_all == after_last,
                "{}",
                kernels.name()
            );
        }
    }
}

#[test]
fn a_token_attends_the_same_way_whatever_it_is_read_with() {
    let shape = AttentionShape { heads: 9, kv_heads: 3, head_dim: 64, capacity: 336 };
    let text = Text::new(shape, 330, 5);
    for is_bytes in [false, true] {
        for level in Level::ALL.into_iter().filter(|level| level.is_available()) {
            let attend_in = |threads: usize, passes: &[usize]| {
                let kernels = Kernels::with_level(threads, level).unwrap();
                let mut cache = AnyCache::new(&shape, is_bytes);
                let mut out = Vec::new();
                for length in passes {
                    let start = out.len() / (shape.heads * shape.head_dim);
                    out.extend(text.attend(&kernels, start..start + length, Sight::Before, &mut cache));
                }
                out
            };
            let whole = attend_in(1, &[330]);
            assert!(whole == attend_in(2, &[128, 128, 74]), "{level:?}");
            assert!(whole == attend_in(3, &[60, 3, 1, 1, 16, 17, 30, 1, 126, 1, 1, 1, 4, 68]), "{level:?}");
        }
    }
}
