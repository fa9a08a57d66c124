//! Files of a model hub, through hf-hub: its cache, its token, and `HF_ENDPOINT` for mirrors.

use std::path::PathBuf;

use anyhow::{Context, bail};
use hf_hub::api::Progress as HubProgress;
use hf_hub::api::sync::ApiBuilder;
use hf_hub::{Cache, Repo, RepoType};

use crate::model::manifest::{Manifest, Source};
use crate::model::source::WeightsSource;
use crate::model::store::{Listener, ModelFiles, Progress, download, folder, pins};

/// One file of a repository.
struct Wanted<'a> {
    repository: &'a str,
    revision: &'a str,
    file: &'a str,
}

/// Fetch what is missing and pin the hashes of what came.
pub fn pull(manifest: &Manifest, listener: Listener) -> anyhow::Result<()> {
    let api =
        ApiBuilder::from_env().with_progress(false).build().context("the hub's client cannot be started")?;
    for wanted in wanted(manifest)? {
        if wanted.cached().is_some() && pins::is_pinned(&folder()?, &wanted.name()) {
            continue;
        }
        let path = api
            .repo(wanted.repo())
            .download_with_progress(wanted.file, Relay { listener, done: 0, total: 0 });
        let path = path.map_err(|error| {
            let error = error.to_string();
            let line = error.lines().next().unwrap_or_default();
            anyhow::anyhow!(
                "cannot fetch {}: {line}; check the connection, or set HF_ENDPOINT to a mirror",
                wanted.name()
            )
        })?;
        let pinned = pins::check(&folder()?, &wanted.name(), &download::sha256_of(&path)?);
        if pinned.is_err() {
            wanted.remove()?;
        }
        pinned?;
    }
    Ok(())
}

/// The files, if all of them are in the hub's cache.
pub fn installed(manifest: &Manifest) -> Option<ModelFiles> {
    let Source::Hub { weights, tokenizer, config, .. } = &manifest.source else { return None };
    let mut paths = wanted(manifest).ok()?.into_iter().map(|wanted| wanted.cached());
    let weights = paths.by_ref().take(weights.len()).collect::<Option<Vec<_>>>()?;
    let mut optional = |named: bool| if named { paths.next().flatten().map(Some) } else { Some(None) };
    let tokenizer = optional(tokenizer.is_some())?;
    let config = optional(config.is_some())?;
    let weights = WeightsSource::Files(weights);
    Some(ModelFiles { manifest: manifest.clone(), weights, tokenizer, config })
}

/// Check all files against their pins.
pub fn verify(manifest: &Manifest) -> anyhow::Result<()> {
    for wanted in wanted(manifest)? {
        let path = wanted.cached().with_context(|| format!("{} is not here", wanted.name()))?;
        pins::check(&folder()?, &wanted.name(), &download::sha256_of(&path)?)?;
    }
    Ok(())
}

/// Remove the files from the hub's cache.
pub fn remove(manifest: &Manifest) -> anyhow::Result<()> {
    for wanted in wanted(manifest)? {
        wanted.remove()?;
    }
    Ok(())
}

/// All files of a model: weights, tokenizer, config.
fn wanted(manifest: &Manifest) -> anyhow::Result<Vec<Wanted<'_>>> {
    let Source::Hub { repository, revision, weights, tokenizer, config } = &manifest.source else {
        bail!("{} is not on a hub", manifest.name);
    };
    let files = weights.iter().chain(tokenizer).chain(config);
    let wanted = files.map(|file| match file.split_once(':') {
        Some((repository, file)) => Wanted { repository, revision: "main", file },
        None => Wanted { repository, revision, file },
    });
    Ok(wanted.collect())
}

impl Wanted<'_> {
    fn name(&self) -> String {
        format!("{}/{}", self.repository, self.file)
    }

    fn repo(&self) -> Repo {
        Repo::with_revision(self.repository.to_owned(), RepoType::Model, self.revision.to_owned())
    }

    fn cached(&self) -> Option<PathBuf> {
        Cache::from_env().repo(self.repo()).get(self.file)
    }

    /// Remove the file from the hub's cache: the link of its revision, and what it points to.
    fn remove(&self) -> std::io::Result<()> {
        if let Some(link) = self.cached() {
            let file = std::fs::canonicalize(&link).unwrap_or_else(|_| link.clone());
            std::fs::remove_file(&link)?;
            if file != link && file.exists() {
                std::fs::remove_file(&file)?;
            }
        }
        Ok(())
    }
}

/// Hands the hub client's progress on.
struct Relay<'a, 'b> {
    listener: &'a mut (dyn FnMut(Progress) + 'b),
    done: u64,
    total: u64,
}

impl HubProgress for Relay<'_, '_> {
    fn init(&mut self, size: usize, _: &str) {
        self.total = size as u64;
    }

    fn update(&mut self, size: usize) {
        self.done += size as u64;
        (self.listener)(Progress { done: self.done, total: self.total });
    }

    fn finish(&mut self) {}
}
