//! What passes over few tokens take, beside a plain read of as many bytes of weights as a pass reads: for the comparison that
//! `model` makes.
//!
//! `passes FILE.gguf [THREADS]` prints an object: bytes of the weights, of those that a pass reads, and of a token's keys and values; bytes a second
//! of the plain read with as many threads; seconds of a pass over 1, 2, 4, 8 and 16 tokens with an empty
//! cache, the choice after each included. All are
//! medians of turns in which each is measured once.

use std::hint::black_box;
use std::time::Instant;

use anyhow::Context;
use foretype::config::DeviceChoice;
use foretype::engine::Engine;
use foretype::model::{Memory, store};
use memmap2::MmapMut;
use serde_json::json;

const TURNS: usize = 15;
const WIDTHS: [usize; 5] = [1, 2, 4, 8, 16];

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let model = arguments.next().context("passes FILE.gguf [THREADS]")?;
    let threads = arguments.next().map(|threads| threads.parse()).transpose()?;
    let files = store::ensure(&model, &mut |_| ())?;
    let mut engine = Engine::load(&files, DeviceChoice::Cpu, threads, &mut |_| ())?;
    let Memory { weights, weights_of_pass, .. } = engine.memory();
    let tokens = engine.tokenize(include_str!("passes.rs"));
    let bytes = in_large_pages(weights_of_pass)?;
    let (lines, _) = bytes.as_chunks();

    let mut reads = Vec::new();
    let mut passes = WIDTHS.map(|_| Vec::new());
    for turn in 0..=TURNS {
        let read = seconds(|| {
            plain_read(lines, engine.threads());
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
        "weights_of_pass": weights_of_pass,
        "kv_of_a_token": kv_of_a_token,
        "read": weights_of_pass as f64 / median(reads),
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

/// Bytes that were written, in pages as large as the system has: a plain read of them is as fast as any.
fn in_large_pages(length: usize) -> anyhow::Result<MmapMut> {
    let mut bytes = MmapMut::map_anon(length)?;
    #[cfg(target_os = "linux")]
    bytes.advise(memmap2::Advice::HugePage)?;
    bytes.fill(1);
    Ok(bytes)
}

/// Reads everything once, each thread its share as several streams side by side: one alone does not use all that memory gives.
fn plain_read(lines: &[[u8; 64]], threads: usize) {
    const STREAMS: usize = 8;
    std::thread::scope(|scope| {
        for share in lines.chunks(lines.len().div_ceil(threads)) {
            scope.spawn(move || {
                let length = share.len() / STREAMS;
                let streams: [&[[u8; 64]]; STREAMS] = std::array::from_fn(|i| &share[i * length..][..length]);
                let mut sums = [0_u64; 8];
                for at in 0..length {
                    for stream in streams {
                        for (sum, word) in sums.iter_mut().zip(stream[at].as_chunks().0) {
                            *sum = sum.wrapping_add(u64::from_ne_bytes(*word));
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
