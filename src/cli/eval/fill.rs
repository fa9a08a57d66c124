//! A hole in a Python file and the model's raw answer: the product's prompt without its stop rules and filters.

use std::path::Path;

use crate::completion;
use crate::config::Settings;
use crate::documents::Snapshot;
use crate::engine::{Engine, Output};
use crate::model::manifest::{FimOrder, Manifest};

/// What the file with the hole is called.
const PATH: &str = "solution.py";

/// Asks one engine to fill holes.
pub struct Filler {
    engine: Engine,
    settings: Settings,
    /// The model is shown the text before holes alone.
    pub hides_suffix: bool,
}

impl Filler {
    /// Prompts as this engine's model wants them.
    pub fn new(engine: Engine, settings: &Settings) -> Self {
        Self { engine, settings: settings.clone(), hides_suffix: false }
    }

    /// The model's manifest.
    pub fn manifest(&self) -> &Manifest {
        self.engine.manifest()
    }

    /// How prompts are made, for reports.
    pub fn format(&self) -> &'static str {
        match &self.manifest().fim {
            Some(fim) if self.has_markers() => match fim.order {
                FimOrder::PrefixSuffixMiddle => "PSM",
                FimOrder::SuffixPrefixMiddle => "SPM",
            },
            _ => "prefix only",
        }
    }

    /// Whether the model sees the text after the hole.
    pub fn sees_suffix(&self) -> bool {
        !self.hides_suffix && self.has_markers()
    }

    fn has_markers(&self) -> bool {
        let known = |marker: &String| self.engine.special(marker).is_some();
        self.manifest()
            .fim
            .as_ref()
            .is_some_and(|fim| [&fim.prefix, &fim.suffix, &fim.middle].into_iter().all(known))
    }

    /// Write greedily until the model ends, `stop` holds, or `max_tokens` are written.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn fill(
        &mut self,
        prefix: &str,
        suffix: &str,
        max_tokens: usize,
        stop: &mut dyn FnMut(&str) -> bool,
    ) -> anyhow::Result<Output> {
        let suffix = if self.hides_suffix { "" } else { suffix };
        let snapshot = Snapshot::detached(Some(Path::new(PATH)), "python", &format!("{prefix}{suffix}"));
        completion::raw_middle(&snapshot, prefix.len(), max_tokens, &mut self.engine, &self.settings, stop)
    }
}
