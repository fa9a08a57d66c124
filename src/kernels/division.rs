//! How the work of a pass is divided: tokens into tiles and among threads, rows into shares.

use std::ops::Range;

/// Tokens whose activations stay in the second-level cache while the rows go by.
const TOKENS_PER_PART: usize = 128;
/// Tokens for each thread from which on they have homes. With fewer, weights that every thread reads for itself would cost more
/// than what it need not fetch from other cores.
const TOKENS_AT_HOME: usize = 24;

/// How tokens are divided into tiles: as few as possible, their widths as even as possible, the wider ones first.
#[derive(Clone, Copy)]
pub(super) struct Tiling {
    pub(super) tiles: usize,
    narrow: usize,
    wider: usize,
}

impl Tiling {
    fn new(tokens: usize, widest: usize) -> Self {
        let tiles = tokens.div_ceil(widest);
        Tiling { tiles, narrow: tokens / tiles, wider: tokens % tiles }
    }

    pub(super) fn tokens(self) -> usize {
        self.tiles * self.narrow + self.wider
    }

    /// The first token and the number of tokens of a tile.
    pub(super) fn tile(self, tile: usize) -> (usize, usize) {
        (tile * self.narrow + tile.min(self.wider), self.narrow + usize::from(tile < self.wider))
    }
}

/// The tokens of a tile.
#[derive(Clone, Copy)]
pub(super) struct TileTokens {
    pub(super) first: usize,
    pub(super) count: usize,
    /// Tokens of the part that stand before them.
    pub(super) before: usize,
}

/// Where tokens are at home. Where there are many, each belongs to the same thread in all products and attentions of a pass,
/// because what a thread has computed of it is in its core's caches, and slow to fetch from there.
///
/// ```text
/// tiles of tokens    0  1  2  3  4  5  6  7  8  9 10 11
/// at home with       └─ 0 ──┘└────── 1 ──────┘└── 0 ──┘     in an attention, later tokens have more to see
/// ```
#[derive(Clone, Copy)]
pub(super) struct Homes {
    pub(super) tiling: Tiling,
    /// How many there are: one for each thread, or one for all.
    pub(super) count: usize,
    /// Parts of all homes together, as many in each.
    pub(super) parts: usize,
}

impl Homes {
    /// Those of so many tokens in tiles of at most `widest`.
    pub(super) fn new(tokens: usize, widest: usize, threads: usize) -> Self {
        let tiling = Tiling::new(tokens, widest);
        let count = if tokens < TOKENS_AT_HOME * threads { 1 } else { threads };
        Homes { tiling, count, parts: count * tokens.div_ceil(TOKENS_PER_PART * count) }
    }

    /// Parts of each home; the first home's are numbered from zero, and so on.
    pub(super) fn parts_each(self) -> usize {
        self.parts / self.count
    }

    /// Runs of tokens that all parts consist of.
    fn slices(self) -> usize {
        if self.count > 1 { 2 * self.parts } else { self.parts }
    }

    fn tiles_of_slice(self, slice: usize) -> Range<usize> {
        let bound = |slice| self.tiling.tiles * slice / self.slices();
        bound(slice)..bound(slice + 1)
    }

    /// The slices of a part: one, or two, the later one first.
    fn slices_of(self, part: usize) -> impl Iterator<Item = usize> {
        let late = (self.count > 1).then_some(2 * self.parts - 1 - part);
        late.into_iter().chain([part])
    }

    /// The tiles of a part, the later ones first.
    pub(super) fn tiles_of(self, part: usize) -> impl Iterator<Item = TileTokens> {
        let mut before = 0;
        self.slices_of(part).flat_map(move |slice| self.tiles_of_slice(slice)).map(move |tile| {
            let (first, count) = self.tiling.tile(tile);
            before += count;
            TileTokens { first, count, before: before - count }
        })
    }

    /// A tile, where all are in one part.
    pub(super) fn tile(self, tile: usize) -> TileTokens {
        let (first, count) = self.tiling.tile(tile);
        TileTokens { first, count, before: first }
    }

    /// Tokens of the largest part.
    pub(super) fn tokens_of_largest(self) -> usize {
        (0..self.parts).map(|part| self.tokens_of(part).map(|run| run.len()).sum()).max().unwrap_or_default()
    }

    /// The number of a part's tiles.
    pub(super) fn tile_count(self, part: usize) -> usize {
        self.slices_of(part).map(|slice| self.tiles_of_slice(slice).len()).sum()
    }

    /// The tokens of a part, as runs of such that follow each other, the later one first.
    pub(super) fn tokens_of(self, part: usize) -> impl Iterator<Item = Range<usize>> {
        self.slices_of(part).map(move |slice| {
            let tiles = self.tiles_of_slice(slice);
            self.tiling.tile(tiles.start).0..self.tiling.tile(tiles.end).0
        })
    }
}

