//! The decoder against candle-transformers' implementation, token by token: on small seeded weights of each family,
//! and on the default model's real weights.

mod common;

use std::fs::File;
use std::path::{Path, PathBuf};

use candle_core::quantized::{GgmlDType, gguf_file};
use candle_core::{Device, Tensor};
use candle_transformers::models::{quantized_llama, quantized_qwen2};
use common::tiny_model::{Seeded, Tiny};
use foretype::engine::tokenizer::Tokenizer;
use foretype::interrupt::Interrupt;
use foretype::kernels::Kernels;
use foretype::model::KvKind;
use foretype::model::decoder::Decoder;
use foretype::model::families::Shape;
use foretype::model::gguf::GgufFile;
use foretype::model::ops::Ops;
use foretype::model::weights::Weights;
use foretype::model::{Network, Stopped, Tree, Wanted};

/// candle-transformers' implementation of a family.
enum Oracle {
    Llama(quantized_llama::ModelWeights),
    Qwen2(quantized_qwen2::ModelWeights),
}

impl Oracle {
    fn load(path: &Path) -> Self {
        let mut file = File::open(path).unwrap();
        let content = gguf_file::Content::read(&mut file).unwrap();
        match content.metadata["general.architecture"].to_string().unwrap().as_str() {
            "qwen2" => Self::Qwen2(
                quantized_qwen2::ModelWeights::from_gguf(content, &mut file, &Device::Cpu).unwrap(),
            ),
            _ => Self::Llama(
                quantized_llama::ModelWeights::from_gguf(content, &mut file, &Device::Cpu).unwrap(),
            ),
        }
    }

    fn logits(&mut self, token: u32, position: usize) -> Vec<f32> {
        let token = Tensor::new(&[[token]], &Device::Cpu).unwrap();
        let logits = match self {
            Self::Llama(model) => model.forward(&token, position).unwrap(),
            Self::Qwen2(model) => model.forward(&token, position).unwrap(),
        };
        logits.flatten_all().unwrap().to_vec1().unwrap()
    }
}

fn load(path: &Path, ops: Ops) -> Decoder {
    load_with(path, ops, KvKind::F16)
}

fn load_with(path: &Path, ops: Ops, kv_cache: KvKind) -> Decoder {
    let file = GgufFile::open(path).unwrap();
    let shape = Shape { kv_cache, ..Shape::of_gguf(&file).unwrap() };
    Decoder::load(&Weights::Gguf(file), shape, ops, 512, &mut |_| ()).unwrap()
}

fn argmax(logits: &[f32]) -> usize {
    (0..logits.len()).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap()
}

/// Distance of two vectors, relative to the length of the second.
fn distance(a: &[f32], b: &[f32]) -> f32 {
    let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|v| v * v).sum::<f32>().sqrt();
    norm(&mut a.iter().zip(b).map(|(a, b)| a - b)) / norm(&mut b.iter().copied())
}

/// Worst distance and share of equal first choices over `tokens`, read one by one.
fn compare(path: &Path, ops: Ops, tokens: &[u32]) -> (f32, f32) {
    let mut oracle = Oracle::load(path);
    let mut decoder = load(path, ops);
    let (mut worst, mut equal) = (0.0f32, 0);
    for (position, token) in tokens.iter().enumerate() {
        let wanted = oracle.logits(*token, position);
        decoder
            .extend(&[*token], Wanted::All, &Interrupt::new())
            .unwrap_or_else(|stopped| panic!("{stopped:?}"));
        worst = worst.max(distance(decoder.logits(), &wanted));
        equal += usize::from(argmax(decoder.logits()) == argmax(&wanted));
    }
    (worst, equal as f32 / tokens.len() as f32)
}

fn tiny(name: &str, tiny: Tiny) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(format!("{name}.gguf"));
    tiny.write(&path);
    (folder, path)
}

fn some_tokens(count: usize) -> Vec<u32> {
    let mut seeded = Seeded(42);
    (0..count).map(|_| (seeded.next().abs() * 256.0) as u32).collect()
}

#[test]
fn candle_operations_equal_the_oracle_in_both_families() {
    for (family, tied) in [("llama", false), ("llama", true), ("qwen2", false)] {
        let (_folder, path) = tiny(family, Tiny { family, tied, dtype: GgmlDType::F32, ..Tiny::default() });
        let (worst, equal) = compare(&path, Ops::Candle(Device::Cpu), &some_tokens(48));
        // The cache is f16; everything else is f32 on both sides.
        assert!(worst < 5e-3 && equal == 1.0, "{family}: distance {worst}, equal {equal}");
    }
}

