//! The network: manifests, weights, KV cache and the decoder on candle tensors.

pub mod manifest;
pub mod store;

pub mod families;
pub mod gguf;
mod mapped;
pub mod safetensors;
pub mod weights;

pub mod decoder;
mod embedding;
mod kv_cache;
mod linear;
pub mod ops;
mod rotary;

use crate::interrupt::Interrupt;

/// A Transformer with a KV cache that grows by tokens and rolls back to any length.
pub trait Network: Send {
    /// Append tokens to the cache. Afterwards [`Network::logits`] are those after the last one.
    ///
    /// # Errors
    /// [`Stopped::Interrupted`] leaves the chunks that were finished in the cache: see [`Network::len`].
    fn extend(&mut self, tokens: &[u32], interrupt: &Interrupt) -> Result<(), Stopped>;

    /// Logits after the last token that was read, `[vocabulary]`; empty before the first.
    fn logits(&self) -> &[f32];

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

    /// Name of the kernels or device in use ("avx512vnni", "cuda").
    fn kernels(&self) -> &str;

    /// Bytes of weights and of the cache.
    fn memory(&self) -> Memory;
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
    pub kv_cache: usize,
}
