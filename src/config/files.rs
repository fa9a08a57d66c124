//! The configuration files: where they stand and how they become layers.

use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;

use crate::config::layers::{Layer, Notice, Source};

/// Name of the workspace's file, in its root.
pub const WORKSPACE_FILE: &str = ".foretype.toml";
/// Name of the user's file, in the platform's folder for configuration.
pub const USER_FILE: &str = "foretype/config.toml";

/// The layer of a workspace's file, if there is one.
pub fn workspace_file(root: &Path) -> Option<(Layer, Vec<Notice>)> {
    read(Source::Workspace, &root.join(WORKSPACE_FILE))
}

/// The layer of the user's file, if there is one; `instead` is read in its place, and must exist.
pub fn user_file(instead: Option<&Path>) -> Option<(Layer, Vec<Notice>)> {
    let found = match instead {
        Some(path) => Some(path.to_owned()),
        None => user_path(),
    };
    let path = found?;
    let layer = read(Source::User, &path);
    match (&layer, instead) {
        (None, Some(path)) => {
            let notice = Notice(format!("there is no configuration file {}; check --config", path.display()));
            Some((Layer::empty(Source::User), vec![notice]))
        }
        _ => layer,
    }
}

/// Where the user's file stands.
pub fn user_path() -> Option<PathBuf> {
    etcetera::choose_base_strategy().ok().map(|folders| folders.config_dir().join(USER_FILE))
}

fn read(source: Source, path: &Path) -> Option<(Layer, Vec<Notice>)> {
    let text = std::fs::read_to_string(path).ok()?;
    let parsed = toml::from_str::<toml::Table>(&text).map_err(|error| error.message().to_owned());
    let parsed = parsed.and_then(|table| serde_json::to_value(table).map_err(|error| error.to_string()));
    Some(match parsed {
        Ok(value) => (Layer::json(source, value), Vec::new()),
        Err(error) => {
            let notice = Notice(format!("{} is not read: {error}", path.display()));
            (Layer::empty(source), vec![notice])
        }
    })
}