#[test]
fn kernels_equal_the_oracle_within_quantisation_in_both_families() {
    for family in ["llama", "qwen2"] {
        for dtype in [GgmlDType::Q8_0, GgmlDType::Q4_0, GgmlDType::Q4_1, GgmlDType::F32] {
            let (_folder, path) = tiny(family, Tiny { family, dtype, ..Tiny::default() });
            let (worst, equal) = compare(&path, Ops::Kernels(Kernels::new(2)), &some_tokens(48));
            assert!(worst < 0.05 && equal > 0.85, "{family} {dtype:?}: distance {worst}, equal {equal}");
        }
    }
}

#[test]
fn chunks_and_rollback_change_nothing() {
    let (_folder, path) = tiny("chunks", Tiny::default());
    let tokens = some_tokens(200);
    let mut whole = load(&path, Ops::Kernels(Kernels::new(2)));
    whole.extend(&tokens, Wanted::All, &Interrupt::new()).unwrap_or_else(|stopped| panic!("{stopped:?}"));
    let mut parts = load(&path, Ops::Kernels(Kernels::new(1)));
    for part in [&tokens[..7], &some_tokens(30)[..], &tokens[7..150], &tokens[150..]] {
        let before = parts.len();
        parts.extend(part, Wanted::All, &Interrupt::new()).unwrap_or_else(|stopped| panic!("{stopped:?}"));
        if before == 7 && part.len() == 30 {
            parts.truncate(7);
        }
    }
    assert_eq!(parts.len(), whole.len());
    let difference = distance(parts.logits(), whole.logits());
    assert!(difference < 2e-2, "distance {difference}");
}

#[test]
fn bad_input_is_an_error_and_an_interrupt_keeps_what_was_read() {
    let (_folder, path) = tiny("bad", Tiny::default());
    let mut decoder = load(&path, Ops::Kernels(Kernels::new(1)));
    assert!(matches!(decoder.extend(&[], Wanted::All, &Interrupt::new()), Err(Stopped::Failed(_))));
    assert!(matches!(decoder.extend(&[100_000], Wanted::All, &Interrupt::new()), Err(Stopped::Failed(_))));
    assert!(matches!(decoder.extend(&vec![1; 513], Wanted::All, &Interrupt::new()), Err(Stopped::Failed(_))));
    decoder
        .extend(&[1, 2, 3], Wanted::All, &Interrupt::new())
        .unwrap_or_else(|stopped| panic!("{stopped:?}"));
    let interrupt = Interrupt::new();
    interrupt.trigger();
    assert!(matches!(decoder.extend(&[4], Wanted::All, &interrupt), Err(Stopped::Interrupted)));
    assert_eq!(decoder.len(), 3);
}

#[test]
fn a_broken_file_is_one_clear_line() {
    let folder = tempfile::tempdir().unwrap();
    let (_tiny_folder, good) = tiny("whole", Tiny::default());
    let bytes = std::fs::read(good).unwrap();
    for (name, bytes) in [
        ("empty", &bytes[..0]),
        ("head", &bytes[..100]),
        ("half", &bytes[..bytes.len() / 2]),
        ("text", b"no model"),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let error = GgufFile::open(&path)
            .and_then(|file| {
                let shape = Shape::of_gguf(&file)?;
                Decoder::load(&Weights::Gguf(file), shape, Ops::Kernels(Kernels::new(1)), 64, &mut |_| ())
            })
            .err()
            .unwrap_or_else(|| panic!("{name} was loaded"));
        let message = format!("{error:#}");
        assert!(message.contains("fetch") && !message.contains('\n'), "{name}: {message}");
    }
}

