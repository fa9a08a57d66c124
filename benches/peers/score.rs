//! How a model foretells texts that are given as tokens: our half of the comparison that `accuracy` makes.
//!
//! `score FILE.gguf [THREADS] < TOKENS`: every line is a JSON array of tokens, and so is every line of the answer: for
//! each token but the first `[logarithm of its probability, the likeliest token, the logarithm of that one's]`.

use std::io::{BufRead, Write};

use anyhow::Context;
use foretype::config::DeviceChoice;
use foretype::engine::Engine;
use foretype::model::store;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let model = arguments.next().context("score FILE.gguf [THREADS]")?;
    let threads = arguments.next().map(|threads| threads.parse()).transpose()?;
    let files = store::ensure(&model, &mut |_| ())?;
    let mut engine = Engine::load(&files, DeviceChoice::Cpu, threads, &mut |_| ())?;
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let tokens: Vec<u32> = serde_json::from_str(&line?)?;
        let scores = engine.score(&tokens)?;
        let rows: Vec<_> = scores.iter().map(|score| (score.logprob, score.likeliest, score.best)).collect();
        writeln!(out, "{}", serde_json::to_string(&rows)?)?;
    }
    Ok(())
}
