//! Models that the user names by a path: a GGUF file, or a folder with safetensors.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::model::families::Shape;
use crate::model::gguf::GgufFile;
use crate::model::manifest::{self, Confidence, EMBEDDED, Fim, Instruction, Manifest, Source};
use crate::model::source::WeightsSource;
use crate::model::store::ModelFiles;

/// Fill-in-the-middle markers of well-known models: prefix, suffix, middle, ends.
const MARKERS: &[(&str, &str, &str, &[&str])] = &[
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", &["<|fim_pad|>", "<|file_sep|>", "<|repo_name|>"]),
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>", &["<fim_end>", "<file_sep>"]),
    ("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>", &[]),
    ("▁<PRE>", "▁<SUF>", "▁<MID>", &["▁<EOT>"]),
];

/// Formats of instructions, by a marker that the vocabulary must have.
const INSTRUCTIONS: &[(&str, &str)] =
    &[("<|im_start|>", "<|im_start|>user\n{instruction}<|im_end|>\n<|im_start|>assistant\n")];

/// The model at this path, its manifest made from what the files say.
///
/// # Errors
/// When there is nothing usable.
pub fn open(path: &Path) -> anyhow::Result<ModelFiles> {
    let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or("local").to_owned();
    if path.is_dir() {
        return checkpoint(path, name);
    }
    if !path.exists() {
        bail!("there is no model file {}; check the path, or see `foretype models list`", path.display());
    }
    let file = GgufFile::open(path)?;
    let tokens = file.texts("tokenizer.ggml.tokens").into_iter().flatten().filter_map(Result::ok);
    // Markers all have one, and a set of the whole vocabulary would take longer than mapping the weights.
    let in_brackets: HashSet<&str> = tokens.filter(|token| token.contains('<')).collect();
    let has = |marker: &str| in_brackets.contains(marker);
    let beside = path.with_file_name("tokenizer.json");
    let context = Shape::of_gguf(&file)?.context;
    let family = file.architecture()?.to_owned();
    let manifest = manifest(name, path, family, context, &has);
    let needs_tokenizer = file.text("tokenizer.ggml.model").is_ok_and(|kind| kind != "gpt2");
    let tokenizer = (needs_tokenizer && beside.exists()).then_some(beside);
    Ok(ModelFiles { manifest, weights: WeightsSource::Files(vec![path.to_owned()]), tokenizer, config: None })
}

fn checkpoint(folder: &Path, name: String) -> anyhow::Result<ModelFiles> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut weights: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "safetensors"))
        .collect();
    weights.sort();
    let (config, tokenizer) = (folder.join("config.json"), folder.join("tokenizer.json"));
    if weights.is_empty() || !config.exists() || !tokenizer.exists() {
        bail!("{} needs *.safetensors, config.json and tokenizer.json to be a model", folder.display());
    }
    let context = Shape::of_checkpoint(&config)?.context;
    let parsed: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&config)?)?;
    let family = parsed["model_type"].as_str().unwrap_or_default().to_owned();
    let vocabulary = std::fs::read_to_string(&tokenizer)?;
    let has = |marker: &str| vocabulary.contains(&format!("\"{marker}\""));
    let manifest = manifest(name, folder, family, context, &has);
    let weights = WeightsSource::Files(weights);
    Ok(ModelFiles { manifest, weights, tokenizer: Some(tokenizer), config: Some(config) })
}

/// The embedded model's manifest, if this vocabulary has all its markers: another state of the same training.
fn kin(has: &dyn Fn(&str) -> bool) -> Option<Manifest> {
    let kin = manifest::find(EMBEDDED).ok()?;
    let fim = kin.fim.as_ref()?;
    let mut markers = vec![&fim.prefix, &fim.suffix, &fim.middle];
    markers.extend(fim.end.iter().chain(&fim.file));
    let has_all = markers.into_iter().all(|marker| has(marker));
    has_all.then_some(kin)
}

fn manifest(
    name: String,
    path: &Path,
    family: String,
    context: usize,
    has: &dyn Fn(&str) -> bool,
) -> Manifest {
    if let Some(kin) = kin(has) {
        let description = format!("the local model {}, prompted as {EMBEDDED}", path.display());
        let source = Source::Path { path: path.display().to_string() };
        return Manifest { name, description, family, context, source, ..kin };
    }
    let fim = MARKERS.iter().find(|(prefix, suffix, middle, _)| has(prefix) && has(suffix) && has(middle));
    let instruction = INSTRUCTIONS.iter().find(|(marker, _)| has(marker));
    Manifest {
        name,
        description: format!("the local model {}", path.display()),
        parameters: 0,
        license: "unknown".to_owned(),
        family,
        context,
        source: Source::Path { path: path.display().to_string() },
        fim: fim.map(|(prefix, suffix, middle, ends)| Fim {
            prefix: (*prefix).to_owned(),
            suffix: (*suffix).to_owned(),
            middle: (*middle).to_owned(),
            end: ends.iter().filter(|end| has(end)).map(|end| (*end).to_owned()).collect(),
            file: None,
            order: Default::default(),
            mid_token: false,
            heal: false,
        }),
        instruction: instruction.map(|(_, template)| Instruction { template: (*template).to_owned() }),
        kv_cache: Default::default(),
        confidence: Confidence::default(),
    }
}
