//! The facts in which decoder families differ: one row of one table each, and the shape of one model of a family.

use std::path::Path;

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::kernels::RopeStyle;
use crate::model::KvKind;
use crate::model::gguf::GgufFile;

/// A family of decoders that differ in these facts alone.
#[derive(Debug)]
pub struct Family {
    /// GGUF's `general.architecture`, and `model_type` of a checkpoint's config.json.
    pub name: &'static str,
    /// How GGUF files of this family order the halves that RoPE rotates.
    pub gguf_rope: RopeStyle,
}

/// Families that the decoder in [`crate::model::decoder`] computes.
pub const FAMILIES: &[Family] = &[
    // Touvron et al. 2023, https://arxiv.org/abs/2302.13971; also SmolLM2, DeepSeek-Coder, CodeLlama, Granite code.
    Family { name: "llama", gguf_rope: RopeStyle::Interleaved },
    // Yang et al. 2024, https://arxiv.org/abs/2407.10671; Qwen2.5-Coder.
    Family { name: "qwen2", gguf_rope: RopeStyle::Halves },
];

/// The family of this name.
///
/// # Errors
/// When the decoder doesn't know it.
pub fn family(name: &str) -> anyhow::Result<&'static Family> {
    FAMILIES.iter().find(|family| family.name == name).with_context(|| {
        let known: Vec<_> = FAMILIES.iter().map(|family| family.name).collect();
        format!("models of the family {name} are not supported yet; supported: {}", known.join(", "))
    })
}

/// No size of a model is beyond this; products of two sizes are then numbers, whatever a damaged file says.
const LARGEST: usize = 1 << 24;

/// Everything about a model's shape that the decoder needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    pub layers: usize,
    /// Width of the residual stream.
    pub width: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    pub vocabulary: usize,
    pub rope_base: f64,
    pub rope: RopeStyle,
    pub norm_epsilon: f32,
    /// Most positions that the model was trained on.
    pub context: usize,
    /// Positions are divided by this (linear scaling to a longer context).
    pub rope_scale: f32,
    /// What keys and values are kept as: not a fact of the file but a choice.
    pub kv_cache: KvKind,
}

impl Shape {
    /// The shape that a GGUF file states.
    ///
    /// # Errors
    /// When the family is unknown or a number is missing or impossible.
    pub fn of_gguf(file: &GgufFile) -> anyhow::Result<Self> {
        let architecture = file.architecture()?;
        let family = family(architecture)?;
        let number = |key: &str| file.number(&format!("{architecture}.{key}"));
        let heads = number("attention.head_count")?;
        let width = number("embedding_length")?;
        let head_dim = number("attention.key_length").unwrap_or(width / heads.max(1));
        let rope_scale = match file.text(&format!("{architecture}.rope.scaling.type")) {
            Ok("linear") => file.fraction(&format!("{architecture}.rope.scaling.factor"))? as f32,
            Err(_) | Ok("none") => 1.0,
            Ok(other) => {
                tracing::warn!(
                    "RoPE scaling {other} is not applied: positions past the original context are off"
                );
                1.0
            }
        };
        let shape = Self {
            layers: number("block_count")?,
            width,
            heads,
            kv_heads: number("attention.head_count_kv").unwrap_or(heads),
            head_dim,
            vocabulary: file.texts("tokenizer.ggml.tokens").map(|tokens| tokens.len())?,
            rope_base: file.fraction(&format!("{architecture}.rope.freq_base")).unwrap_or(10_000.0),
            rope: family.gguf_rope,
            norm_epsilon: file.fraction(&format!("{architecture}.attention.layer_norm_rms_epsilon"))? as f32,
            context: number("context_length")?,
            rope_scale,
            kv_cache: KvKind::default(),
        };
        shape.check()
    }

    /// The shape that a checkpoint's config.json states.
    ///
    /// # Errors
    /// When it cannot be read, the family is unknown, or a number is missing or impossible.
    pub fn of_checkpoint(config: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(config)
            .with_context(|| format!("cannot read the model's {}", config.display()))?;
        let config: CheckpointConfig = serde_json::from_str(&text)
            .with_context(|| format!("{} is no model config", config.display()))?;
        family(&config.model_type)?;
        let shape = Self {
            layers: config.num_hidden_layers,
            width: config.hidden_size,
            heads: config.num_attention_heads,
            kv_heads: config.num_key_value_heads.unwrap_or(config.num_attention_heads),
            head_dim: config.head_dim.unwrap_or(config.hidden_size / config.num_attention_heads.max(1)),
            vocabulary: config.vocab_size,
            rope_base: config.rope_theta.unwrap_or(10_000.0),
            rope: RopeStyle::Halves,
            norm_epsilon: config.rms_norm_eps,
            context: config.max_position_embeddings,
            rope_scale: 1.0,
            kv_cache: KvKind::default(),
        };
        shape.check()
    }

    fn check(self) -> anyhow::Result<Self> {
        let Self { layers, width, heads, kv_heads, head_dim, vocabulary, context, .. } = self;
        if [layers, width, heads, kv_heads, head_dim, vocabulary, context].contains(&0) {
            bail!("the model's shape has a zero: {self:?}");
        }
        if [layers, width, heads, kv_heads, head_dim, vocabulary, context].iter().any(|size| *size > LARGEST)
        {
            bail!("the model's shape is impossibly large: {self:?}");
        }
        if heads % kv_heads != 0 || head_dim % 2 != 0 {
            bail!(
                "the model's heads do not fit together: {heads} heads, {kv_heads} of keys, of {head_dim} values"
            );
        }
        Ok(self)
    }
}

/// The part of a checkpoint's config.json that matters here.
#[derive(Deserialize)]
struct CheckpointConfig {
    model_type: String,
    num_hidden_layers: usize,
    hidden_size: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    vocab_size: usize,
    rope_theta: Option<f64>,
    rms_norm_eps: f32,
    max_position_embeddings: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_cannot_be_multiplied_are_refused() {
        let shape = Shape {
            layers: 2,
            width: 64,
            heads: 4,
            kv_heads: 2,
            head_dim: 16,
            vocabulary: 100,
            rope_base: 10_000.0,
            rope: RopeStyle::Halves,
            norm_epsilon: 1e-5,
            context: 512,
            rope_scale: 1.0,
            kv_cache: KvKind::F16,
        };
        assert!(shape.clone().check().is_ok());
        assert!(Shape { heads: 1 << 62, ..shape.clone() }.check().is_err());
        assert!(Shape { head_dim: 1 << 62, ..shape.clone() }.check().is_err());
        assert!(Shape { layers: 1 << 40, ..shape }.check().is_err());
    }
}
