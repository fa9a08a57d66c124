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
    /// The files that hold secrets, and these globs. A glob without a slash matches a name in any folder. Globs that
    /// cannot be read come back with the reason.
    pub fn new(globs: &[String]) -> (Self, Vec<String>) {
        let mut builder = GlobSetBuilder::new();
        let mut broken = Vec::new();
        let everywhere = |glob: &str| if glob.contains('/') { glob.to_owned() } else { format!("**/{glob}") };
        for glob in
            SECRETS.iter().map(|glob| (*glob).to_owned()).chain(globs.iter().map(|glob| everywhere(glob)))
        {
            match Glob::new(&glob) {
                Ok(glob) => {
                    builder.add(glob);
                }
                Err(error) => broken.push(format!("exclude: {error}")),
            }
        }
        (Self { globs: builder.build().unwrap_or_default() }, broken)
    }

    /// Whether the file is excluded.
    pub fn matches(&self, path: &Path) -> bool {
        self.globs.is_match(path)
    }
}
