//! Hashes of files from a hub, pinned when they came first: a later download that differs is an error.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, bail};

/// The lock file, in the folder of all models.
const FILE: &str = "models.lock";

/// Pin the hash of a file, or check it against its pin.
///
/// # Errors
/// When the pin is another hash, or the lock file cannot be written.
pub fn check(folder: &Path, name: &str, sha256: &str) -> anyhow::Result<()> {
    let path = folder.join(FILE);
    let mut pins = read(&path)?;
    match pins.get(name) {
        Some(pinned) if pinned == sha256 => Ok(()),
        Some(_) => bail!(
            "{name} is not what came first: the file changed at its source or is damaged; if you trust the new one, \
             remove its line from {}",
            path.display()
        ),
        None => {
            pins.insert(name.to_owned(), sha256.to_owned());
            fs::create_dir_all(folder)?;
            let part = path.with_extension("lock.part");
            fs::write(&part, toml::to_string(&pins)?)?;
            fs::rename(&part, &path).with_context(|| format!("cannot write {}", path.display()))
        }
    }
}

/// Whether a file has a pin.
pub fn is_pinned(folder: &Path, name: &str) -> bool {
    read(&folder.join(FILE)).is_ok_and(|pins| pins.contains_key(name))
}

fn read(path: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    match fs::read_to_string(path) {
        Ok(text) => toml::from_str(&text).with_context(|| format!("{} is broken; remove it", path.display())),
        Err(_) => Ok(BTreeMap::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_hash_is_pinned_and_another_one_refused() {
        let folder = tempfile::tempdir().unwrap();
        check(folder.path(), "a/b.gguf", "11").unwrap();
        check(folder.path(), "a/b.gguf", "11").unwrap();
        check(folder.path(), "a/c.gguf", "22").unwrap();
        let error = check(folder.path(), "a/b.gguf", "33").unwrap_err().to_string();
        assert!(error.contains("models.lock"), "{error}");
        assert!(is_pinned(folder.path(), "a/c.gguf"));
    }
}
