//! Where a model's weights are read from, and their bytes once they are open: never copied.

use std::borrow::Cow;
use std::fmt::{self, Debug};
use std::io;
use std::ops::{Deref, Range};
use std::path::{Path, PathBuf};

use crate::model::mapped::MappedFile;

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
    Mapped(MappedFile),
    Static(&'static [u8]),
}

impl Bytes {
    /// Map a file.
    ///
    /// # Errors
    /// When it cannot be opened or is empty.
    pub fn map(path: &Path) -> anyhow::Result<Self> {
        Ok(Self::Mapped(MappedFile::open(path)?))
    }

    /// The bytes of a range that is touched only here: of a file they are read, because a map would bring the pages around
    /// them, up to two megabytes, into the process.
    ///
    /// # Errors
    /// When the file ends before the range, or cannot be read.
    pub fn sample(&self, range: Range<usize>) -> io::Result<Cow<'_, [u8]>> {
        match self {
            Self::Mapped(file) => file.read(range).map(Cow::Owned),
            Self::Static(bytes) => {
                bytes.get(range).map(Cow::Borrowed).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
            }
        }
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(file) => file,
            Self::Static(bytes) => bytes,
        }
    }
}
