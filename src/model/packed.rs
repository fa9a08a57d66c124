//! Packed weights kept in a file: packed once, then mapped, and shared by all processes that use the model. With the vectors
//! beside them, so that of the source only the header is read again.
//!
//! ```text
//! 0    magic                16 bytes
//! 16   length of the table  u64
//! 24   checksum             u64, of everything after these 64 bytes
//! 32   key of the source    32 bytes
//! 64   table                JSON: name, encoding, rows, cols and offset of everything that follows
//! …    matrices             each on 64 bytes, in the order in which they are used
//! …    vectors              the same, f32
//! ```
//!
//! The file is named by its key, so other weights have another file. One that does not fit its key or its checksum is
//! as good as missing: the weights are packed anew and the file is replaced.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::kernels::{Kernels, PackedMatrix, SharedBytes, checksum};
use crate::model::linear::Linear;
use crate::model::mapped;
use crate::model::ops::Ops;
use crate::model::source::Bytes;
use crate::model::weights::Weights;

/// Changes with every change of the layouts in `kernels`.
const MAGIC: &[u8; 16] = b"foretype packed7";
/// The encoding of vectors.
const F32: &str = "f32";
const HEAD: usize = 64;
/// Bytes of the pages that the kernel maps at once, where it can.
const BLOCK: usize = 2 << 20;
/// Files that are kept; the ones used longest ago go.
const KEPT: usize = 4;

/// What a packed file was made from.
type Key = [u8; 32];

/// The packed weights of one load: found in a folder, or to be kept there, or neither.
pub struct PackedStore<'a> {
    place: Option<Place<'a>>,
    file: Option<PackedFile>,
    /// Vectors to be kept.
    vectors: RefCell<Vec<(String, Vec<f32>)>>,
}

struct Place<'a> {
    folder: &'a Path,
    key: Key,
    kernels: Arc<Kernels>,
}

impl<'a> PackedStore<'a> {
    /// What `folder` has of these weights; only kernels use packed weights.
    pub fn open(folder: Option<&'a Path>, weights: &Weights, ops: &Ops) -> Self {
        let (Some(folder), Ops::Kernels(kernels)) = (folder, ops) else {
            return Self { place: None, file: None, vectors: RefCell::default() };
        };
        let key = match key(weights.files().into_iter()) {
            Ok(key) => key,
            Err(error) => {
                tracing::warn!("the weights are not kept packed, because they cannot be read: {error}");
                return Self { place: None, file: None, vectors: RefCell::default() };
            }
        };
        let file = PackedFile::open(folder, &key, kernels);
        let place = Place { folder, key, kernels: kernels.clone() };
        Self { place: Some(place), file, vectors: RefCell::default() }
    }

    /// The packed matrix of this name, if it is here.
    pub fn find(&self, name: &str) -> Option<PackedMatrix> {
        self.file.as_ref()?.get(name).inspect_err(|error| tracing::warn!("{error:#}")).ok()
    }

    /// The vector of this name, from here or else from the weights.
    ///
    /// # Errors
    /// When neither has it.
    pub fn vector(&self, name: &str, weights: &Weights) -> anyhow::Result<Vec<f32>> {
        if let Some(vector) = self.file.as_ref().and_then(|file| file.vector(name)) {
            return Ok(vector);
        }
        let vector = weights.get(name)?.to_f32()?;
        if self.is_missing() {
            self.vectors.borrow_mut().push((name.to_owned(), vector.clone()));
        }
        Ok(vector)
    }

    /// Whether the folder wants the weights.
    pub fn is_missing(&self) -> bool {
        self.place.is_some() && self.file.is_none()
    }

    /// Write the matrices into the folder, with the vectors asked for so far; if that fails they are packed again next time.
    pub fn keep<'l>(&self, named: impl Iterator<Item = (String, &'l Linear)>) {
        let Some(Place { folder, key, kernels }) = &self.place else { return };
        let packed = |linear: &'l Linear| match linear {
            Linear::Packed(matrix) => Some(&**matrix),
            Linear::Candle { .. } => None,
        };
        let mut matrices: Vec<(String, &PackedMatrix)> =
            named.filter_map(|(name, linear)| Some((name, packed(linear)?))).collect();
        // The output matrix is often the embedding's.
        let mut seen = Vec::new();
        matrices.retain(|(_, matrix)| {
            let is_new = !seen.contains(&matrix.as_bytes().as_ptr());
            seen.push(matrix.as_bytes().as_ptr());
            is_new
        });
        if let Err(error) = write(folder, key, kernels, &matrices, &self.vectors.take()) {
            tracing::warn!("packed weights cannot be kept in {}: {error:#}", folder.display());
        }
    }
}

/// A packed file, mapped and found whole.
struct PackedFile {
    bytes: SharedBytes,
    entries: HashMap<String, Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    name: String,
    encoding: String,
    rows: usize,
    cols: usize,
    offset: usize,
}

