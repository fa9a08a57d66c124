//! Safetensors files, as trainers save them: tensors found under GGUF's names.

use std::borrow::Cow;
use std::path::PathBuf;

use anyhow::{anyhow, bail};
use safetensors::tensor::Metadata;
use safetensors::{Dtype, SafeTensors};

use crate::kernels::SourceKind;
use crate::model::source::Bytes;
use crate::model::weights::Raw;

/// All safetensors files of one model, mapped.
pub struct SafetensorsFiles {
    files: Vec<OpenFile>,
}

struct OpenFile {
    path: PathBuf,
    bytes: Bytes,
    metadata: Metadata,
    /// Where the tensors begin, in bytes.
    data: usize,
}

impl SafetensorsFiles {
    /// Map the files and parse their headers.
    ///
    /// # Errors
    /// When one cannot be read or is no safetensors file.
    pub fn open(paths: &[PathBuf]) -> anyhow::Result<Self> {
        let open = |path: &PathBuf| {
            let bytes = Bytes::map(path)?;
            let (header, metadata) = SafeTensors::read_metadata(&bytes).map_err(|error| {
                anyhow!("{} is not a readable safetensors file ({error}); fetch it again", path.display())
            })?;
            Ok(OpenFile { path: path.clone(), bytes, metadata, data: header + 8 })
        };
        Ok(Self { files: paths.iter().map(open).collect::<anyhow::Result<_>>()? })
    }

    /// The whole files.
    pub(super) fn bytes(&self) -> impl Iterator<Item = &Bytes> {
        self.files.iter().map(|file| &file.bytes)
    }

    /// See [`crate::model::weights::Weights::find`].
    pub(super) fn find(&self, name: &str) -> anyhow::Result<Option<Raw<'_>>> {
        let Some(name) = trainers_name(name) else { return Ok(None) };
        for file in &self.files {
            let Some(info) = file.metadata.info(&name) else { continue };
            let (rows, cols) = match info.shape[..] {
                [cols] => (1, cols),
                [rows, cols] => (rows, cols),
                _ => bail!("the tensor {name} has {} dimensions", info.shape.len()),
            };
            let kind = match info.dtype {
                Dtype::F32 => SourceKind::F32,
                Dtype::F16 => SourceKind::F16,
                Dtype::BF16 => SourceKind::BF16,
                other => bail!("the tensor {name} is in {other:?}; F32, F16 and BF16 are supported"),
            };
            let (begin, end) = info.data_offsets;
            let bytes = file
                .bytes
                .get(file.data + begin..file.data + end)
                .ok_or_else(|| anyhow!("{} ends inside {name}; fetch it again", file.path.display()))?;
            return Ok(Some(Raw { kind, rows, cols, bytes: Cow::Borrowed(bytes) }));
        }
        Ok(None)
    }
}

/// GGUF's name of a tensor as the Llama and Qwen2 checkpoints have it.
fn trainers_name(name: &str) -> Option<String> {
    let (stem, ending) = name.rsplit_once('.')?;
    let stem = match stem {
        "token_embd" => "model.embed_tokens".to_owned(),
        "output_norm" => "model.norm".to_owned(),
        "output" => "lm_head".to_owned(),
        _ => {
            let (layer, part) = stem.strip_prefix("blk.")?.split_once('.')?;
            let part = match part {
                "attn_norm" => "input_layernorm",
                "attn_q" => "self_attn.q_proj",
                "attn_k" => "self_attn.k_proj",
                "attn_v" => "self_attn.v_proj",
                "attn_output" => "self_attn.o_proj",
                "ffn_norm" => "post_attention_layernorm",
                "ffn_gate" => "mlp.gate_proj",
                "ffn_up" => "mlp.up_proj",
                "ffn_down" => "mlp.down_proj",
                _ => return None,
            };
            format!("model.layers.{layer}.{part}")
        }
    };
    Some(format!("{stem}.{ending}"))
}

#[cfg(test)]
mod tests {
    use super::trainers_name;

    #[test]
    fn gguf_names_become_the_trainers_names() {
        let check = |gguf, expected: Option<&str>| assert_eq!(trainers_name(gguf).as_deref(), expected);
        check("token_embd.weight", Some("model.embed_tokens.weight"));
        check("blk.12.attn_q.bias", Some("model.layers.12.self_attn.q_proj.bias"));
        check("blk.0.ffn_down.weight", Some("model.layers.0.mlp.down_proj.weight"));
        check("rope_freqs.weight", None);
    }
}
