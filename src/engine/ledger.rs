//! The ledger of which tokens the network's cache holds, so that a new prompt is read only where it differs.

use crate::interrupt::Interrupt;
use crate::model::{Network, Stopped};

/// A network together with the tokens in its cache; the two lengths always agree.
pub struct Ledger {
    network: Box<dyn Network>,
    held: Vec<u32>,
}

impl Ledger {
    /// An empty ledger over an empty cache.
    pub fn new(mut network: Box<dyn Network>) -> Self {
        network.truncate(0);
        Self { network, held: Vec::new() }
    }

    /// The network, for what it can tell of itself.
    pub fn network(&self) -> &dyn Network {
        &*self.network
    }

    /// Roll back to what `prompt` shares with the cache and return how many tokens that is; at least one token of the
    /// prompt is left to be read, because its logits are wanted.
    pub fn keep_shared(&mut self, prompt: &[u32]) -> usize {
        let shared = self.held.iter().zip(prompt).take_while(|(held, wanted)| held == wanted).count();
        let kept = shared.min(prompt.len().saturating_sub(1));
        self.network.truncate(kept);
        self.held.truncate(kept);
        kept
    }

    /// Empty the cache.
    pub fn forget(&mut self) {
        self.network.truncate(0);
        self.held.clear();
    }

    /// Read tokens and return the logits after the last. What was read before an interrupt stays.
    ///
    /// # Errors
    /// As [`Network::extend`].
    pub fn extend(&mut self, tokens: &[u32], interrupt: &Interrupt) -> Result<&[f32], Stopped> {
        let before = self.network.len();
        let stopped = self.network.extend(tokens, interrupt);
        let read = self.network.len() - before;
        self.held.extend_from_slice(&tokens[..read]);
        stopped?;
        Ok(self.network.logits())
    }
}
