//! What passes over few tokens take, beside a plain read of as many bytes as the weights have: for the comparison that
//! `model` makes.
//!
//! `passes FILE.gguf [THREADS]` prints an object: bytes of the weights, and of a token's keys and values; bytes a second
//! of the plain read with as many threads; seconds of a pass over 1, 2, 4, 8 and 16 tokens with an empty
//! cache, the choice after each included. All are
//! medians of turns in which each is measured once.

use std::hint::black_box;
use std::time::Instant;

use anyhow::Context;
use foretype::config::DeviceChoice;
use foretype::engine::Engine;
use foretype::model::store;
use serde_json::json;

const TURNS: usize = 15;
const WIDTHS: [usize; 5] = [1, 2, 4, 8, 16];

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let model = arguments.next().context("passes FILE.gguf [THREADS]")?;
    let threads = arguments.next().map(|threads| threads.parse()).transpose()?;
    let files = store::ensure(&model, &mut |_| ())?;
    let mut engine = Engine::load(&files, DeviceChoice::Cpu, threads, &mut |_| ())?;
    let weights = engine.memory().weights;
    let tokens = engine.tokenize(include_str!("passes.rs"));
    let bytes = vec![1_u64; weights / size_of::<u64>()];

    let mut reads = Vec::new();
    let mut passes = WIDTHS.map(|_| Vec::new());
    for turn in 0..=TURNS {
        let read = seconds(|| {
            plain_read(&bytes, engine.threads());
            Ok(())
        })?;
        let times = WIDTHS.map(|width| {
            engine.forget();
            seconds(|| engine.follow(&tokens[..width], width))
        });
        // The first turn touches the pages.
        if turn > 0 {
            reads.push(read);
            for (passes, time) in passes.iter_mut().zip(times) {
                passes.push(time?);
            }
        }
    }
    let kv_of_a_token = engine.memory().kv_cache / engine.capacity();
    let passes: serde_json::Map<_, _> =
        WIDTHS.iter().zip(passes).map(|(width, times)| (width.to_string(), median(times).into())).collect();
    let report = json!({
        "weights": weights,
        "kv_of_a_token": kv_of_a_token,
        "read": weights as f64 / median(reads),
        "passes": passes,
    });
    println!("{report}");
    Ok(())
}

fn seconds(work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let started = Instant::now();
    work()?;
    Ok(started.elapsed().as_secs_f64())
}

/// Reads everything once, each thread its share as several streams side by side: one alone does not use all that memory gives.
fn plain_read(words: &[u64], threads: usize) {
    const STREAMS: usize = 8;
    const LINE: usize = 8;
    std::thread::scope(|scope| {
        for share in words.chunks(words.len().div_ceil(threads)) {
            scope.spawn(move || {
                let length = share.len() / STREAMS / LINE * LINE;
                let streams: [&[u64]; STREAMS] = std::array::from_fn(|i| &share[i * length..][..length]);
                let mut sums = [0_u64; LINE];
                for at in (0..length).step_by(LINE) {
                    for stream in streams {
                        let line: [u64; LINE] = stream[at..at + LINE].try_into().expect("a whole line");
                        for (sum, word) in sums.iter_mut().zip(line) {
                            *sum = sum.wrapping_add(word);
                        }
                    }
                }
                black_box(sums)
            });
        }
    });
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
