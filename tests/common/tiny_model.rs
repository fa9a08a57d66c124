//! Small seeded models as real GGUF files: random weights, and a byte-level tokenizer of the 256 bytes and some markers.

use std::path::Path;

use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};

/// Markers of the tiny vocabulary; they follow the 256 bytes.
pub const MARKERS: &[&str] = &["<|endoftext|>", "<fim_prefix>", "<fim_suffix>", "<fim_middle>"];

/// Numbers that look random and are always the same.
pub struct Seeded(pub u64);

impl Seeded {
    /// The next number, evenly spread over -1..1.
    pub fn next(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }
}

/// Shape of a tiny model.
pub struct Tiny {
    pub family: &'static str,
    pub layers: usize,
    pub width: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub ffn: usize,
    pub dtype: GgmlDType,
    /// The output matrix is the embedding's.
    pub tied: bool,
}

impl Default for Tiny {
    fn default() -> Self {
        Self {
            family: "llama",
            layers: 2,
            width: 128,
            heads: 4,
            kv_heads: 2,
            ffn: 256,
            dtype: GgmlDType::Q8_0,
            tied: false,
        }
    }
}

impl Tiny {
    /// Write the model as a GGUF file.
    pub fn write(&self, path: &Path) {
        let mut seeded = Seeded(0x5eed_0123_4567_89ab);
        let vocabulary = 256 + MARKERS.len();
        let head_dim = self.width / self.heads;
        let mut tensors: Vec<(String, QTensor)> = Vec::new();
        let mut add = |name: String, shape: Vec<usize>, scale: f32, dtype: GgmlDType, around: f32| {
            let count: usize = shape.iter().product();
            let values: Vec<f32> = (0..count).map(|_| around + scale * seeded.next()).collect();
            let tensor = Tensor::from_vec(values, shape, &Device::Cpu).unwrap();
            tensors.push((name, QTensor::quantize(&tensor, dtype).unwrap()));
        };
        let (width, kv_width, ffn) = (self.width, self.kv_heads * head_dim, self.ffn);
        add("token_embd.weight".into(), vec![vocabulary, width], 1.0, self.dtype, 0.0);
        if !self.tied {
            add("output.weight".into(), vec![vocabulary, width], 0.2, self.dtype, 0.0);
        }
        add("output_norm.weight".into(), vec![width], 0.1, GgmlDType::F32, 1.0);
        for layer in 0..self.layers {
            let mut matrix = |part: &str, rows: usize, cols: usize| {
                let scale = 2.0 / (cols as f32).sqrt();
                add(format!("blk.{layer}.{part}.weight"), vec![rows, cols], scale, self.dtype, 0.0);
            };
            matrix("attn_q", width, width);
            matrix("attn_k", kv_width, width);
            matrix("attn_v", kv_width, width);
            matrix("attn_output", width, width);
            matrix("ffn_gate", ffn, width);
            matrix("ffn_up", ffn, width);
            matrix("ffn_down", width, ffn);
            for part in ["attn_norm", "ffn_norm"] {
                add(format!("blk.{layer}.{part}.weight"), vec![width], 0.1, GgmlDType::F32, 1.0);
            }
            if self.family == "qwen2" {
                for (part, length) in [("attn_q", width), ("attn_k", kv_width), ("attn_v", kv_width)] {
                    add(format!("blk.{layer}.{part}.bias"), vec![length], 0.5, GgmlDType::F32, 0.0);
                }
            }
        }
        let metadata = self.metadata(head_dim);
        let metadata: Vec<(&str, &Value)> =
            metadata.iter().map(|(key, value)| (key.as_str(), value)).collect();
        let tensors: Vec<(&str, &QTensor)> =
            tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        let mut file = std::fs::File::create(path).unwrap();
        gguf_file::write(&mut file, &metadata, &tensors).unwrap();
    }

    fn metadata(&self, head_dim: usize) -> Vec<(String, Value)> {
        let family = self.family;
        let number = |value: usize| Value::U32(value as u32);
        let texts = |texts: Vec<String>| Value::Array(texts.into_iter().map(Value::String).collect());
        let tokens: Vec<String> =
            byte_characters().into_iter().chain(MARKERS.iter().map(|m| (*m).to_owned())).collect();
        let types = (0..tokens.len()).map(|id| Value::I32(if id < 256 { 1 } else { 3 })).collect();
        let of_family = [
            ("block_count", number(self.layers)),
            ("embedding_length", number(self.width)),
            ("feed_forward_length", number(self.ffn)),
            ("attention.head_count", number(self.heads)),
            ("attention.head_count_kv", number(self.kv_heads)),
            ("attention.layer_norm_rms_epsilon", Value::F32(1e-5)),
            ("rope.dimension_count", number(head_dim)),
            ("rope.freq_base", Value::F32(10_000.0)),
            ("context_length", number(512)),
        ];
        let mut metadata: Vec<_> =
            of_family.into_iter().map(|(key, value)| (format!("{family}.{key}"), value)).collect();
        metadata.extend([
            ("general.architecture".to_owned(), Value::String(family.to_owned())),
            ("tokenizer.ggml.model".to_owned(), Value::String("gpt2".to_owned())),
            ("tokenizer.ggml.pre".to_owned(), Value::String("smollm".to_owned())),
            ("tokenizer.ggml.tokens".to_owned(), texts(tokens)),
            ("tokenizer.ggml.token_type".to_owned(), Value::Array(types)),
            ("tokenizer.ggml.merges".to_owned(), Value::Array(Vec::new())),
            ("tokenizer.ggml.eos_token_id".to_owned(), Value::U32(256)),
        ]);
        metadata
    }
}

/// GPT-2's printable character of each byte, in the order of the bytes.
fn byte_characters() -> Vec<String> {
    let printable = |byte: u32| matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    let mut others = 0x100..;
    (0..256u32)
        .map(|byte| if printable(byte) { byte } else { others.next().unwrap() })
        .map(|code| char::from_u32(code).unwrap().to_string())
        .collect()
}
