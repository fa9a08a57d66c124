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

impl Part {
    /// The files of every second package, and those of the others: what is learnt on one half can be checked on the other.
    pub fn halves(self) -> [Self; 2] {
        let mut packages: Vec<String> = self.files.iter().map(|file| file.package.clone()).collect();
        packages.dedup();
        let is_second = |file: &SourceFile| {
            packages.iter().position(|package| *package == file.package).is_some_and(|place| place % 2 == 1)
        };
        let (second, first) = self.files.into_iter().partition(is_second);
        [first, second].map(|files| Self { name: self.name.clone(), language: self.language, files })
    }
}

/// One source file.
pub struct SourceFile {
    /// The folder of its package, below the language's.
    pub package: String,
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
            for package in entries(&folder)? {
                let name = package.file_name().unwrap_or_default().to_string_lossy().into_owned();
                collect(&package, &name, &mut files)?;
            }
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

fn collect(path: &Path, package: &str, files: &mut Vec<SourceFile>) -> anyhow::Result<()> {
    if path.is_dir() {
        return entries(path)?.iter().try_for_each(|path| collect(path, package, files));
    }
    if let Ok(text) = fs::read_to_string(path) {
        let text = text.replace("\r\n", "\n");
        files.push(SourceFile { package: package.to_owned(), path: path.to_owned(), text });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_in_one_half_alone() {
        let file = |package: &str, name: &str| SourceFile {
            package: package.to_owned(),
            path: PathBuf::from(name),
            text: String::new(),
        };
        let files = vec![file("a", "1"), file("a", "2"), file("b", "3"), file("c", "4"), file("d", "5")];
        let language = languages::by_id("rust").unwrap();
        let halves = Part { name: "rust".to_owned(), language, files }.halves();
        let names = halves.map(|half| {
            half.files.iter().map(|file| file.path.display().to_string()).collect::<Vec<_>>().concat()
        });
        assert_eq!(names, ["124", "35"]);
    }
}