impl PackedFile {
    /// The packed weights of the source with this key, if `folder` holds them.
    fn open(folder: &Path, key: &Key, kernels: &Kernels) -> Option<Self> {
        let path = path(folder, key);
        if !path.exists() {
            return None;
        }
        let file = Self::read(&path, key, kernels);
        if let Err(error) = &file {
            tracing::warn!("{} is made anew: {error:#}", path.display());
        }
        // Whether it is used tells how long it is kept; a folder that cannot be written keeps what it has.
        let _ =
            File::options().append(true).open(&path).and_then(|file| file.set_modified(SystemTime::now()));
        file.ok()
    }

    fn read(path: &Path, key: &Key, kernels: &Kernels) -> anyhow::Result<Self> {
        let map = mapped::map_in_large_pages(path)?;
        let (head, rest) = map.split_at_checked(HEAD).context("it is cut off")?;
        ensure!(head[..16] == MAGIC[..], "it is of another version");
        ensure!(head[32..] == key[..], "it is of other weights");
        ensure!(head[24..32] == checksum(kernels, rest).to_le_bytes(), "it is damaged");
        let length = u64::from_le_bytes(head[16..24].try_into()?);
        let table = usize::try_from(length).ok().and_then(|length| rest.get(..length)).context("no table")?;
        let entries: Vec<Entry> = serde_json::from_slice(table)?;
        let entries = entries.into_iter().map(|entry| (entry.name.clone(), entry)).collect();
        Ok(Self { bytes: Arc::new(map), entries })
    }

    /// The matrix of this name.
    ///
    /// # Errors
    /// When the file has none, or it is not where the table says.
    fn get(&self, name: &str) -> anyhow::Result<PackedMatrix> {
        let entry = self.entries.get(name).with_context(|| format!("the packed weights have no {name}"))?;
        PackedMatrix::from_shared(&entry.encoding, entry.rows, entry.cols, self.bytes.clone(), entry.offset)
    }

    /// The vector of this name, if the file has it.
    fn vector(&self, name: &str) -> Option<Vec<f32>> {
        let entry = self.entries.get(name).filter(|entry| entry.encoding == F32 && entry.rows == 1)?;
        let end = entry.cols.checked_mul(size_of::<f32>())?.checked_add(entry.offset)?;
        let bytes = (*self.bytes).as_ref().get(entry.offset..end)?;
        Some(bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }
}

/// Write the packed weights of the source with this key into `folder`, whole or not at all.
///
/// # Errors
/// When the folder cannot be written.
fn write(
    folder: &Path,
    key: &Key,
    kernels: &Kernels,
    matrices: &[(String, &PackedMatrix)],
    vectors: &[(String, Vec<f32>)],
) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)?;
    let matrices = matrices.iter().map(|(name, matrix)| {
        let shape = (matrix.rows(), matrix.cols());
        (name, matrix.encoding(), shape, Cow::Borrowed(matrix.as_bytes()))
    });
    let vectors = vectors.iter().map(|(name, vector)| {
        let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
        (name, F32, (1, vector.len()), Cow::Owned(bytes))
    });
    let parts: Vec<_> = matrices.chain(vectors).collect();
    // The length of the table depends on the offsets in it, so offsets count from where it is sure to have ended.
    let start = (HEAD + 200 * parts.len()).next_multiple_of(64);
    let mut offset = start;
    let entries = parts.iter().map(|(name, encoding, (rows, cols), bytes)| {
        let at = offset;
        offset += bytes.len().next_multiple_of(64);
        Entry { name: name.to_string(), encoding: encoding.to_string(), rows: *rows, cols: *cols, offset: at }
    });
    let table = serde_json::to_vec(&entries.collect::<Vec<_>>())?;
    ensure!(HEAD + table.len() <= start, "the table of packed weights is too long");

    let temporary = tempfile::NamedTempFile::new_in(folder)?;
    let mut out = Blocks { file: temporary.as_file(), begun: Vec::with_capacity(BLOCK) };
    let mut head = [0; HEAD];
    out.write_all(&head)?;
    out.write_all(&table)?;
    out.write_all(&vec![0; start - HEAD - table.len()])?;
    for (.., bytes) in &parts {
        out.write_all(bytes)?;
        out.write_all(&vec![0; bytes.len().next_multiple_of(64) - bytes.len()])?;
    }
    out.flush()?;

    let sum = checksum(kernels, &mapped::map(temporary.path())?[HEAD..]);
    head[..16].copy_from_slice(MAGIC);
    head[16..24].copy_from_slice(&(table.len() as u64).to_le_bytes());
    head[24..32].copy_from_slice(&sum.to_le_bytes());
    head[32..].copy_from_slice(key);
    let mut file = temporary.as_file();
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&head)?;
    temporary.persist(path(folder, key))?;
    remove_oldest(folder);
    Ok(())
}

/// Writes whole blocks at multiples of their size: so written, a file system that can keeps them in pages of this size, and
/// weights that lie in those are read faster.
struct Blocks<'a> {
    file: &'a File,
    begun: Vec<u8>,
}

impl Write for Blocks<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let some = bytes.len().min(BLOCK - self.begun.len());
        self.begun.extend_from_slice(&bytes[..some]);
        if self.begun.len() == BLOCK {
            self.flush()?;
        }
        Ok(some)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_all(&self.begun)?;
        self.begun.clear();
        Ok(())
    }
}

