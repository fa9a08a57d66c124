//! The evaluation reserve: source files of packages that no model of ours was trained on, by language.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;

use crate::languages::{self, Language};

/// Where the reserve is, and what is taken of it.
#[derive(Args, Clone, Debug)]
pub struct Data {
    /// Folder of the reserve: LANGUAGE/PACKAGE/… with source files; evals/fetch.py makes it
    #[arg(long, value_name = "FOLDER", default_value = ".cache/evals")]
    data: PathBuf,
    /// Languages, as the folders are called; all without it
    #[arg(long, value_name = "LANGUAGE", value_delimiter = ',')]
    only: Vec<String>,
}

/// The files of one language.
pub struct Part {
    /// The folder's name: a language id.
    pub name: String,
    pub language: &'static Language,
    pub files: Vec<SourceFile>,
}

/// One source file.
pub struct SourceFile {
    pub path: PathBuf,
    pub text: String,
}

impl Data {
    /// Read the reserve, languages and files in the order of their names.
    ///
    /// # Errors
    /// When there is nothing, or a folder is no language.
    pub fn read(&self) -> anyhow::Result<Vec<Part>> {
        let mut parts = Vec::new();
        let hint = "evals/fetch.py of Foretype's repository fetches it";
        for folder in entries(&self.data).with_context(|| hint)? {
            let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if !folder.is_dir() || (!self.only.is_empty() && !self.only.contains(&name)) {
                continue;
            }
            let language = languages::by_id(&name)
                .with_context(|| format!("{} is not named as a language", folder.display()))?;
            let mut files = Vec::new();
            collect(&folder, &mut files)?;
            if !files.is_empty() {
                parts.push(Part { name, language, files });
            }
        }
        if parts.is_empty() {
            bail!("{} has no source files for this; {hint}", self.data.display());
        }
        Ok(parts)
    }
}

fn entries(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let read = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut paths = read.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn collect(folder: &Path, files: &mut Vec<SourceFile>) -> anyhow::Result<()> {
    for path in entries(folder)? {
        if path.is_dir() {
            collect(&path, files)?;
        } else if let Ok(text) = fs::read_to_string(&path) {
            files.push(SourceFile { path, text: text.replace("\r\n", "\n") });
        }
    }
    Ok(())
}
