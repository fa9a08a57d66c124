//! Text to tokens and back. Markers are put in by id, never parsed out of a text; decoding never emits half a character.

mod byte_pairs;
mod pieces;
mod pretokenizers;

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, anyhow, bail};
use serde_json::json;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

use crate::model::gguf::GgufFile;

use byte_pairs::{BytePairs, Scratch};
use pieces::Pieces;
pub use pieces::TextStream;
use pretokenizers::Cutter;

/// GGUF's types of tokens that stand for themselves and are no text.
const CONTROL: i64 = 3;
const USER_DEFINED: i64 = 4;

/// The tokenizer of one model.
pub struct Tokenizer {
    coder: Coder,
    /// The bytes that each token stands for; empty for markers.
    pieces: Pieces,
    markers: HashMap<String, u32>,
    /// Tokens after which a text is over.
    ends: Vec<u32>,
}

/// What makes tokens of a text. It knows no markers, so that one in a user's file is text.
enum Coder {
    /// A GGUF file's: our own, because the library takes several times the time and the memory to start.
    BytePairs(Cutter, BytePairs),
    /// A `tokenizer.json`'s, which may be of any kind.
    Library(Box<tokenizers::Tokenizer>),
}

impl Tokenizer {
    /// Build the tokenizer that a GGUF file describes in its metadata.
    ///
    /// # Errors
    /// When the file has none, or one that is not a byte-level BPE.
    pub fn from_gguf(file: &GgufFile) -> anyhow::Result<Self> {
        let kind = file.text("tokenizer.ggml.model")?;
        if kind != "gpt2" {
            bail!(
                "the GGUF file's tokenizer is of the kind {kind}; put the model's tokenizer.json beside it"
            );
        }
        let tokens = file.texts("tokenizer.ggml.tokens")?;
        let types = file.numbers("tokenizer.ggml.token_type").unwrap_or_default();
        let (mut pieces, mut markers) = (Pieces::default(), HashMap::new());
        // Whether merges may make a token: not of markers, and not of those that are written otherwise than the others.
        let mut is_made = Vec::with_capacity(tokens.len());
        for (id, token) in tokens.enumerate() {
            let token = token?;
            let is_marker = matches!(types.get(id), Some(&CONTROL | &USER_DEFINED));
            if is_marker {
                markers.insert(token.to_owned(), id as u32);
                pieces.push(b"");
            }
            is_made.push(!is_marker && pieces.push_byte_level(token));
        }
        let name = file.text("tokenizer.ggml.pre").unwrap_or("default");
        let pretokenizer = pretokenizers::by_name(name);
        let merges = file.texts("tokenizer.ggml.merges")?;
        let pairs =
            BytePairs::new(&pieces, |id| is_made[id as usize], merges, pretokenizer.whole_words_first)
                .context("the GGUF file's tokenizer is broken")?;
        let coder = Coder::BytePairs(pretokenizer.build()?, pairs);
        let end = file.number("tokenizer.ggml.eos_token_id").ok().map(|id| id as u32);
        Ok(Self::assemble(coder, pieces, markers, end))
    }

    /// Read a `tokenizer.json`.
    ///
    /// # Errors
    /// When it cannot be read or parsed.
    pub fn from_json(path: &Path) -> anyhow::Result<Self> {
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::from_json_bytes(&bytes).with_context(|| format!("{} is no tokenizer.json", path.display()))
    }

    /// Parse the contents of a `tokenizer.json`.
    ///
    /// # Errors
    /// When they are not one.
    pub fn from_json_bytes(bytes: &[u8]) -> anyhow::Result<Self> {
        let mut json: serde_json::Value = serde_json::from_slice(bytes)?;
        let added = json["added_tokens"].take();
        let added: Vec<AddedToken> = serde_json::from_value(added).unwrap_or_default();
        json["added_tokens"] = serde_json::json!([]);
        json["post_processor"] = serde_json::Value::Null;
        let plain =
            tokenizers::Tokenizer::from_bytes(serde_json::to_vec(&json)?).map_err(|error| anyhow!(error))?;

        let vocabulary = plain.get_vocab(false);
        let size = vocabulary
            .values()
            .copied()
            .chain(added.iter().map(|token| token.id))
            .max()
            .map_or(0, |id| id + 1);
        let mut pieces = vec![Box::<[u8]>::default(); size as usize];
        let spaces_by_marker = vocabulary.contains_key("\u{2581}");
        for (token, id) in vocabulary {
            pieces[id as usize] =
                if spaces_by_marker { pieces::sentence_piece(&token) } else { pieces::byte_level(&token) };
        }
        let mut markers = HashMap::new();
        for token in added {
            pieces[token.id as usize] = Box::default();
            markers.insert(token.content, token.id);
        }
        Ok(Self::assemble(Coder::Library(Box::new(plain)), pieces.into_iter().collect(), markers, None))
    }

