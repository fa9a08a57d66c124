//! The default model's real weights.

use foretype::model::manifest::DEFAULT;
use foretype::model::store::{self, ModelFiles};

/// The default model, fetched if it is not here: without it, tests that need it fail. `FORETYPE_TEST_MODEL` names another one.
pub fn files() -> ModelFiles {
    let model = std::env::var("FORETYPE_TEST_MODEL").unwrap_or_else(|_| DEFAULT.to_owned());
    store::ensure(&model, &mut |_| ()).unwrap_or_else(|error| panic!("the real model is needed: {error:#}"))
}
