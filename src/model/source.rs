//! Where a model's weights are read from, and their bytes once they are open: never copied.

use std::fmt::{self, Debug};
use std::ops::Deref;
use std::path::PathBuf;

use memmap2::Mmap;

/// Where weights are read from.
#[derive(Clone)]
pub enum WeightsSource {
    /// GGUF or safetensors files.
    Files(Vec<PathBuf>),
    /// A GGUF file that is part of the program.
    Static(&'static [u8]),
}

impl WeightsSource {
    /// The files, if they are files.
    pub fn paths(&self) -> &[PathBuf] {
        match self {
            Self::Files(paths) => paths,
            Self::Static(_) => &[],
        }
    }
}

impl Debug for WeightsSource {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Files(paths) => formatter.debug_tuple("Files").field(paths).finish(),
            Self::Static(bytes) => write!(formatter, "Static({} bytes)", bytes.len()),
        }
    }
}

/// The bytes of an open file of weights.
pub enum Bytes {
    Mapped(Mmap),
    Static(&'static [u8]),
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Static(bytes) => bytes,
        }
    }
}