/// `count` things divided among threads in shares that get smaller: three quarters of them in one share for each thread, and
/// the rest in `small` more for each; without such, all in one for each.
#[derive(Clone, Copy)]
pub(super) struct Shares {
    pub(super) count: usize,
    pub(super) threads: usize,
    pub(super) small: usize,
}

impl Shares {
    pub(super) fn len(self) -> usize {
        (1 + self.small) * self.threads
    }

    /// The things of a share; it may be empty.
    pub(super) fn get(self, index: usize) -> Range<usize> {
        let Shares { count, threads, small } = self;
        let bound = |index: usize| {
            if small == 0 {
                return count * index / threads;
            }
            // In units of which three quarters are 3 · `small` for each thread.
            let units =
                if index <= threads { 3 * small * index } else { 3 * small * threads + index - threads };
            count * units / (4 * small * threads)
        };
        bound(index)..bound(index + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::{Homes, Shares, TOKENS_AT_HOME, Tiling};

    #[test]
    fn shares_cover_everything_once_and_get_smaller() {
        for (threads, small) in (1..6).flat_map(|threads| [0, 1, 4].map(|small| (threads, small))) {
            for count in [0, 1, 2, 7, 36, 60, 3072] {
                let shares = Shares { count, threads, small };
                let mut next = 0;
                for index in 0..shares.len() {
                    let share = shares.get(index);
                    assert_eq!(share.start, next);
                    next = share.end;
                }
                assert_eq!(next, count, "{threads} threads, {small} small shares");
            }
        }
        let sizes = |threads, small| {
            let shares = Shares { count: 32, threads, small };
            (0..shares.len()).map(|index| shares.get(index).len()).collect::<Vec<_>>()
        };
        assert_eq!(sizes(2, 0), [16, 16]);
        assert_eq!(sizes(2, 1), [12, 12, 4, 4]);
        assert_eq!(sizes(2, 4), [12, 12, 1, 1, 1, 1, 1, 1, 1, 1]);
        assert_eq!(sizes(1, 4), [24, 2, 2, 2, 2]);
    }

    #[test]
    fn tiles_cover_all_tokens() {
        for widest in 1..7 {
            for tokens in 1..40 {
                let tiling = Tiling::new(tokens, widest);
                let mut next = 0;
                for tile in 0..tiling.tiles {
                    let (first, width) = tiling.tile(tile);
                    assert!(first == next && (1..=widest).contains(&width));
                    next = first + width;
                }
                assert_eq!((next, tiling.tokens()), (tokens, tokens));
            }
        }
    }

    #[test]
    fn every_token_is_at_home_once_and_homes_are_as_large_and_as_late() {
        for (threads, tokens) in (1..6).flat_map(|threads| [1, 5, 48, 96, 128, 600].map(|it| (threads, it))) {
            let homes = Homes::new(tokens, 6, threads);
            assert!(homes.count == 1 || homes.count == threads);
            for part in 0..homes.parts {
                let tokens: Vec<_> = homes.tokens_of(part).flatten().collect();
                let mut before = 0;
                for tile in homes.tiles_of(part) {
                    assert_eq!((tile.before, tile.first), (before, tokens[before]));
                    before += tile.count;
                }
                assert_eq!((before, homes.tiles_of(part).count()), (tokens.len(), homes.tile_count(part)));
                assert!(before <= homes.tokens_of_largest());
            }
            let runs: Vec<Vec<_>> = (0..homes.parts).map(|part| homes.tokens_of(part).collect()).collect();
            let of_home = |home: usize| &runs[home * homes.parts_each()..][..homes.parts_each()];
            let tokens_of = |home| of_home(home).iter().flatten().cloned().flatten();
            if homes.count > 1 {
                for home in 0..homes.count {
                    let share = tokens_of(home).count() * homes.count;
                    let place = tokens_of(home).sum::<usize>() / tokens_of(home).count();
                    // Off by what a tile more or less makes.
                    assert!(share.abs_diff(tokens) <= 2 * 6 * homes.count, "{runs:?}");
                    assert!(place.abs_diff(tokens / 2) <= tokens / 8, "{runs:?}");
                }
            }
            let mut all: Vec<_> = (0..homes.count).flat_map(tokens_of).collect();
            all.sort_unstable();
            assert_eq!(all, (0..tokens).collect::<Vec<_>>(), "{threads} threads");
        }
        assert_eq!(Homes::new(TOKENS_AT_HOME * 2, 6, 2).count, 2);
        assert_eq!(Homes::new(TOKENS_AT_HOME * 2 - 1, 6, 2).count, 1);
    }
}
