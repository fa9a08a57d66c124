//! The weights that the program carries in itself. The library has none: the program hands its own over when it starts.

use std::sync::OnceLock;

static WEIGHTS: OnceLock<&'static [u8]> = OnceLock::new();

/// Hand over the bytes of the embedded model's GGUF file. The first call counts.
pub fn register(weights: &'static [u8]) {
    let _ = WEIGHTS.set(weights);
}

/// The bytes of the embedded model's GGUF file, where the program carries one.
pub fn weights() -> Option<&'static [u8]> {
    WEIGHTS.get().copied()
}
