//! The default model's real weights.

use foretype::model::manifest::DEFAULT;
use foretype::model::store::{self, ModelFiles};

/// The default model, fetched if it is not here. Without it, the tests that need it fail.
pub fn files() -> ModelFiles {
    store::ensure(DEFAULT, &mut |_| ()).unwrap_or_else(|error| panic!("the real model is needed: {error:#}"))
}
