//! The default model's real weights.

use std::path::{Path, PathBuf};

use foretype::model::embedded;
use foretype::model::store::{self, ModelFiles};

/// The embedded model's weights, where the build carries them.
fn embedded_path() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/foretype-135m.gguf");
    (cfg!(feature = "embedded-model") && path.exists()).then_some(path)
}

/// Whether the program carries a model.
pub fn is_embedded() -> bool {
    embedded_path().is_some()
}

/// The default model, fetched if it is neither embedded nor here. Without it, the tests that need it fail.
pub fn files() -> ModelFiles {
    if let Some(path) = embedded_path()
        && embedded::weights().is_none()
    {
        // The tests are not the program: they hand over the same bytes.
        embedded::register(std::fs::read(path).unwrap().leak());
    }
    store::ensure("default", &mut |_| ())
        .unwrap_or_else(|error| panic!("the real model is needed: {error:#}"))
}

/// The file of the default model's weights.
pub fn path() -> PathBuf {
    let files = files();
    embedded_path().unwrap_or_else(|| files.weights.paths()[0].clone())
}
