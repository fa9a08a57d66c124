//! The network: manifests, weights, KV cache and the decoder on candle tensors.

pub mod embedded;
pub mod manifest;
pub mod store;

pub mod families;
pub mod gguf;
mod mapped;
pub mod safetensors;
pub mod source;
pub mod weights;

pub mod decoder;
mod embedding;
mod kv_cache;
mod linear;
pub mod ops;
mod packed;
mod rotary;
mod tree;

use crate::interrupt::Interrupt;

pub use kv_cache::KvKind;
pub use tree::Tree;

/// A Transformer with a KV cache that grows by tokens and rolls back to any length.
pub trait Network: Send {
    /// Append tokens to the cache. Afterwards [`Network::logits`] are those after the last one, as far as they are `wanted`.
    ///
    /// # Errors
    /// [`Stopped::Interrupted`] leaves the chunks that were finished in the cache: see [`Network::len`].
    fn extend(&mut self, tokens: &[u32], wanted: Wanted, interrupt: &Interrupt) -> Result<(), Stopped>;

    /// Append a few tokens in one pass and return the logits after each of them, `[tokens, vocabulary]`: what a drafted
    /// continuation is checked by. A pass over four tokens costs little more than one over a single token.
    ///
    /// # Errors
    /// As [`Network::extend`]; an interrupt leaves the cache as it was.
    fn extend_each(
        &mut self,
        tokens: &[u32],
        wanted: Wanted,
        interrupt: &Interrupt,
    ) -> Result<&[f32], Stopped>;

    /// Read the tokens of a tree that were not read yet, in one pass, and return the logits after each of them, `[tokens,
    /// vocabulary]`: several ways to write on after what the cache holds. The cache itself stays as it is; the tree's
    /// tokens stand behind it until something else is read.
    ///
    /// # Errors
    /// As [`Network::extend_each`]; the tokens are unread then.
    fn extend_tree(&mut self, tree: &mut Tree, interrupt: &Interrupt) -> Result<&[f32], Stopped>;

    /// Logits after the last token that was read, `[vocabulary]`; empty before the first and where none were wanted.
    fn logits(&self) -> &[f32];

    /// Number of caches that it keeps beside each other, each with its own tokens.
    fn slots(&self) -> usize {
        1
    }

    /// Work with another cache from now on, `slot` below [`Network::slots`]: all other methods speak of the selected one.
    fn select(&mut self, slot: usize) {
        assert_eq!(slot, 0, "there is one cache");
    }

    /// Begin the selected cache with the first `len` tokens of another one, in place of what it holds.
    ///
    /// # Errors
    /// When the device fails; the selected cache is empty then.
    fn copy_from(&mut self, slot: usize, len: usize) -> anyhow::Result<()> {
        assert_eq!(slot, 0, "there is one cache");
        self.truncate(len);
        Ok(())
    }

    /// Forget everything after the first `len` tokens.
    fn truncate(&mut self, len: usize);

    /// Number of tokens in the cache.
    fn len(&self) -> usize;

    /// Whether the cache is empty.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Most tokens that the cache can hold.
    fn capacity(&self) -> usize;

    /// Number of logits.
    fn vocabulary(&self) -> usize;

    /// Nobody waits for what is computed from now on: where threads compute, at most so many, and others go first. `None`:
    /// somebody waits.
    fn set_idle(&mut self, _threads: Option<usize>) {}

    /// Name of the kernels or device in use ("avx512vnni", "cuda").
    fn kernels(&self) -> &str;

    /// Bytes of weights and of the cache.
    fn memory(&self) -> Memory;
}

/// Which logits are wanted after a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// None: only the cache is.
    Nothing,
    /// The likeliest, exactly; those of tokens that are far from it may be some tenths off.
    Likeliest,
    /// All, exactly.
    All,
}

/// Why a pass ended without logits.
#[derive(Debug)]
pub enum Stopped {
    /// The [`Interrupt`] was set.
    Interrupted,
    /// The pass failed; the message is for the user.
    Failed(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Stopped {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Bytes that a network holds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    pub weights: usize,
    /// Of them, what a pass reads that chooses the likeliest token.
    pub weights_of_pass: usize,
    pub kv_cache: usize,
}
