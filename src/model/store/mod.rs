//! Where models live on this machine, and how they get there.

mod download;
mod hub;
mod local;
mod pins;
mod pip;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use etcetera::BaseStrategy;

use crate::model::embedded;
use crate::model::manifest::{self, FETCHED, Manifest, Source};
use crate::model::source::WeightsSource;

pub use download::sha256_of;

/// A model whose files are on this machine.
#[derive(Clone, Debug)]
pub struct ModelFiles {
    pub manifest: Manifest,
    pub weights: WeightsSource,
    /// `tokenizer.json`, if the weights don't carry the tokenizer.
    pub tokenizer: Option<PathBuf>,
    /// `config.json`, for safetensors.
    pub config: Option<PathBuf>,
}

/// How far a download is, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    pub done: u64,
    pub total: u64,
}

/// Listens to a download.
pub type Listener<'a> = &'a mut dyn FnMut(Progress);

/// The folder of all models. `FORETYPE_HOME` moves it.
///
/// # Errors
/// When the user has no home.
pub fn folder() -> anyhow::Result<PathBuf> {
    if let Some(home) = std::env::var_os("FORETYPE_HOME").filter(|home| !home.is_empty()) {
        return Ok(PathBuf::from(home).join("models"));
    }
    let folders = etcetera::choose_base_strategy().context("there is no home folder; set FORETYPE_HOME")?;
    Ok(folders.data_dir().join("foretype").join("models"))
}

/// The manifest of a name or a path, and its files if they are here.
///
/// # Errors
/// When there is no such model, or a path cannot be used.
pub fn find(name_or_path: &str) -> anyhow::Result<(Manifest, Option<ModelFiles>)> {
    let path = Path::new(name_or_path);
    let looks_like_path = name_or_path.contains(['/', '\\']) || path.extension().is_some_and(|e| e == "gguf");
    if looks_like_path {
        let files = local::open(path)?;
        return Ok((files.manifest.clone(), Some(files)));
    }
    let manifest = manifest::find(name_or_path)?;
    let files = installed(&manifest)?;
    Ok((manifest, files))
}

/// The files of a model, ready to be loaded. Only the default model is fetched without being asked for.
///
/// # Errors
/// When there is no such model, its family has no decoder, or it is not here and can't be fetched.
pub fn ensure(name_or_path: &str, listener: Listener) -> anyhow::Result<ModelFiles> {
    let (manifest, files) = find(name_or_path)?;
    manifest.check_supported()?;
    match files {
        Some(files) => Ok(files),
        None if matches!(manifest.source, Source::Embedded { .. }) => bail!(without_embedded(&manifest)),
        None if manifest.name == FETCHED => pull(&manifest, listener),
        None => bail!(
            "the model {0} is not on this machine; fetch it with `foretype models pull {0}`",
            manifest.name
        ),
    }
}

/// Fetch a model's files. What is here and whole is not fetched again.
///
/// # Errors
/// When the network is forbidden or fails, or what came is not what the manifest says.
pub fn pull(manifest: &Manifest, listener: Listener) -> anyhow::Result<ModelFiles> {
    if let Source::Embedded { .. } = manifest.source {
        return installed(manifest)?.with_context(|| without_embedded(manifest));
    }
    if std::env::var_os("FORETYPE_OFFLINE").is_some_and(|value| !value.is_empty() && value != "0") {
        bail!("the model {} is not on this machine and FORETYPE_OFFLINE forbids to fetch it", manifest.name);
    }
    let folder = folder()?.join(&manifest.name);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    // One process fetches; the others wait for it and find the file.
    let lock = fs::File::create(folder.join(".lock"))?;
    lock.lock().context("cannot lock the model's folder")?;
    match &manifest.source {
        Source::Pip { .. } => pip::pull(manifest, &folder, listener)?,
        Source::Hub { .. } => hub::pull(manifest, listener)?,
        Source::Embedded { .. } => {}
        Source::Path { path } => bail!("{path} is a local path; there is nothing to fetch"),
    }
    installed(manifest)?.with_context(|| format!("the model {} was fetched but is not there", manifest.name))
}

fn without_embedded(manifest: &Manifest) -> String {
    format!(
        "this program was built without {0}; build it with the feature embedded-model and its weights in models/, or \
         give their path by --model PATH",
        manifest.name
    )
}

/// Check a model's files against their known hashes. The answer is for people.
///
/// # Errors
/// When a file is missing or has another hash.
pub fn verify(manifest: &Manifest) -> anyhow::Result<String> {
    let files = installed(manifest)?.with_context(|| {
        format!("{0} is not on this machine; `foretype models pull {0}` fetches it", manifest.name)
    })?;
    match &manifest.source {
        Source::Pip { sha256, .. } => {
            for path in files.weights.paths() {
                let found = sha256_of(path)?;
                if found != *sha256 {
                    let name = &manifest.name;
                    bail!("{} is damaged; `foretype models pull {name}` mends it", path.display());
                }
            }
        }
        Source::Hub { .. } => hub::verify(manifest)?,
        Source::Embedded { .. } | Source::Path { .. } => {}
    }
    Ok(format!("{} is whole", manifest.name))
}

/// Remove a model's files from this machine. True if there were any.
///
/// # Errors
/// When they cannot be removed.
pub fn remove(manifest: &Manifest) -> anyhow::Result<bool> {
    if let Source::Embedded { .. } = manifest.source {
        bail!("{} is part of the program; there is nothing to remove", manifest.name);
    }
    let was_here = installed(manifest)?.is_some();
    let folder = folder()?.join(&manifest.name);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    if let Source::Hub { .. } = &manifest.source {
        hub::remove(manifest)?;
    }
    Ok(was_here)
}

/// The files of a model of the catalogue, if all of them are here.
fn installed(manifest: &Manifest) -> anyhow::Result<Option<ModelFiles>> {
    match &manifest.source {
        Source::Embedded { .. } => Ok(embedded::weights().map(|bytes| ModelFiles {
            manifest: manifest.clone(),
            weights: WeightsSource::Static(bytes),
            tokenizer: None,
            config: None,
        })),
        Source::Pip { .. } => pip::installed(manifest, &folder()?.join(&manifest.name)),
        Source::Hub { .. } => Ok(hub::installed(manifest)),
        Source::Path { path } => local::open(Path::new(path)).map(Some),
    }
}