/// The key of weights: their length, and a kilobyte at each of thirty places and more. Weights that were trained
/// further differ nearly everywhere; a whole hash would cost more than all the rest of a start.
///
/// # Errors
/// When a file cannot be read.
fn key<'a>(files: impl Iterator<Item = &'a Bytes>) -> io::Result<Key> {
    const PLACES: usize = 32;
    const LENGTH: usize = 1024;
    let mut hash = Sha256::new();
    for bytes in files {
        hash.update(bytes.len().to_le_bytes());
        for place in 0..PLACES {
            let start = (bytes.len() / PLACES) * place;
            hash.update(bytes.sample(start..bytes.len().min(start + LENGTH))?);
        }
        hash.update(bytes.sample(bytes.len().saturating_sub(LENGTH)..bytes.len())?);
    }
    Ok(hash.finalize().into())
}

fn path(folder: &Path, key: &Key) -> PathBuf {
    let name: String = key[..12].iter().map(|byte| format!("{byte:02x}")).collect();
    folder.join(format!("{name}.packed"))
}

fn remove_oldest(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut files: Vec<(SystemTime, PathBuf)> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "packed"))
        .filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path)))
        .collect();
    files.sort();
    for (_, path) in files.iter().rev().skip(KEPT) {
        if let Err(error) = std::fs::remove_file(path) {
            tracing::warn!("cannot remove {}: {error}", path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{KEPT, Key, PackedFile, key, path, write};
    use crate::kernels::{Kernels, Level, PackedMatrix, SourceKind};
    use crate::model::source::Bytes;

    fn key_of(bytes: &[u8]) -> Key {
        key([&Bytes::Static(bytes.to_vec().leak())].into_iter()).unwrap()
    }

    fn matrix(kernels: &Kernels, rows: usize) -> PackedMatrix {
        let bytes: Vec<u8> = (0..rows * 2 * 18).map(|i| (i * 7 % 61) as u8).collect();
        PackedMatrix::pack(kernels, SourceKind::Q4_0, rows, 64, &bytes).unwrap()
    }

    fn written(folder: &Path, key: &Key, kernels: &Kernels) {
        let (first, second) = (matrix(kernels, 5), matrix(kernels, 33));
        let named = [("first".to_owned(), &first), ("second".to_owned(), &second)];
        write(folder, key, kernels, &named, &[("third".to_owned(), vec![1.5, -2.0, 0.1])]).unwrap();
    }

    #[test]
    fn what_was_written_is_found_and_damage_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let kernels = Kernels::with_level(2, Level::Scalar).unwrap();
        let key = key_of(b"some weights");
        assert!(PackedFile::open(folder, &key, &kernels).is_none());
        written(folder, &key, &kernels);
        let file = PackedFile::open(folder, &key, &kernels).unwrap();
        assert_eq!(file.get("second").unwrap().as_bytes(), matrix(&kernels, 33).as_bytes());
        assert_eq!(file.get("first").unwrap().rows(), 5);
        assert_eq!(file.vector("third").unwrap(), [1.5, -2.0, 0.1]);
        assert!(
            file.get("third").is_err() && file.vector("first").is_none() && file.vector("fourth").is_none()
        );
        drop(file);

        let path = path(folder, &key);
        let whole = std::fs::read(&path).unwrap();
        for place in [0, 17, 25, 40, 70, whole.len() - 100] {
            let mut damaged = whole.clone();
            damaged[place] ^= 1;
            std::fs::write(&path, damaged).unwrap();
            assert!(PackedFile::open(folder, &key, &kernels).is_none(), "byte {place}");
        }
        for length in [0, 10, 64, whole.len() - 64] {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(PackedFile::open(folder, &key, &kernels).is_none(), "length {length}");
        }
        written(folder, &key, &kernels);
        assert!(PackedFile::open(folder, &key, &kernels).is_some());
    }

    #[test]
    fn only_the_last_few_files_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let kernels = Kernels::with_level(1, Level::Scalar).unwrap();
        for number in 0..KEPT + 3 {
            written(folder.path(), &key_of(&[number as u8; 9]), &kernels);
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), KEPT);
    }

    #[test]
    fn keys_tell_weights_apart() {
        let weights: Vec<u8> = (0..5_000_000).map(|i| (i % 251) as u8).collect();
        let longer = [&weights[..], &[0]].concat();
        let mut trained = weights.clone();
        trained.iter_mut().for_each(|byte| *byte ^= 1);
        let keys = [&weights, &longer, &trained].map(|bytes| key_of(bytes));
        assert!(keys[0] != keys[1] && keys[0] != keys[2]);
        assert_eq!(key_of(&weights), keys[0]);

        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &weights).unwrap();
        let mapped = Bytes::map(file.path()).unwrap();
        assert_eq!(key([&mapped].into_iter()).unwrap(), keys[0]);
        std::fs::write(file.path(), &weights[1..]).unwrap();
        assert!(key([&mapped].into_iter()).is_err(), "the file has become shorter");
    }
}
