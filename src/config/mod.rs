//! What users can set: `Options` as sent by clients and files, `Settings` as used; each is defined once.

mod exclude;
mod files;
mod layers;
mod options;
mod reference;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

pub use exclude::Exclude;
pub use files::{USER_FILE, WORKSPACE_FILE, user_file, user_path, workspace_file};
pub use layers::{Layer, Notice, Source, resolve};
pub use options::{DeviceChoice, Multiline, Options, Remote};
pub use reference::{package_json_properties, reference_markdown};

/// What is used. Made from layers of [`Options`]; every field has a value.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Name of a manifest, or a path to weights.
    pub model: String,
    pub device: DeviceChoice,
    /// Threads of the CPU kernels; `None`: chosen from the machine.
    pub threads: Option<usize>,
    /// Time from request to answer that completion may take.
    pub budget: Duration,
    pub max_tokens: usize,
    pub multiline: Multiline,
    /// 0: only very sure suggestions, 1: everything.
    pub eagerness: f32,
    /// Enabled or not, by language id.
    pub languages: BTreeMap<String, bool>,
    pub exclude: Exclude,
    pub remote: Option<Remote>,
    pub statistics: bool,
}

impl Default for Settings {
    fn default() -> Self {
        resolve(Vec::new()).0
    }
}

impl Settings {
    /// Whether Foretype speaks in this document at all: its language is enabled, its path is neither excluded nor one
    /// where secrets live.
    pub fn allows(&self, language_id: &str, path: Option<&Path>) -> bool {
        // The language's own entry, else that for all languages, else yes.
        let enabled =
            self.languages.get(language_id).or_else(|| self.languages.get("*")).copied().unwrap_or(true);
        enabled && path.is_none_or(|path| self.hidden(path).is_none())
    }

    /// Why the model never gets to see this file, not even when the user asks for code in it; `None` where it may.
    pub fn hidden(&self, path: &Path) -> Option<String> {
        self.exclude.matches(path).then(|| {
            format!("{} is kept from the model: it may hold secrets, or `exclude` names it", path.display())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn disabled_languages_excluded_files_and_secrets_are_left_alone() {
        let layer = Layer::json(
            Source::Client,
            json!({"languages": {"markdown": false}, "exclude": ["generated/**", "vendor", "*.min.js", "/top/x"]}),
        );
        let settings = resolve(vec![layer]).0;
        let check = |id: &str, path: &str, expected| {
            assert_eq!(settings.allows(id, Some(Path::new(path))), expected, "{id} {path}");
        };
        check("rust", "/a/b.rs", true);
        check("markdown", "/a/b.md", false);
        check("rust", "/a/generated/b.rs", false);
        check("rust", "/a/vendor/deep/b.rs", false);
        check("rust", "/a/vendored/b.rs", true);
        check("javascript", "/a/b.min.js", false);
        check("rust", "/top/x/b.rs", false);
        check("rust", "/a/top/x/b.rs", true);
        check("plaintext", "/a/.env", false);
        check("plaintext", ".env", false);
        check("plaintext", "/a/.env.local", false);
        check("plaintext", "/home/me/.ssh/id_rsa", false);
        check("plaintext", "/a/server.pem", false);
    }
}
