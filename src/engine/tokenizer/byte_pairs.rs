//! Byte pair encoding (Sennrich et al. 2016, <https://arxiv.org/abs/1508.07909>) over bytes, as GPT-2 has it: a word begins as
//! one token a byte, and of all neighbours that the vocabulary merges, those of the lowest rank become one, until none are left.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hash::BuildHasher;

use anyhow::{Context, ensure};
use hashbrown::{DefaultHashBuilder, HashMap, HashTable};

use super::pieces::{Pieces, push_bytes_of};

/// The merges of one vocabulary.
pub struct BytePairs {
    /// The token of each byte alone; none for a byte that the vocabulary lacks, which is left out of texts.
    bytes: Vec<Option<u32>>,
    merges: HashMap<(u32, u32), Merge>,
    /// Tokens that words are looked up among before any merge is tried.
    whole_words: Option<Words>,
}

/// What two neighbours become.
struct Merge {
    /// The lower, the earlier.
    rank: u32,
    into: u32,
}

/// A place in a word, and the token that begins there.
struct Part {
    token: u32,
    before: u32,
    after: u32,
}

/// No place; as a token, what stands where one was merged into the one before it. No merge has it.
const NONE: u32 = u32::MAX;

/// Memory that words share.
#[derive(Default)]
pub struct Scratch {
    parts: Vec<Part>,
    /// Ranks of merges that may be made, and where. Those whose place has changed since are passed over.
    queue: BinaryHeap<Reverse<(u32, u32)>>,
}

impl BytePairs {
    /// Read the merges `texts`, in the order of their ranks, each as two tokens with a space between, in GPT-2's printable
    /// form. `pieces` has the bytes of all tokens; those for which `is_made` is false are not made, nor is anything of them.
    ///
    /// # Errors
    /// When a text is no merge, or none is of tokens.
    pub fn new<'a>(
        pieces: &Pieces,
        is_made: impl Fn(u32) -> bool,
        texts: impl ExactSizeIterator<Item = anyhow::Result<&'a str>>,
        whole_words_first: bool,
    ) -> anyhow::Result<Self> {
        let words = Words::new(pieces, is_made);
        let count = texts.len();
        let mut merges = HashMap::with_capacity(count.min(pieces.len()));
        let mut whole = Vec::new();
        for (text, rank) in texts.zip(0..) {
            let text = text?;
            let (left, right) =
                text.split_once(' ').with_context(|| format!("the merge {text} has one part"))?;
            whole.clear();
            let is_left = push_bytes_of(left, &mut whole);
            let middle = whole.len();
            if !is_left || !push_bytes_of(right, &mut whole) {
                continue;
            }
            let (left, right) = whole.split_at(middle);
            let tokens = [left, right, &whole].map(|bytes| words.get(pieces, bytes));
            if let [Some(left), Some(right), Some(into)] = tokens {
                merges.insert((left, right), Merge { rank, into });
            }
        }
        ensure!(count == 0 || !merges.is_empty(), "its merges are not of its tokens");
        let bytes = (0..=u8::MAX).map(|byte| words.get(pieces, &[byte])).collect();
        Ok(Self { bytes, merges, whole_words: whole_words_first.then_some(words) })
    }

    /// Add the tokens of a word to `tokens`.
    pub fn encode(&self, pieces: &Pieces, word: &[u8], scratch: &mut Scratch, tokens: &mut Vec<u32>) {
        if let Some(token) = self.whole_words.as_ref().and_then(|words| words.get(pieces, word)) {
            return tokens.push(token);
        }
        let Scratch { parts, queue } = scratch;
        parts.clear();
        for token in word.iter().filter_map(|byte| self.bytes[usize::from(*byte)]) {
            let at = parts.len() as u32;
            parts.push(Part { token, before: at.wrapping_sub(1), after: at + 1 });
        }
        let Some(last) = parts.last_mut() else { return };
        last.after = NONE;

        queue.extend(
            (0..parts.len() as u32).filter_map(|at| Some(Reverse((self.merge(parts, at)?.rank, at)))),
        );
        while let Some(Reverse((rank, at))) = queue.pop() {
            let Some(merge) = self.merge(parts, at).filter(|merge| merge.rank == rank) else { continue };
            let right = parts[at as usize].after;
            let (before, after) = (parts[at as usize].before, parts[right as usize].after);
            parts[right as usize].token = NONE;
            parts[at as usize] = Part { token: merge.into, before, after };
            if let Some(next) = parts.get_mut(after as usize) {
                next.before = at;
            }
            for place in [before, at] {
                queue.extend(self.merge(parts, place).map(|merge| Reverse((merge.rank, place))));
            }
        }
        tokens.extend(parts.iter().map(|part| part.token).filter(|token| *token != NONE));
    }

    /// The merge of the token at this place with the one after it.
    fn merge(&self, parts: &[Part], at: u32) -> Option<&Merge> {
        let left = parts.get(at as usize)?;
        let right = parts.get(left.after as usize)?;
        self.merges.get(&(left.token, right.token))
    }
}

/// Tokens by their bytes, which stay in the [`Pieces`].
struct Words {
    hasher: DefaultHashBuilder,
    table: HashTable<u32>,
}

impl Words {
    /// Of several tokens with the same bytes the last is found.
    fn new(pieces: &Pieces, is_made: impl Fn(u32) -> bool) -> Self {
        let hasher = DefaultHashBuilder::default();
        let hash = |token: &u32| hasher.hash_one(pieces.get(*token));
        let mut table = HashTable::with_capacity(pieces.len());
        for token in (0..pieces.len() as u32).filter(|token| is_made(*token)) {
            let same = |other: &u32| pieces.get(*other) == pieces.get(token);
            match table.entry(hash(&token), same, hash) {
                hashbrown::hash_table::Entry::Occupied(mut entry) => *entry.get_mut() = token,
                hashbrown::hash_table::Entry::Vacant(entry) => drop(entry.insert(token)),
            }
        }
        Self { hasher, table }
    }

