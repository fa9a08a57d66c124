//! The files that are typed: those that were named, and a seeded choice from folders, all languages in turn.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::cli::bench::keystrokes::random::Random;
use crate::cli::complete;
use crate::languages;

/// Files of other sizes are no typical source.
const BYTES: std::ops::Range<u64> = 600..120_000;

/// A file's text and the id of its language.
pub struct File {
    pub path: PathBuf,
    pub language: &'static str,
    pub text: String,
}

/// Up to `count` files. A file that was named is taken as it is; folders give source of programming languages.
///
/// # Errors
/// When a named file cannot be read, or nothing is found.
pub fn choose(named: &[PathBuf], count: usize, random: &mut Random) -> anyhow::Result<Vec<File>> {
    let mut by_language: BTreeMap<&'static str, Vec<PathBuf>> = BTreeMap::new();
    for path in named {
        let path = std::path::absolute(path)?;
        let kind = std::fs::metadata(&path).with_context(|| format!("cannot read {}", path.display()))?;
        if kind.is_dir() {
            walk(&path, &mut by_language);
        } else {
            by_language.entry(languages::of("", Some(&path)).ids[0]).or_default().push(path);
        }
    }
    for paths in by_language.values_mut() {
        paths.sort();
        paths.dedup();
        random.shuffle(paths);
    }
    let mut chosen = Vec::new();
    while chosen.len() < count && by_language.values().any(|paths| !paths.is_empty()) {
        for (language, paths) in &mut by_language {
            let Some(path) = paths.pop() else { continue };
            // Text in another encoding or with other line ends is passed over: it is not what is measured here.
            if let Ok(text) = complete::read(&path)
                && !text.contains('\r')
                && chosen.len() < count
            {
                chosen.push(File { path, language, text });
            }
        }
    }
    anyhow::ensure!(!chosen.is_empty(), "no source files are there; name files or folders with some");
    Ok(chosen)
}

fn walk(folder: &Path, found: &mut BTreeMap<&'static str, Vec<PathBuf>>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name();
        let Ok(kind) = entry.file_type() else { continue };
        if name.to_string_lossy().starts_with('.') {
            continue;
        }
        if kind.is_dir() && name != "target" && name != "node_modules" {
            walk(&path, found);
        } else if kind.is_file() {
            let language = languages::of("", Some(&path));
            let fits = entry.metadata().is_ok_and(|metadata| BYTES.contains(&metadata.len()));
            if fits && !language.functions.is_empty() {
                found.entry(language.ids[0]).or_default().push(path);
            }
        }
    }
}
