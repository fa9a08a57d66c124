//! How each kind of byte-level BPE cuts a text before merging: one row of one table each.

use anyhow::anyhow;
use tokenizers::utils::SysRegex;

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
    /// Each match of a pattern, and what is between.
    Pattern(&'static str),
}

const GPT2: Cut = Cut::Pattern(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+");

const ROWS: &[Pretokenizer] = &[
    Pretokenizer { names: &["default", "gpt-2", "gpt2"], cuts: &[GPT2], whole_words_first: false },
    Pretokenizer {
        names: &["smollm", "starcoder", "refact", "command-r", "codeshell", "exaone"],
        cuts: &[Cut::Digits, GPT2],
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
    /// Make its cuts ready.
    ///
    /// # Errors
    /// When a pattern is none.
    pub fn build(&self) -> anyhow::Result<Cutter> {
        let cuts = self.cuts.iter().map(|cut| match cut {
            Cut::Digits => Ok(None),
            Cut::Pattern(pattern) => Ok(Some(SysRegex::new(pattern).map_err(|error| anyhow!(error))?)),
        });
        Ok(Cutter { cuts: cuts.collect::<anyhow::Result<_>>()? })
    }
}

/// Cuts texts into words.
pub struct Cutter {
    /// A pattern each, or nothing for each digit alone.
    cuts: Vec<Option<SysRegex>>,
}

impl Cutter {
    /// The words of a text, in their order; together they are the text.
    pub fn words<'a>(&self, text: &'a str) -> Vec<&'a str> {
        let mut words = vec![text];
        for cut in &self.cuts {
            let mut parts = Vec::with_capacity(words.len());
            for word in words {
                let mut at = 0;
                let mut add = |start, end| {
                    parts.extend([&word[at..start], &word[start..end]]);
                    at = end;
                };
                match cut {
                    None => {
                        let digits = word.match_indices(char::is_numeric);
                        digits.for_each(|(start, digit)| add(start, start + digit.len()));
                    }
                    Some(pattern) => pattern.find_iter(word).for_each(|(start, end)| add(start, end)),
                }
                parts.push(&word[at..]);
            }
            parts.retain(|part| !part.is_empty());
            words = parts;
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;
    use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer, PreTokenizerWrapper};

    use super::*;

    /// The library's form of a row.
    fn library(row: &Pretokenizer) -> PreTokenizerWrapper {
        let cuts = row.cuts.iter().map(|cut| match cut {
            Cut::Digits => json!({"type": "Digits", "individual_digits": true}),
            Cut::Pattern(pattern) => {
                json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false})
            }
        });
        let parts: Vec<_> = cuts.collect();
        serde_json::from_value(json!({"type": "Sequence", "pretokenizers": parts})).unwrap()
    }

    fn same_words(row: &Pretokenizer, text: &str) {
        let mut words = PreTokenizedString::from(text);
        library(row).pre_tokenize(&mut words).unwrap();
        let splits = words.get_splits(OffsetReferential::Original, OffsetType::Byte);
        let expected: Vec<_> = splits.into_iter().map(|(_, (start, end), _)| &text[start..end]).collect();
        assert_eq!(row.build().unwrap().words(text), expected, "{:?} of {text:?}", row.names);
    }

    #[test]
    fn a_text_is_cut_as_the_library_cuts() {
        for row in ROWS {
            same_words(row, include_str!("pretokenizers.rs"));
        }
    }

    proptest! {
        #[test]
        fn any_text_is_cut_as_the_library_cuts(
            text in "([A-Za-z']{0,9}|[0-9\u{bd}\u{664}]{0,5}|[(){}=;:,. \n\r\t]{0,9}|.{0,4}){1,8}"
        ) {
            for row in ROWS {
                same_words(row, &text);
            }
        }
    }
}