/// Real weights on a real text. Both round activations to 8 bits, at different places. How much such rounding moves the
/// logits is seen where only the cache differs (the oracle's f32, our f16): the kernels may not move them much more.
#[test]
fn the_default_weights_agree_with_the_oracle_over_256_positions() {
    let path = common::real_model::path();
    let tokenizer = Tokenizer::from_gguf(&GgufFile::open(&path).unwrap()).unwrap();
    let tokens = &tokenizer.encode(include_str!("../src/completion/mod.rs"))[..256];
    let mut oracle = Oracle::load(&path);
    let mut decoders =
        [Ops::Candle(Device::Cpu), Ops::Kernels(Kernels::new(2))].map(|ops| (load(&path, ops), 0.0f32, 0));
    for (position, token) in tokens.iter().enumerate() {
        let wanted = oracle.logits(*token, position);
        for (decoder, distances, equal) in &mut decoders {
            decoder
                .extend(&[*token], Wanted::All, &Interrupt::new())
                .unwrap_or_else(|stopped| panic!("{stopped:?}"));
            *distances += distance(decoder.logits(), &wanted);
            *equal += usize::from(argmax(decoder.logits()) == argmax(&wanted));
        }
    }
    let [(_, rounding, by_candle), (_, distances, by_kernels)] = decoders;
    let report = format!(
        "mean distance {} (rounding alone: {}), equal first choices {by_kernels} ({by_candle})",
        distances / 256.0,
        rounding / 256.0
    );
    println!("{report}");
    assert!(distances < 1.5 * rounding && distances / 256.0 < 0.05, "{report}");
    assert!(by_kernels >= 240 && by_candle >= 240, "{report}");
}

#[test]
fn the_likeliest_token_needs_no_other_logits() {
    for tied in [true, false] {
        let (_folder, path) = tiny("likeliest", Tiny { tied, dtype: GgmlDType::Q8_0, ..Tiny::default() });
        let [mut all, mut likeliest] = [(); 2].map(|()| load(&path, Ops::Kernels(Kernels::new(2))));
        assert!(all.memory().weights_of_pass < all.memory().weights);
        let vocabulary = all.vocabulary();
        for some in some_tokens(60).chunks(5) {
            let read = |decoder: &mut Decoder, wanted| {
                let logits = decoder.extend_each(some, wanted, &Interrupt::new());
                logits.unwrap_or_else(|stopped| panic!("{stopped:?}")).to_vec()
            };
            let (all, likeliest) = (read(&mut all, Wanted::All), read(&mut likeliest, Wanted::Likeliest));
            for (all, likeliest) in all.chunks(vocabulary).zip(likeliest.chunks(vocabulary)) {
                let best = argmax(all);
                assert!(argmax(likeliest) == best && likeliest[best] == all[best]);
            }
        }
        all.extend(&[1], Wanted::Nothing, &Interrupt::new()).unwrap_or_else(|stopped| panic!("{stopped:?}"));
        assert!(all.logits().is_empty() && all.len() == 61);
    }
}

#[test]
fn logits_after_each_token_are_those_of_reading_one_by_one() {
    let (_folder, path) = tiny("each", Tiny::default());
    let tokens = some_tokens(60);
    let mut one_by_one = load(&path, Ops::Kernels(Kernels::new(2)));
    let mut at_once = load(&path, Ops::Kernels(Kernels::new(2)));
    let vocabulary = at_once.vocabulary();
    for decoder in [&mut one_by_one, &mut at_once] {
        decoder
            .extend(&tokens[..20], Wanted::All, &Interrupt::new())
            .unwrap_or_else(|stopped| panic!("{stopped:?}"));
    }
    for draft in [&tokens[20..21], &tokens[21..25], &tokens[25..41], &tokens[41..]] {
        let each = at_once
            .extend_each(draft, Wanted::All, &Interrupt::new())
            .unwrap_or_else(|stopped| panic!("{stopped:?}"));
        let each = each.to_vec();
        assert_eq!(each.len(), draft.len() * vocabulary);
        for (token, logits) in draft.iter().zip(each.chunks(vocabulary)) {
            one_by_one
                .extend(&[*token], Wanted::All, &Interrupt::new())
                .unwrap_or_else(|stopped| panic!("{stopped:?}"));
            let difference = distance(logits, one_by_one.logits());
            assert!(difference < 2e-2, "distance {difference}");
        }
        assert_eq!(at_once.logits(), &each[each.len() - vocabulary..]);
    }
    assert!(at_once.extend_each(&some_tokens(100), Wanted::All, &Interrupt::new()).is_err());
    assert_eq!(at_once.len(), 60);
}

