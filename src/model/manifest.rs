//! The facts about one model, as `models/<name>.toml` states them.

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::model::KvKind;
use crate::model::{embedded, families};

/// The model that the program carries in itself, unless it was built without.
pub const EMBEDDED: &str = "foretype-135m";
/// The default of a program that carries no model: the one that is fetched without being asked for.
pub const FETCHED: &str = "smollm2-135m";

/// The catalogue. To add a model, add its file to `models/` and its row here.
const CATALOGUE: &[(&str, &str)] = &[
    ("foretype-135m", include_str!("../../models/foretype-135m.toml")),
    ("smollm2-135m", include_str!("../../models/smollm2-135m.toml")),
    ("smollm2-360m", include_str!("../../models/smollm2-360m.toml")),
    ("qwen2.5-coder-0.5b", include_str!("../../models/qwen2.5-coder-0.5b.toml")),
    ("qwen2.5-coder-1.5b", include_str!("../../models/qwen2.5-coder-1.5b.toml")),
    ("qwen2.5-coder-3b", include_str!("../../models/qwen2.5-coder-3b.toml")),
    ("qwen2.5-coder-7b", include_str!("../../models/qwen2.5-coder-7b.toml")),
    ("deepseek-coder-1.3b", include_str!("../../models/deepseek-coder-1.3b.toml")),
    ("codellama-7b", include_str!("../../models/codellama-7b.toml")),
    ("granite-code-3b", include_str!("../../models/granite-code-3b.toml")),
    ("starcoder2-3b", include_str!("../../models/starcoder2-3b.toml")),
];

/// One model: where it comes from, what family it is, how it is prompted.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Manifest {
    /// File name without `.toml`; what `--model` takes.
    #[serde(skip)]
    pub name: String,
    /// One line for people.
    pub description: String,
    /// Parameters in millions.
    pub parameters: u32,
    /// SPDX identifier, or the licence's own name.
    pub license: String,
    /// Decoder family: "llama", "qwen2"…
    pub family: String,
    /// Most tokens that the model was trained to read.
    pub context: usize,
    pub source: Source,
    /// Fill-in-the-middle markers; a model without them completes from the prefix alone.
    pub fim: Option<Fim>,
    /// How an instruction is written for `generate`; without it, a comment in the file's language is used.
    pub instruction: Option<Instruction>,
    /// What keys and values are kept as on a CPU.
    #[serde(default)]
    pub kv_cache: KvKind,
    /// What the model's own probabilities are worth, as `foretype eval confidence` measured it.
    #[serde(default)]
    pub confidence: Confidence,
}

/// Where weights come from.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", tag = "kind")]
pub enum Source {
    /// Part of the program; `file` is where it stands in the repository.
    #[serde(rename_all = "kebab-case")]
    Embedded { file: String },
    /// A file inside a Python package's wheel.
    #[serde(rename_all = "kebab-case")]
    Pip { package: String, version: String, file: String, size: u64, sha256: String },
    /// Files of a model hub's repository.
    #[serde(rename_all = "kebab-case")]
    Hub {
        repository: String,
        revision: String,
        /// GGUF or safetensors files.
        weights: Vec<String>,
        /// `tokenizer.json`, where GGUF doesn't carry a tokenizer; `repository:file` for one of another repository.
        tokenizer: Option<String>,
        /// `config.json`, for safetensors.
        config: Option<String>,
    },
    /// A local path.
    Path { path: String },
}

/// Texts of the fill-in-the-middle markers; each must be one token of the model's vocabulary.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Fim {
    pub prefix: String,
    pub suffix: String,
    pub middle: String,
    /// Tokens after which the middle is complete, beside the end of the text.
    #[serde(default)]
    pub end: Vec<String>,
    /// Stands before a file's path where the model was trained with paths.
    pub file: Option<String>,
    #[serde(default)]
    pub order: FimOrder,
    /// The model was trained with middles that begin anywhere in a token or in white space: it is shown the text before
    /// the cursor as it stands.
    #[serde(default)]
    pub mid_token: bool,
    /// Tokens are healed at the cursor, at a line's start and behind white space too, although the model was trained so:
    /// measured to be better.
    #[serde(default)]
    pub heal: bool,
}

/// Which part of the file comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FimOrder {
    /// `<pre> prefix <suf> suffix <mid>`
    #[default]
    PrefixSuffixMiddle,
    /// `<pre> <suf> suffix <mid> prefix`: a growing prefix keeps the cache of the suffix.
    SuffixPrefixMiddle,
}

