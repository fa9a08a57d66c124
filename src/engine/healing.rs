//! Token healing: the last token before the cursor is taken back, and the model must begin with its text, in any tokens.
//!
//! A model has seldom seen `.appen` as the end of a text: it knows `.append` as one token. Whichever tokens begin with the
//! text that was taken back, or are a beginning of it, may be chosen; the probability of all others is put to nothing.

use crate::engine::tokenizer::Tokenizer;

/// The tokens of a vocabulary in the order of their bytes: a trie, laid flat.
pub struct Vocabulary {
    sorted: Vec<u32>,
}

impl Vocabulary {
    /// Sort a tokenizer's tokens.
    pub fn of(tokenizer: &Tokenizer) -> Self {
        let tokens = 0..tokenizer.vocabulary() as u32;
        let mut sorted: Vec<u32> = tokens.filter(|token| !tokenizer.piece(*token).is_empty()).collect();
        sorted.sort_by_key(|token| tokenizer.piece(*token));
        Self { sorted }
    }

    /// The tokens whose text begins with `wanted`, and those that are a beginning of it.
    pub fn fitting<'a>(
        &'a self,
        tokenizer: &'a Tokenizer,
        wanted: &'a [u8],
    ) -> impl Iterator<Item = u32> + 'a {
        let piece = move |token: &u32| tokenizer.piece(*token);
        let place = move |text: &[u8]| self.sorted.partition_point(|token| piece(token) < text);
        let longer =
            self.sorted[place(wanted)..].iter().take_while(move |token| piece(token).starts_with(wanted));
        let shorter = (1..wanted.len()).flat_map(move |length| {
            let text = &wanted[..length];
            self.sorted[place(text)..].iter().take_while(move |token| piece(token) == text)
        });
        longer.chain(shorter).copied()
    }
}

/// The likeliest of `tokens`, and the natural logarithm of its probability among them.
pub fn likeliest(logits: &[f32], tokens: impl Iterator<Item = u32>) -> Option<(u32, f32)> {
    let mut best: Option<(u32, f32)> = None;
    let mut fitting = Vec::new();
    for token in tokens {
        let Some(logit) = logits.get(token as usize).copied() else { continue };
        fitting.push(logit);
        // The first of equals, as without a mask.
        if best.is_none_or(|(known, highest)| logit > highest || (logit == highest && token < known)) {
            best = Some((token, logit));
        }
    }
    let (token, highest) = best?;
    let total: f32 = fitting.iter().map(|logit| (logit - highest).exp()).sum();
    Some((token, -total.ln()))
}

/// Take the last token back if more than `least` stand there; its bytes.
pub fn take_back(tokenizer: &Tokenizer, tokens: &mut Vec<u32>, least: usize) -> Vec<u8> {
    if tokens.len() <= least {
        return Vec::new();
    }
    match tokens.last().map(|token| tokenizer.piece(*token)) {
        Some(piece) if !piece.is_empty() => {
            let begun = piece.to_vec();
            tokens.pop();
            begun
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = r#"{"version": "1.0", "truncation": null, "padding": null, "normalizer": null, "added_tokens": [],
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "post_processor": null, "decoder": null,
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": {"a": 0, "b": 1, "c": 2, "ab": 3, "abc": 4, "bc": 5},
            "merges": [["a", "b"], ["ab", "c"], ["b", "c"]]}}"#;

    #[test]
    fn what_fits_is_longer_or_a_beginning() {
        let tokenizer = Tokenizer::from_json_bytes(JSON.as_bytes()).unwrap();
        let vocabulary = Vocabulary::of(&tokenizer);
        let fitting = |wanted: &str| {
            let mut tokens: Vec<u32> = vocabulary.fitting(&tokenizer, wanted.as_bytes()).collect();
            tokens.sort_unstable();
            tokens
        };
        assert_eq!(fitting("ab"), [0, 3, 4]);
        assert_eq!(fitting("abc"), [0, 3, 4]);
        assert_eq!(fitting("b"), [1, 5]);
        assert_eq!(fitting("x"), Vec::<u32>::new());
    }

    #[test]
    fn the_likeliest_of_what_fits_is_taken() {
        let logits = [0.0, 9.0, 1.0, 1.0];
        let (token, logprob) = likeliest(&logits, [0, 3, 2].into_iter()).unwrap();
        assert_eq!(token, 2);
        assert!((logprob - (1.0 / (2.0 + (-1.0f32).exp())).ln()).abs() < 1e-6);
        assert_eq!(likeliest(&logits, [].into_iter()), None);
    }

    #[test]
    fn the_last_token_is_taken_back_if_it_is_text_and_not_all() {
        let tokenizer = Tokenizer::from_json_bytes(JSON.as_bytes()).unwrap();
        let mut tokens = vec![2, 3];
        assert_eq!(take_back(&tokenizer, &mut tokens, 1), b"ab");
        assert_eq!(tokens, [2]);
        assert_eq!(take_back(&tokenizer, &mut tokens, 1), b"");
    }
}