    fn get(&self, pieces: &Pieces, bytes: &[u8]) -> Option<u32> {
        self.table.find(self.hasher.hash_one(bytes), |token| pieces.get(*token) == bytes).copied()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;
    use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
    use tokenizers::pre_tokenizers::byte_level::ByteLevel;
    use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer, Trainer};

    use super::super::pieces::byte_level;
    use super::*;

    /// A text to learn from, and to try.
    const TEXT: &str = concat!(
        include_str!("byte_pairs.rs"),
        include_str!("pieces.rs"),
        include_str!("../../completion/mod.rs"),
        include_str!("../../../docs/kernels.md")
    );

    /// Words in GPT-2's printable form, by the library.
    fn words(text: &str) -> tokenizers::Result<Vec<String>> {
        let mut words = PreTokenizedString::from(text);
        ByteLevel::default().add_prefix_space(false).pre_tokenize(&mut words)?;
        let splits = words.get_splits(OffsetReferential::Normalized, OffsetType::Byte);
        Ok(splits.into_iter().map(|(word, ..)| word.to_owned()).collect())
    }

    /// A vocabulary that the library has learnt; it lacks the bytes that the text lacks. Its merges are as GGUF has them.
    static LEARNT: LazyLock<(Vec<String>, Vec<String>)> = LazyLock::new(|| {
        let mut trainer = BpeTrainerBuilder::new().show_progress(false).vocab_size(1200).build();
        trainer.feed(TEXT.lines(), words).unwrap();
        let mut model = BPE::default();
        trainer.train(&mut model).unwrap();
        let mut tokens: Vec<_> = model.get_vocab().into_iter().collect();
        tokens.sort_unstable_by_key(|(_, id)| *id);
        let json = serde_json::to_value(&model).unwrap();
        let merges = json["merges"].as_array().unwrap().iter();
        let merges = merges.map(|pair| [0, 1].map(|at| pair[at].as_str().unwrap()).join(" "));
        (tokens.into_iter().map(|(token, _)| token).collect(), merges.collect())
    });

    /// Ours and the library's.
    fn both(whole_words_first: bool) -> (Pieces, BytePairs, BPE) {
        let (tokens, merges) = &*LEARNT;
        let pieces: Pieces = tokens.iter().map(|token| byte_level(token)).collect();
        let texts = merges.iter().map(|merge| Ok(merge.as_str()));
        let ours = BytePairs::new(&pieces, |_| true, texts, whole_words_first).unwrap();
        let vocabulary = tokens.iter().cloned().zip(0..).collect::<tokenizers::models::bpe::Vocab>();
        let merges = merges.iter().map(|merge| merge.split_once(' ').unwrap());
        let merges = merges.map(|(left, right)| (left.to_owned(), right.to_owned())).collect();
        let theirs =
            BPE::builder().vocab_and_merges(vocabulary, merges).ignore_merges(whole_words_first).build();
        (pieces, ours, theirs.unwrap())
    }

    fn same_tokens(text: &str, whole_words_first: bool) {
        static BOTH: LazyLock<[(Pieces, BytePairs, BPE); 2]> = LazyLock::new(|| [both(false), both(true)]);
        let (pieces, ours, theirs) = &BOTH[usize::from(whole_words_first)];
        let mut scratch = Scratch::default();
        for word in words(text).unwrap() {
            let mut tokens = Vec::new();
            ours.encode(pieces, &byte_level(&word), &mut scratch, &mut tokens);
            let expected = tokenizers::Model::tokenize(theirs, &word).unwrap();
            let expected: Vec<u32> = expected.into_iter().map(|token| token.id).collect();
            assert_eq!(tokens, expected, "{word}");
        }
    }

    #[test]
    fn a_text_gets_the_librarys_tokens() {
        same_tokens(TEXT, false);
        same_tokens(TEXT, true);
    }

    proptest! {
        #[test]
        fn any_text_gets_the_librarys_tokens(text in "([a-z ]{0,40}|[(){}=;:,.\\-_/ \n\t]{0,20}|.{0,8}){0,8}") {
            same_tokens(&text, false);
            same_tokens(&text, true);
        }
    }

    #[test]
    fn a_very_long_word_takes_no_time() {
        let (pieces, ours, _) = both(false);
        let mut tokens = Vec::new();
        ours.encode(&pieces, &b"the".repeat(100_000), &mut Scratch::default(), &mut tokens);
        let bytes: Vec<u8> = tokens.iter().flat_map(|token| pieces.get(*token)).copied().collect();
        assert_eq!(bytes, b"the".repeat(100_000));
    }

    #[test]
    fn what_is_no_merge_is_told_and_what_is_of_no_token_is_left_out() {
        let pieces: Pieces = ["a", "b", "ab", "c"].iter().map(|token| byte_level(token)).collect();
        let read = |merges: &[&'static str]| {
            BytePairs::new(&pieces, |token| token != 3, merges.iter().map(|merge| Ok(*merge)), false)
        };
        let error = |merges| format!("{:#}", read(merges).err().expect("an error"));
        assert_eq!(error(&["a b", "ab"]), "the merge ab has one part");
        assert_eq!(error(&["b a", "a c"]), "its merges are not of its tokens");
        let mut tokens = Vec::new();
        let pairs = read(&["b a", "a \u{2603}", "b c", "a b"]).unwrap();
        pairs.encode(&pieces, b"cabba", &mut Scratch::default(), &mut tokens);
        assert_eq!(tokens, [2, 1, 0]);
    }
}