/// How likely the first line of a suggestion is right, by the model's own probabilities: the logistic function of
/// `base + mean · m + least · l`, with the mean `m` and the least `l` of its tokens' natural logarithms of probability.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Confidence {
    pub base: f32,
    pub mean: f32,
    pub least: f32,
}

impl Default for Confidence {
    /// For models that were not measured: as of the default one.
    fn default() -> Self {
        Self { base: 2.6, mean: 4.2, least: 2.2 }
    }
}

impl Confidence {
    /// The probability that the first line is right.
    pub fn probability(&self, mean: f32, least: f32) -> f32 {
        1.0 / (1.0 + (-(self.base + self.mean * mean + self.least * least)).exp())
    }

    /// The mean logarithm of probability at and above which this probability can be reached at all.
    pub fn least_mean(&self, probability: f32) -> f32 {
        let odds = (probability / (1.0 - probability)).ln();
        // The least one is no greater than the mean.
        (odds - self.base) / (self.mean + self.least).max(f32::EPSILON)
    }
}

/// How an instruction is wrapped: `{instruction}` is replaced; markers are single tokens.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Instruction {
    pub template: String,
}

/// Name of the model that needs no choice.
pub fn default_name() -> &'static str {
    if embedded::weights().is_some() { EMBEDDED } else { FETCHED }
}

/// All models of the catalogue.
pub fn catalogue() -> Vec<Manifest> {
    CATALOGUE.iter().filter_map(|(name, _)| find(name).ok()).collect()
}

/// The manifest of this name; `default` is the one that needs no choice.
///
/// # Errors
/// When the catalogue has none.
pub fn find(name: &str) -> anyhow::Result<Manifest> {
    let name = if name == "default" { default_name() } else { name };
    let (name, text) = CATALOGUE.iter().find(|(known, _)| *known == name).with_context(|| {
        format!("there is no model {name}; see `foretype models list`, or give the path of a GGUF file")
    })?;
    let manifest: Manifest =
        toml::from_str(text).with_context(|| format!("the manifest of {name} is broken"))?;
    Ok(Manifest { name: (*name).to_owned(), ..manifest })
}

/// The manifest of a model that others call so: the longest of our names that is part of theirs, whatever signs they
/// put between its words.
pub fn recognised(foreign: &str) -> Option<Manifest> {
    let plain = |name: &str| -> String {
        name.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect()
    };
    let foreign = plain(foreign);
    let known = CATALOGUE.iter().map(|(name, _)| *name).filter(|name| foreign.contains(&plain(name)));
    known.max_by_key(|name| name.len()).and_then(|name| find(name).ok())
}

impl Manifest {
    /// Whether the decoder knows the model's family.
    ///
    /// # Errors
    /// The reason for the user, if it doesn't.
    pub fn check_supported(&self) -> anyhow::Result<()> {
        families::family(&self.family).map(|_| ()).with_context(|| format!("{} can't be used", self.name))
    }

    /// Bytes to download, if that is known beforehand.
    pub fn size(&self) -> Option<u64> {
        match &self.source {
            Source::Pip { size, .. } => Some(*size),
            Source::Embedded { .. } | Source::Hub { .. } | Source::Path { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_in_the_catalogue_and_parses() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/models");
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                let name = path.file_stem().unwrap().to_str().unwrap();
                let manifest = find(name).unwrap_or_else(|error| panic!("{name}: {error:#}"));
                assert_eq!(manifest.name, name);
                assert!(
                    manifest
                        .instruction
                        .is_none_or(|instruction| instruction.template.contains("{instruction}"))
                );
            }
        }
        assert_eq!(catalogue().len(), CATALOGUE.len());
        assert_eq!(find("default").unwrap().name, FETCHED, "the library itself carries no model");
    }

    #[test]
    fn others_names_are_recognised() {
        let name = |foreign| recognised(foreign).map(|manifest| manifest.name);
        assert_eq!(name("Qwen/Qwen2.5-Coder-7B"), Some("qwen2.5-coder-7b".to_owned()));
        assert_eq!(name("qwen2.5-coder:1.5b-base"), Some("qwen2.5-coder-1.5b".to_owned()));
        assert_eq!(name("gpt-x"), None);
    }

    #[test]
    fn an_unsupported_family_says_so_in_one_line() {
        let message = format!("{:#}", find("starcoder2-3b").unwrap().check_supported().unwrap_err());
        assert!(message.contains("starcoder2") && message.contains("supported: llama, qwen2"), "{message}");
        assert!(find("smollm2-135m").unwrap().check_supported().is_ok());
    }
}
