//! The settings as users write them. A field's doc comment is its description everywhere; its value in
//! [`Options::defaults`] is its default everywhere.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// All settings; what is not set is `None`.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Options {
    /// The model: a name that `foretype models list` shows, or the path of a GGUF file or of a folder with safetensors. `default` is the one that needs no choice.
    pub model: Option<String>,
    /// Where the model runs. `auto` takes a GPU if this build supports one and it is there, else the CPU.
    pub device: Option<DeviceChoice>,
    /// Threads that compute on the CPU. 0: as many as make it faster, measured at the first start.
    #[schemars(range(min = 0, max = 256))]
    pub threads: Option<usize>,
    /// Milliseconds that a suggestion may take. From this and the machine's measured speed follows how much of the file is read and how much is written.
    #[schemars(range(min = 10, max = 60000))]
    pub budget_ms: Option<u64>,
    /// Most tokens in a suggestion.
    #[schemars(range(min = 1, max = 1024))]
    pub max_tokens: Option<usize>,
    /// Suggestions of several lines: `auto` where a block is to be written, `always` or `never`.
    pub multiline: Option<Multiline>,
    /// From 0 (only suggestions that the model is very sure of) to 1 (everything). What you ask for by a key is always shown.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub eagerness: Option<f32>,
    /// Languages in which suggestions appear, by language id: `{"markdown": false}`. `*` stands for all others.
    pub languages: Option<BTreeMap<String, bool>>,
    /// Globs of files and folders in which nothing is suggested or generated; one that does not begin with a slash holds in any folder. Files that hold secrets (`.env`, keys) are always left out.
    pub exclude: Option<Vec<String>>,
    /// An OpenAI-compatible completions endpoint to ask instead of the local model, such as that of vLLM or llama-server: `{"url": "http://gpu:8000/v1", "model": "Qwen/Qwen2.5-Coder-7B", "apiKeyEnv": "NAME_OF_A_VARIABLE"}`. The model fills in the middle if `foretype models list` knows it by this name or one like it; else it goes on from the text before the cursor. Nothing leaves the machine unless this is set.
    pub remote: Option<Remote>,
    /// Count shown and accepted suggestions, on this machine only.
    pub statistics: Option<bool>,
}

/// Where the model runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum DeviceChoice {
    #[default]
    Auto,
    Cpu,
    Cuda,
    Metal,
}

/// When suggestions have several lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Multiline {
    #[default]
    Auto,
    Always,
    Never,
}

/// An OpenAI-compatible completions endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct Remote {
    pub url: String,
    pub model: String,
    /// Name of the environment variable that holds the key.
    pub api_key_env: Option<String>,
}

impl Options {
    /// What holds where nothing is set.
    pub fn defaults() -> Self {
        Self {
            model: Some("default".to_owned()),
            device: Some(DeviceChoice::Auto),
            threads: Some(0),
            budget_ms: Some(400),
            max_tokens: Some(64),
            multiline: Some(Multiline::Auto),
            eagerness: Some(0.5),
            languages: Some(BTreeMap::new()),
            exclude: Some(Vec::new()),
            remote: None,
            statistics: Some(false),
        }
    }
}
