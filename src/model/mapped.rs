//! A weights file mapped into memory, read only: its pages are shared between processes and loaded when touched.

use std::fs::File;
use std::path::Path;

use anyhow::Context;
use memmap2::Mmap;

/// Map a file of weights.
///
/// # Errors
/// When the file cannot be opened or is empty.
pub fn map(path: &Path) -> anyhow::Result<Mmap> {
    let file = File::open(path).with_context(|| format!("cannot open the weights {}", path.display()))?;
    let length = file.metadata()?.len();
    anyhow::ensure!(length > 0, "the weights {} are empty; fetch them again", path.display());
    // SAFETY: the map is read only and private to this process. Another program that truncates the file while it is in
    // use could still break the promise; weights are installed by an atomic rename and never written in place.
    unsafe { Mmap::map(&file) }.with_context(|| format!("cannot map the weights {}", path.display()))
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
