//! Files in which nothing is suggested, and whose text enters no prompt.

use std::path::Path;

use globset::{Glob, GlobSet, GlobSetBuilder};

/// Files that hold secrets, always excluded.
const SECRETS: &[&str] = &[
    "**/.env",
    "**/.env.*",
    "**/*.pem",
    "**/*.key",
    "**/*.p12",
    "**/*.pfx",
    "**/*.keystore",
    "**/*.kdbx",
    "**/id_{rsa,dsa,ecdsa,ed25519}",
    "**/.netrc",
    "**/.pgpass",
    "**/.npmrc",
    "**/.pypirc",
    "**/.git-credentials",
    "**/.aws/credentials",
];

/// A set of globs.
#[derive(Clone, Debug, Default)]
pub struct Exclude {
    globs: GlobSet,
}

impl Exclude {
    /// The files that hold secrets, and these globs. One that does not begin with a slash matches in any folder; one
    /// that matches a folder matches all that is in it. Globs that cannot be read come back with the reason.
    pub fn new(globs: &[String]) -> (Self, Vec<String>) {
        let mut builder = GlobSetBuilder::new();
        let mut broken = Vec::new();
        for glob in SECRETS.iter().copied().chain(globs.iter().map(String::as_str)) {
            let glob = glob.trim_end_matches('/');
            let glob = if glob.starts_with(['/', '*']) { glob.to_owned() } else { format!("**/{glob}") };
            match (Glob::new(&glob), Glob::new(&format!("{glob}/**"))) {
                (Ok(glob), Ok(below)) => {
                    builder.add(glob).add(below);
                }
                (Err(error), _) | (_, Err(error)) => broken.push(format!("exclude: {error}")),
            }
        }
        (Self { globs: builder.build().unwrap_or_default() }, broken)
    }

    /// Whether the file is excluded.
    pub fn matches(&self, path: &Path) -> bool {
        self.globs.is_match(path)
    }
}