    /// A tokenizer for which every byte is a token, and these markers are tokens beside them.
    ///
    /// # Errors
    /// None that could be foreseen.
    pub fn of_bytes(markers: &[String]) -> anyhow::Result<Self> {
        let mut alphabet: Vec<char> = ByteLevel::alphabet().into_iter().collect();
        alphabet.sort_unstable();
        let bytes = alphabet.iter().zip(0..).map(|(byte, id)| (byte.to_string(), json!(id)));
        let added = markers.iter().zip(alphabet.len()..);
        Self::from_json_bytes(&serde_json::to_vec(&json!({
            "version": "1.0",
            "added_tokens": added.map(|(text, id)| json!({"id": id, "content": text})).collect::<Vec<_>>(),
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false},
            "model": {"type": "BPE", "vocab": serde_json::Map::from_iter(bytes), "merges": []},
        }))?)
    }

    fn assemble(coder: Coder, pieces: Pieces, markers: HashMap<String, u32>, end: Option<u32>) -> Self {
        const ENDS: &[&str] = &[
            "<|endoftext|>",
            "<|im_end|>",
            "</s>",
            "<|end_of_text|>",
            "<|eot_id|>",
            "<｜end▁of▁sentence｜>",
        ];
        let mut ends: Vec<u32> =
            ENDS.iter().filter_map(|end| markers.get(*end).copied()).chain(end).collect();
        ends.sort_unstable();
        ends.dedup();
        Self { coder, pieces, markers, ends }
    }

    /// Tokens of a text; markers in it are ordinary text.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        match &self.coder {
            Coder::BytePairs(cutter, pairs) => {
                let (mut scratch, mut tokens) = (Scratch::default(), Vec::with_capacity(text.len() / 3));
                for word in cutter.words(text) {
                    pairs.encode(&self.pieces, word.as_bytes(), &mut scratch, &mut tokens);
                }
                tokens
            }
            Coder::Library(library) => match library.encode_fast(text, false) {
                Ok(encoding) => encoding.get_ids().to_vec(),
                Err(error) => {
                    tracing::error!("the tokenizer failed: {error}");
                    Vec::new()
                }
            },
        }
    }

    /// The id of a marker.
    pub fn marker(&self, text: &str) -> Option<u32> {
        self.markers.get(text).copied()
    }

    /// Let a text be over after this marker too, if the vocabulary has it.
    pub fn add_end(&mut self, marker: &str) {
        self.ends.extend(self.marker(marker));
    }

    /// Whether a text is over after this token.
    pub fn is_end(&self, token: u32) -> bool {
        self.ends.contains(&token)
    }

    /// The bytes of a token; empty for markers and unknown ids.
    pub fn piece(&self, token: u32) -> &[u8] {
        self.pieces.get(token)
    }

    /// Text of these tokens, broken characters replaced.
    pub fn decode(&self, tokens: &[u32]) -> String {
        let bytes: Vec<u8> = tokens.iter().flat_map(|token| self.piece(*token)).copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Number of tokens.
    pub fn vocabulary(&self) -> usize {
        self.pieces.len()
    }
}

/// The part of an added token that matters here.
#[derive(serde::Deserialize)]
struct AddedToken {
    id: u32,
    content: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = r#"{"version": "1.0", "truncation": null, "padding": null, "normalizer": null,
        "added_tokens": [{"id": 5, "content": "<end>", "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true}],
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "post_processor": null, "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": {"a": 0, "b": 1, "Ġ": 2, "ab": 3, "Ġab": 4, "<": 6, "e": 7, "n": 8, "d": 9, ">": 10},
            "merges": [["a", "b"], ["Ġ", "ab"]]}}"#;

    #[test]
    fn a_marker_in_a_text_is_text() {
        let tokenizer = Tokenizer::from_json_bytes(JSON.as_bytes()).unwrap();
        assert_eq!(tokenizer.encode("ab ab"), [3, 4]);
        assert_eq!(tokenizer.encode("<end>"), [6, 7, 8, 9, 10]);
        assert_eq!(tokenizer.marker("<end>"), Some(5));
        assert_eq!(tokenizer.decode(&[3, 4, 5]), "ab ab");
    }

    #[test]
    fn every_byte_may_be_a_token() {
        let tokenizer = Tokenizer::of_bytes(&["<a>".to_owned(), "<b>".to_owned()]).unwrap();
        let text: String = (0..=255u8).map(char::from).collect::<String>() + "🦀\r\n  <a>";
        let tokens = tokenizer.encode(&text);
        assert_eq!(tokens.len(), text.len());
        assert_eq!(tokenizer.decode(&tokens), text);
        assert_ne!(tokenizer.marker("<a>"), tokenizer.marker("<b>"));
        assert!(tokenizer.marker("<b>").is_some_and(|id| tokenizer.piece(id).is_empty()));
    }
}
