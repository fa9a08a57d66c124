//! How each kind of byte-level BPE cuts a text before merging: one row of one table each.

use serde_json::{Value, json};
use tokenizers::PreTokenizerWrapper;

/// A row: GGUF's `tokenizer.ggml.pre` and the cuts that it means.
#[derive(Debug)]
pub struct Pretokenizer {
    names: &'static [&'static str],
    cuts: &'static [Cut],
    /// A word that is a token is taken whole before any merge is tried.
    pub whole_words_first: bool,
}

/// One way to cut; they are applied in their order.
#[derive(Debug)]
enum Cut {
    /// Each digit alone.
    Digits,
    /// At every match of a pattern.
    Pattern(&'static str),
    /// GPT-2's pattern.
    Gpt2,
}

const ROWS: &[Pretokenizer] = &[
    Pretokenizer { names: &["default", "gpt-2", "gpt2"], cuts: &[Cut::Gpt2], whole_words_first: false },
    Pretokenizer {
        names: &["smollm", "starcoder", "refact", "command-r", "codeshell", "exaone"],
        cuts: &[Cut::Digits, Cut::Gpt2],
        whole_words_first: false,
    },
    Pretokenizer {
        names: &["qwen2", "deepseek-r1-qwen"],
        cuts: &[Cut::Pattern(
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        )],
        whole_words_first: false,
    },
    Pretokenizer {
        names: &["llama-bpe", "llama3", "llama-v3", "smaug-bpe"],
        cuts: &[Cut::Pattern(
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        )],
        whole_words_first: true,
    },
    Pretokenizer {
        names: &["deepseek-coder"],
        cuts: &[
            Cut::Pattern(r"[\r\n]"),
            Cut::Pattern(r"\s?\p{L}+"),
            Cut::Pattern(r"\s?\p{P}+"),
            Cut::Pattern(r"[一-龥ࠀ-一가-퟿]+"),
            Cut::Digits,
        ],
        whole_words_first: false,
    },
];

/// The row of this name; GPT-2's for an unknown one, which is said in the log.
pub fn by_name(name: &str) -> &'static Pretokenizer {
    ROWS.iter().find(|row| row.names.contains(&name)).unwrap_or_else(|| {
        tracing::warn!("unknown pre-tokenizer {name}: GPT-2's is used, texts may be cut in other places");
        &ROWS[0]
    })
}

impl Pretokenizer {
    /// The library's form of it.
    ///
    /// # Errors
    /// When the library refuses a pattern.
    pub fn build(&self) -> anyhow::Result<PreTokenizerWrapper> {
        let uses_gpt2 = self.cuts.iter().any(|cut| matches!(cut, Cut::Gpt2));
        let cuts = self.cuts.iter().filter_map(|cut| match cut {
            Cut::Digits => Some(json!({"type": "Digits", "individual_digits": true})),
            Cut::Pattern(pattern) => Some(
                json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false}),
            ),
            Cut::Gpt2 => None,
        });
        let bytes = json!({
            "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": uses_gpt2
        });
        let parts: Vec<Value> = cuts.chain([bytes]).collect();
        Ok(serde_json::from_value(json!({"type": "Sequence", "pretokenizers": parts}))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_builds() {
        for row in ROWS {
            row.build().unwrap_or_else(|error| panic!("{:?}: {error}", row.names));
        }
    }
}
