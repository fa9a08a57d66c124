//! Drafts without a model: what followed the last few tokens elsewhere is guessed to follow again, and checked in one pass.
//!
//! Nothing is indexed: a scan over all that can be copied from takes a few microseconds, a pass of the network
//! hundreds of times as long.

use std::collections::VecDeque;

/// Tokens that must agree before a guess is made.
const AGREE: usize = 3;
/// Agreement beyond this says nothing more.
const ENOUGH: usize = 16;
/// Most tokens that are guessed at once: a pass over this many and one costs little more than over a single token.
const MOST: usize = 6;
/// Tokens of earlier answers that are remembered.
const REMEMBERED: usize = 4096;

/// Guesses the next tokens of one model's texts.
#[derive(Default)]
pub struct Drafter {
    /// Answers of late, one after the other.
    answers: VecDeque<u32>,
    /// What else can be copied from: other open documents.
    elsewhere: Vec<u32>,
    /// Tokens guessed at once: more after good guesses, fewer after bad ones.
    length: usize,
    off: bool,
}

impl Drafter {
    /// Guess or do not guess from now on.
    pub fn switch(&mut self, on: bool) {
        self.off = !on;
    }

    /// Text of other documents that can be copied from, in place of the last such text.
    pub fn set_elsewhere(&mut self, tokens: Vec<u32>) {
        self.elsewhere = tokens;
    }

    /// A run begins.
    pub fn begin(&mut self) {
        self.length = MOST / 2;
    }

    /// Up to `most` tokens that may follow `before` and then `next`.
    pub fn guess(&mut self, before: &[u32], next: u32, most: usize) -> Vec<u32> {
        let most = most.min(self.length).min(MOST);
        if self.off || most == 0 {
            return Vec::new();
        }
        let ending = Ending { before, next };
        let places = [self.answers.make_contiguous() as &[u32], before, &self.elsewhere];
        // The longest agreement wins; of equals, what the model wrote itself and what is nearest.
        let mut best: (usize, &[u32]) = (AGREE - 1, &[]);
        for place in places {
            if let Some((agreement, end)) = ending.latest_in(place, best.0 + 1) {
                best = (agreement, &place[end..]);
            }
        }
        best.1.iter().take(most).copied().collect()
    }

    /// So many of the guessed tokens were right.
    pub fn learn(&mut self, guessed: usize, right: usize) {
        if guessed > 0 {
            self.length = if right == guessed { (right + 2).min(MOST) } else { (right + 1).min(MOST) };
        }
    }

    /// An answer was written.
    pub fn remember(&mut self, answer: &[u32]) {
        self.answers.extend(answer);
        let surplus = self.answers.len().saturating_sub(REMEMBERED);
        self.answers.drain(..surplus);
    }
}

/// A text's last tokens.
struct Ending<'a> {
    before: &'a [u32],
    next: u32,
}

impl Ending<'_> {
    /// The latest place in `text` behind the longest agreement with this ending that is `least` tokens or longer: how
    /// long it is and where it ends. The end of the text itself is no such place: nothing follows there.
    fn latest_in(&self, text: &[u32], least: usize) -> Option<(usize, usize)> {
        let mut best = None;
        let mut wanted = least;
        for end in (least..text.len()).rev() {
            if text[end - 1] != self.next {
                continue;
            }
            let agreement = 1 + self.agreement(&text[..end - 1]);
            if agreement >= wanted {
                best = Some((agreement, end));
                if agreement >= ENOUGH {
                    break;
                }
                wanted = agreement + 1;
            }
        }
        best
    }

    fn agreement(&self, text: &[u32]) -> usize {
        let (text, before) = (text.iter().rev(), self.before.iter().rev());
        text.zip(before).take(ENOUGH).take_while(|(a, b)| a == b).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guess(drafter: &mut Drafter, text: &[u32]) -> Vec<u32> {
        let (next, before) = text.split_last().unwrap();
        drafter.begin();
        drafter.guess(before, *next, 8)
    }

    #[test]
    fn what_followed_before_is_guessed_again() {
        let mut drafter = Drafter::default();
        assert_eq!(guess(&mut drafter, &[1, 2, 3, 4, 5, 6, 7, 9, 1, 2, 3]), [4, 5, 6]);
        // The longest agreement wins over the nearest, the nearest over others.
        assert_eq!(guess(&mut drafter, &[8, 1, 2, 3, 4, 0, 1, 2, 3, 5, 8, 1, 2, 3])[0], 4);
        assert_eq!(guess(&mut drafter, &[0, 1, 2, 3, 4, 9, 1, 2, 3, 5, 8, 1, 2, 3])[0], 5);
        assert_eq!(guess(&mut drafter, &[1, 2, 3, 4, 2, 3]), [0; 0]);
    }

    #[test]
    fn answers_and_other_documents_are_copied_from() {
        let mut drafter = Drafter::default();
        drafter.remember(&[1, 2, 3, 4]);
        assert_eq!(guess(&mut drafter, &[7, 1, 2, 3]), [4]);
        drafter.set_elsewhere(vec![7, 1, 2, 3, 6]);
        assert_eq!(guess(&mut drafter, &[7, 1, 2, 3]), [6]);
        drafter.switch(false);
        assert_eq!(guess(&mut drafter, &[7, 1, 2, 3]), [0; 0]);
    }

    #[test]
    fn the_length_follows_success() {
        let text: Vec<u32> = (0..20).chain(0..3).collect();
        let mut drafter = Drafter::default();
        assert_eq!(guess(&mut drafter, &text).len(), 3);
        drafter.learn(3, 3);
        assert_eq!(drafter.guess(&text[..22], 2, 8).len(), 5);
        drafter.learn(5, 0);
        assert_eq!(drafter.guess(&text[..22], 2, 8).len(), 1);
        assert_eq!(drafter.guess(&text[..22], 2, 0), [0; 0]);
    }
}
