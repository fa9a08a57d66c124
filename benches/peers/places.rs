//! How a network foretells tokens, by ours or when nothing but its weights is rounded: the referee of the comparison that
//! `accuracy` makes.
//!
//! `places FILE.gguf ours|floats [FACTOR] < TEXTS`: every line is a JSON object of `tokens`, and of `places`, pairs of an
//! index and a token. The answer's line is an array: for each place the logarithm of that token's probability after the
//! tokens up to the index. For `floats` candle computes, in f32, with weights that it turns into f32 because the variable
//! `CANDLE_DEQUANTIZE_ALL=1` says so. The base of the positions' rotation is multiplied by FACTOR.

use std::io::{BufRead, Write};
use std::path::Path;

use anyhow::{Context, bail, ensure};
use candle_core::Device;
use foretype::engine::default_threads;
use foretype::interrupt::Interrupt;
use foretype::kernels::Kernels;
use foretype::model::decoder::Decoder;
use foretype::model::families::Shape;
use foretype::model::gguf::GgufFile;
use foretype::model::ops::Ops;
use foretype::model::weights::Weights;
use foretype::model::{Network, Stopped, Wanted};
use serde::Deserialize;

/// Tokens of a pass.
const AT_ONCE: usize = 64;

#[derive(Deserialize)]
struct Text {
    tokens: Vec<u32>,
    places: Vec<(usize, usize)>,
}

fn main() -> anyhow::Result<()> {
    const USAGE: &str = "places FILE.gguf ours|floats [FACTOR]";
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().context(USAGE)?;
    let ops = match arguments.next().as_deref() {
        Some("ours") => Ops::Kernels(Kernels::new(default_threads())),
        Some("floats") => {
            let all = std::env::var("CANDLE_DEQUANTIZE_ALL").is_ok_and(|value| value == "1");
            ensure!(all, "set CANDLE_DEQUANTIZE_ALL=1");
            Ops::Candle(Device::Cpu)
        }
        _ => bail!(USAGE),
    };
    let file = GgufFile::open(Path::new(&path))?;
    let mut shape = Shape::of_gguf(&file)?;
    shape.rope_base *= arguments.next().map_or(Ok(1.0), |factor| factor.parse::<f64>())?;
    let mut decoder = Decoder::load(&Weights::Gguf(file), shape, ops, 1024, &mut |_| ())?;
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let Text { tokens, places } = serde_json::from_str(&line?)?;
        let mut answers = vec![f64::NAN; places.len()];
        decoder.truncate(0);
        for (number, some) in tokens.chunks(AT_ONCE).enumerate() {
            let vocabulary = decoder.vocabulary();
            let rows = match decoder.extend_each(some, Wanted::All, &Interrupt::new()) {
                Ok(rows) => rows,
                Err(Stopped::Failed(error)) => return Err(error),
                Err(Stopped::Interrupted) => anyhow::bail!("interrupted"),
            };
            for (offset, row) in rows.chunks_exact(vocabulary).enumerate() {
                let here =
                    |(_, (index, _)): &(&mut f64, &(usize, usize))| *index == number * AT_ONCE + offset;
                for (answer, (_, token)) in answers.iter_mut().zip(&places).filter(here) {
                    *answer = logprob(row, *token).context("there is no such token")?;
                }
            }
        }
        writeln!(out, "{}", serde_json::to_string(&answers)?)?;
    }
    Ok(())
}

fn logprob(logits: &[f32], token: usize) -> Option<f64> {
    let highest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let total: f64 = logits.iter().map(|logit| (f64::from(*logit) - highest).exp()).sum();
    Some(f64::from(*logits.get(token)?) - highest - total.ln())
}
