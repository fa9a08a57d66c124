//! Several ways to write on after one text, which share their beginnings.

use std::ops::Range;

use crate::kernels::Branch;

/// Tokens, each of which follows another one of them or the text. A pass reads many of them side by side, each seeing
/// the text and what it follows.
#[derive(Default)]
pub struct Tree {
    tokens: Vec<u32>,
    /// Number of tokens of the tree that stand before each.
    depths: Vec<usize>,
    branches: Vec<Branch>,
    read: usize,
}

impl Tree {
    /// Tokens that it has room for.
    pub const ROOM: usize = Branch::ROOM;

    /// Let a token follow the one of number `parent`, or the text. Returns its own number.
    ///
    /// # Panics
    /// When the tree has [`Tree::ROOM`] tokens, or there is no such parent.
    pub fn push(&mut self, parent: Option<usize>, token: u32) -> usize {
        let number = self.tokens.len();
        let (depth, branch) = match parent {
            Some(parent) => (self.depths[parent] + 1, self.branches[parent]),
            None => (0, Branch::default()),
        };
        self.tokens.push(token);
        self.depths.push(depth);
        self.branches.push(branch.with(number));
        number
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// The numbers of the tokens that were not read yet.
    pub fn unread(&self) -> Range<usize> {
        self.read..self.tokens.len()
    }

    /// All tokens were read.
    pub fn mark_read(&mut self) {
        self.read = self.tokens.len();
    }

    /// The tokens, by their numbers.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Number of tokens of the tree that stand before each.
    pub fn depths(&self) -> &[usize] {
        &self.depths
    }

    /// Which tokens of the tree each one sees, by their numbers.
    pub fn branches(&self) -> &[Branch] {
        &self.branches
    }

    /// The tokens from the text to the one of this number.
    pub fn path(&self, number: usize) -> Vec<u32> {
        let seen = &self.branches[number];
        (0..=number).filter(|other| seen.has(*other)).map(|other| self.tokens[other]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_sees_what_it_follows() {
        let mut tree = Tree::default();
        let a = tree.push(None, 10);
        let b = tree.push(None, 20);
        let ac = tree.push(Some(a), 30);
        let bd = tree.push(Some(b), 40);
        assert_eq!((tree.path(ac), tree.path(bd)), (vec![10, 30], vec![20, 40]));
        assert_eq!((tree.depths(), tree.unread()), (&[0, 0, 1, 1][..], 0..4));
        tree.mark_read();
        let ace = tree.push(Some(ac), 50);
        assert_eq!((tree.path(ace), tree.unread()), (vec![10, 30, 50], 4..5));
    }
}
