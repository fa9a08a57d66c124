//! Which positions the tokens of a pass see.

/// What the tokens of a pass see beside themselves.
#[derive(Debug, Clone, Copy)]
pub enum Sight<'a> {
    /// All that stands before: the tokens follow each other.
    Before,
    /// The first `trunk` positions, and of those after them the token's own branch; one branch a token. So several
    /// continuations of one text are read in one pass, and none sees the others.
    Branches { trunk: usize, branches: &'a [Branch] },
}

impl<'a> Sight<'a> {
    /// That of some of the tokens.
    pub fn of_tokens(self, tokens: std::ops::Range<usize>) -> Self {
        match self {
            Self::Before => Self::Before,
            Self::Branches { trunk, branches } => Self::Branches { trunk, branches: &branches[tokens] },
        }
    }

    /// A bit for each of the 64 positions from `first` on, the lowest first: whether the pass's token number `token` sees it. The
    /// pass begins at position `start`.
    #[inline]
    pub fn window(self, start: usize, token: usize, first: usize) -> u64 {
        match self {
            Self::Before => lowest((start + token + 1).saturating_sub(first)),
            Self::Branches { trunk, branches } if first < trunk => {
                let before = trunk - first;
                // A shift by 64 is none at all.
                lowest(before) | branches[token].window(0).checked_shl(before as u32).unwrap_or(0)
            }
            Self::Branches { trunk, branches } => branches[token].window(first - trunk),
        }
    }
}

/// So many bits that are set.
#[inline]
fn lowest(bits: usize) -> u64 {
    if bits < 64 { (1 << bits) - 1 } else { u64::MAX }
}

/// Positions after a trunk, a bit each, by their distance from it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Branch([u64; Branch::ROOM / 64]);

impl Branch {
    /// Positions that it can tell.
    pub const ROOM: usize = 512;

    /// The branch and one more position.
    ///
    /// # Panics
    /// When the position is not below [`Branch::ROOM`].
    #[must_use]
    pub fn with(mut self, position: usize) -> Self {
        self.0[position / 64] |= 1 << (position % 64);
        self
    }

    /// Whether it has the position.
    pub fn has(&self, position: usize) -> bool {
        self.window(position) & 1 == 1
    }

    /// The last position.
    pub fn last(&self) -> Option<usize> {
        let word = self.0.iter().rposition(|word| *word != 0)?;
        Some(64 * word + self.0[word].ilog2() as usize)
    }

    /// 64 positions from `first` on.
    #[inline]
    fn window(&self, first: usize) -> u64 {
        let word = |index: usize| self.0.get(index).copied().unwrap_or(0);
        let (index, shift) = (first / 64, first % 64);
        let next = if shift == 0 { 0 } else { word(index + 1) << (64 - shift) };
        word(index) >> shift | next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_shows_the_trunk_and_the_branch() {
        let seen = [0, 3, 64, 70, 200];
        let branch = seen.into_iter().fold(Branch::default(), Branch::with);
        assert_eq!((branch.last(), Branch::default().last()), (Some(200), None));
        for trunk in [0, 1, 63, 64, 65, 100, 640] {
            let sight = Sight::Branches { trunk, branches: &[branch] };
            for first in 0..trunk + 300 {
                let window = sight.window(trunk + 200, 0, first);
                for bit in 0..64 {
                    let position = first + bit;
                    let is_seen = position < trunk || seen.contains(&(position - trunk));
                    assert_eq!(window >> bit & 1 == 1, is_seen, "position {position} after {trunk}");
                }
            }
        }
    }

    #[test]
    fn who_follows_sees_all_before() {
        assert_eq!(Sight::Before.window(3, 1, 0), 0b11111);
        assert_eq!(Sight::Before.window(3, 1, 4), 1);
        assert_eq!(Sight::Before.window(3, 1, 5), 0);
        assert_eq!(Sight::Before.window(63, 0, 0), u64::MAX);
        assert_eq!(Sight::Before.window(200, 0, 64), u64::MAX);
    }
}