#[test]
fn ways_that_are_read_side_by_side_are_those_read_one_by_one() {
    let (_folder, path) = tiny("tree", Tiny::default());
    let tokens = some_tokens(60);
    let (trunk, rest) = tokens.split_at(20);
    for ops in [Ops::Kernels(Kernels::new(2)), Ops::Candle(Device::Cpu)] {
        let mut decoder = load(&path, ops.clone());
        let mut alone = load(&path, ops);
        let vocabulary = decoder.vocabulary();
        decoder.extend(trunk, Wanted::All, &Interrupt::new()).unwrap_or_else(|stopped| panic!("{stopped:?}"));
        let mut tree = Tree::default();
        let mut rows = Vec::new();
        for (step, four) in rest.chunks(4).enumerate() {
            for (number, token) in four.iter().enumerate() {
                // The text first; then two of the step before go on, each twice.
                let parent = step.checked_sub(1).map(|before| 4 * before + 1 + number / 2);
                tree.push(parent, *token);
            }
            let new = decoder
                .extend_tree(&mut tree, &Interrupt::new())
                .unwrap_or_else(|stopped| panic!("{stopped:?}"));
            rows.extend_from_slice(new);
        }
        assert_eq!((rows.len(), decoder.len()), (rest.len() * vocabulary, trunk.len()));
        for (number, row) in rows.chunks(vocabulary).enumerate() {
            alone.truncate(0);
            let text = [trunk, &tree.path(number)].concat();
            alone
                .extend(&text, Wanted::All, &Interrupt::new())
                .unwrap_or_else(|stopped| panic!("{stopped:?}"));
            let difference = distance(row, alone.logits());
            assert!(difference < 2e-2, "token {number}: distance {difference}");
        }
        // Afterwards the text goes on as if nothing had been.
        alone.truncate(0);
        for decoder in [&mut decoder, &mut alone] {
            let from = decoder.len();
            decoder
                .extend(&tokens[from..], Wanted::All, &Interrupt::new())
                .unwrap_or_else(|stopped| panic!("{stopped:?}"));
        }
        assert!(distance(decoder.logits(), alone.logits()) < 2e-2);
        let mut full = Tree::default();
        for token in 0..65 {
            full.push(None, token);
        }
        assert!(decoder.extend_tree(&mut full, &Interrupt::new()).is_err());
        assert!(decoder.extend_tree(&mut Tree::default(), &Interrupt::new()).is_err());
    }
}

#[test]
fn a_cache_of_bytes_is_half_as_large_and_changes_little() {
    let (_folder, path) = tiny("bytes", Tiny::default());
    let tokens = some_tokens(200);
    let [halves, bytes] = [KvKind::F16, KvKind::Int8].map(|kind| {
        let mut decoder = load_with(&path, Ops::Kernels(Kernels::new(2)), kind);
        for part in [&tokens[..120], &tokens[120..121], &tokens[121..]] {
            decoder
                .extend(part, Wanted::All, &Interrupt::new())
                .unwrap_or_else(|stopped| panic!("{stopped:?}"));
        }
        (decoder.logits().to_vec(), decoder.memory().kv_cache)
    });
    let difference = distance(&bytes.0, &halves.0);
    assert!(difference > 0.0 && difference < 5e-2, "distance {difference}");
    let share = bytes.1 as f32 / halves.1 as f32;
    assert!((0.5..0.7).contains(&share), "{share} of the memory");
}

#[test]
fn slots_keep_their_tokens_and_lend_their_beginnings() {
    slots(KvKind::F16);
    slots(KvKind::Int8);
}

fn slots(kind: KvKind) {
    let (_folder, path) = tiny("slots", Tiny::default());
    let load = |path: &Path, ops: Ops| load_with(path, ops, kind);
    let (first, second) = (some_tokens(40), some_tokens(70)[40..].to_vec());
    let extend = |decoder: &mut Decoder, tokens: &[u32]| {
        decoder
            .extend(tokens, Wanted::All, &Interrupt::new())
            .unwrap_or_else(|stopped| panic!("{stopped:?}"));
        decoder.logits().to_vec()
    };
    let mut alone = load(&path, Ops::Kernels(Kernels::new(1)));
    extend(&mut alone, &first);
    let wanted = extend(&mut alone, &[7]);
    alone.truncate(25);
    let wanted_from_25 = extend(&mut alone, &[9, 8]);

    let mut decoder = load(&path, Ops::Kernels(Kernels::new(1)));
    extend(&mut decoder, &first);
    decoder.select(1);
    assert_eq!(decoder.len(), 0);
    extend(&mut decoder, &second);
    decoder.select(0);
    assert_eq!(decoder.len(), 40);
    assert_eq!(extend(&mut decoder, &[7]), wanted);
    decoder.select(1);
    decoder.copy_from(0, 25).unwrap();
    assert_eq!(decoder.len(), 25);
    assert_eq!(extend(&mut decoder, &[9, 8]), wanted_from_25);
    decoder.copy_from(1, 3).unwrap();
    assert_eq!(decoder.len(), 3);
    assert!(decoder.copy_from(99, 3).is_err());
    decoder.select(0);
    assert_eq!(decoder.len(), 41);
}
