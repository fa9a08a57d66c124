//! A weights file mapped into memory, read only: its pages are shared between processes and loaded when touched.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::{Deref, Range};
use std::path::Path;

use anyhow::Context;
use memmap2::Mmap;

/// A mapped file that can be read as well.
pub struct MappedFile {
    map: Mmap,
    file: File,
}

impl MappedFile {
    /// Map a file of weights.
    ///
    /// # Errors
    /// When the file cannot be opened or is empty.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let (map, file) = open(path)?;
        Ok(Self { map, file })
    }

    /// Read some bytes past the map. Not for two threads at once: the file has one position.
    ///
    /// # Errors
    /// When the file ends before the range, or cannot be read.
    pub fn read(&self, range: Range<usize>) -> io::Result<Vec<u8>> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(range.start as u64))?;
        let mut bytes = vec![0; range.len()];
        file.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

impl Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map
    }
}

/// Map a file of weights.
///
/// # Errors
/// As [`MappedFile::open`].
pub fn map(path: &Path) -> anyhow::Result<Mmap> {
    Ok(open(path)?.0)
}

fn open(path: &Path) -> anyhow::Result<(Mmap, File)> {
    let file = File::open(path).with_context(|| format!("cannot open the weights {}", path.display()))?;
    let length = file.metadata()?.len();
    anyhow::ensure!(length > 0, "the weights {} are empty; fetch them again", path.display());
    // SAFETY: the map is read only and private to this process. Another program that truncates the file while it is in
    // use could still break the promise; weights are installed by an atomic rename and never written in place.
    let map = unsafe { Mmap::map(&file) };
    Ok((map.with_context(|| format!("cannot map the weights {}", path.display()))?, file))
}

/// The same, in pages as large as the system has, where it has such for files: few faults and, read from end to end over and
/// over, a little faster. What is touched in few places would take more memory so.
///
/// # Errors
/// As [`map`].
pub fn map_in_large_pages(path: &Path) -> anyhow::Result<Mmap> {
    let map = map(path)?;
    // Only advice: a kernel without it maps small pages.
    #[cfg(target_os = "linux")]
    let _ = map.advise(memmap2::Advice::HugePage);
    Ok(map)
}
