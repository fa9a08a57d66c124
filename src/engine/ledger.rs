//! The ledger of which tokens the network's caches hold, so that a new prompt is read only where it differs.

use crate::interrupt::Interrupt;
use crate::model::{Network, Stopped, Tree, Wanted};

/// Shared tokens from which on a copy is cheaper than reading them again.
const WORTH_COPYING: usize = 64;

/// A network together with the tokens in its caches; their lengths always agree.
pub struct Ledger {
    network: Box<dyn Network>,
    slots: Vec<Slot>,
    /// The slot that the network works with.
    current: usize,
    clock: u64,
}

/// One of the network's caches: a place in a document that was worked at.
#[derive(Default)]
struct Slot {
    held: Vec<u32>,
    /// When it was last worked with.
    used: u64,
}

impl Ledger {
    /// An empty ledger over empty caches.
    pub fn new(network: Box<dyn Network>) -> Self {
        let slots = (0..network.slots().max(1)).map(|_| Slot::default()).collect();
        let mut ledger = Self { network, slots, current: 0, clock: 0 };
        ledger.forget();
        ledger
    }

    /// The network, for what it can tell of itself.
    pub fn network(&self) -> &dyn Network {
        &*self.network
    }

    /// As [`Network::set_idle`].
    pub fn set_idle(&mut self, threads: Option<usize>) {
        self.network.set_idle(threads);
    }

    /// The tokens that stand before the next one.
    pub fn held(&self) -> &[u32] {
        &self.slots[self.current].held
    }

    /// Whether one of the slots begins with all of these tokens.
    pub fn holds(&self, tokens: &[u32]) -> bool {
        self.slots.iter().any(|slot| slot.held.starts_with(tokens))
    }

    /// Turn to the slot that shares most with `prompt`, roll it back to that, and return how many tokens it is; at least
    /// one token of the prompt is left to be read, because its logits are wanted. A slot with much that the prompt has
    /// not is left as it is: the user may come back. The one that was not used for the longest time makes room.
    pub fn keep_shared(&mut self, prompt: &[u32]) -> usize {
        let most = prompt.len().saturating_sub(1);
        let (best, kept) = self.nearest(prompt, most);
        let held = self.slots[best].held.len();
        // Most of what the slot holds stays, or is a little that is soon read again.
        if 2 * kept >= held || held <= WORTH_COPYING {
            self.select(best);
            self.roll_back(kept);
            return kept;
        }
        let oldest = self.oldest_but(best);
        self.select(oldest);
        if kept >= WORTH_COPYING && oldest != best && self.network.copy_from(best, kept).is_ok() {
            self.slots[oldest].held = self.slots[best].held[..kept].to_vec();
            return kept;
        }
        let kept = if oldest == best { kept } else { 0 };
        self.roll_back(kept);
        kept
    }

    /// Forget what stands after the first `len` tokens.
    pub fn roll_back(&mut self, len: usize) {
        self.network.truncate(len);
        self.slots[self.current].held.truncate(len);
    }

    /// Empty all caches.
    pub fn forget(&mut self) {
        for slot in (0..self.slots.len()).rev() {
            self.select(slot);
            self.roll_back(0);
            self.slots[slot].used = 0;
        }
        // The next text goes there, so that the others' memory stays untouched.
        self.select(0);
    }

    /// Read tokens and return the logits after the last, as far as they are wanted. What was read before an interrupt stays.
    ///
    /// # Errors
    /// As [`Network::extend`].
    pub fn extend(
        &mut self,
        tokens: &[u32],
        wanted: Wanted,
        interrupt: &Interrupt,
    ) -> Result<&[f32], Stopped> {
        let before = self.network.len();
        let stopped = self.network.extend(tokens, wanted, interrupt);
        let read = self.network.len() - before;
        self.slots[self.current].held.extend_from_slice(&tokens[..read]);
        stopped?;
        Ok(self.network.logits())
    }

    /// Read a few tokens in one pass and return the logits after each.
    ///
    /// # Errors
    /// As [`Network::extend_each`].
    pub fn extend_each(
        &mut self,
        tokens: &[u32],
        wanted: Wanted,
        interrupt: &Interrupt,
    ) -> Result<&[f32], Stopped> {
        let rows = self.network.extend_each(tokens, wanted, interrupt)?;
        self.slots[self.current].held.extend_from_slice(tokens);
        Ok(rows)
    }

    /// As [`Network::extend_tree`], after the tokens that are held.
    ///
    /// # Errors
    /// As [`Network::extend_tree`].
    pub fn extend_tree(&mut self, tree: &mut Tree, interrupt: &Interrupt) -> Result<&[f32], Stopped> {
        self.network.extend_tree(tree, interrupt)
    }

    /// The slot that begins most like the prompt, the latest of equals, and how much it shares.
    fn nearest(&self, prompt: &[u32], most: usize) -> (usize, usize) {
        let shared =
            |slot: &Slot| slot.held.iter().zip(prompt).take_while(|(held, wanted)| held == wanted).count();
        let all =
            self.slots.iter().enumerate().map(|(index, slot)| (index, shared(slot).min(most), slot.used));
        let best = all.max_by_key(|(_, shared, used)| (*shared, *used));
        best.map_or((0, 0), |(index, shared, _)| (index, shared))
    }

    /// The slot that was not used for the longest time; `but` only if there is no other.
    fn oldest_but(&self, but: usize) -> usize {
        let others = (0..self.slots.len()).filter(|slot| *slot != but);
        others.min_by_key(|slot| self.slots[*slot].used).unwrap_or(but)
    }

    fn select(&mut self, slot: usize) {
        self.clock += 1;
        self.slots[slot].used = self.clock;
        self.current = slot;
        self.network.select(slot);
    }
}
