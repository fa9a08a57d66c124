//! `foretype bench`: how fast the model reads and writes on this machine, and how it is to type at the server.

#[cfg(unix)]
mod keystrokes;

use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::cli::{Global, loading};
use crate::engine::Engine;
use crate::interrupt::Interrupt;

#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Tokens per second of reading a prompt and of writing
    Model {
        /// Print an object
        #[arg(long)]
        json: bool,
        /// Tokens to read
        #[arg(long, default_value_t = 512, value_name = "N")]
        prompt: usize,
        /// Tokens to write
        #[arg(long, default_value_t = 64, value_name = "N")]
        generate: usize,
        /// Runs; the medians are printed
        #[arg(long, default_value_t = 5, value_name = "N")]
        repeat: usize,
    },
    /// Type in real files, in real time, and measure what comes of each key
    #[cfg(unix)]
    Keystrokes(keystrokes::Arguments),
}

/// Medians of the runs, tokens per second.
pub struct Speed {
    pub prefill: f64,
    pub decode: f64,
}

pub fn run(global: &Global, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let (json, prompt, generate, repeat) = match &arguments.what {
        What::Model { json, prompt, generate, repeat } => (*json, *prompt, *generate, *repeat),
        #[cfg(unix)]
        What::Keystrokes(arguments) => return keystrokes::run(global, arguments),
    };
    let settings = global.settings();
    let mut engine = loading::unmeasured(&settings)?;
    anyhow::ensure!(prompt > 0 && generate > 0 && repeat > 0, "--prompt, --generate and --repeat start at 1");
    let room = engine.capacity();
    anyhow::ensure!(prompt + generate < room, "--prompt and --generate must stay under {room} together");
    let speed = measure(&mut engine, prompt, generate, repeat)?;
    let (kernels, threads) = (engine.kernels(), engine.threads());
    let device = if matches!(kernels.as_str(), "cuda" | "metal") { kernels.as_str() } else { "cpu" };
    let mut out = std::io::stdout().lock();
    if json {
        let report = json!({
            "prefill_tokens_per_second": speed.prefill,
            "decode_tokens_per_second": speed.decode,
            "kernels": kernels,
            "device": device,
            "threads": threads,
            "model": engine.manifest().name,
        });
        writeln!(out, "{report}")?;
    } else {
        writeln!(out, "{} on {device} ({kernels}, {threads} threads)", engine.manifest().name)?;
        writeln!(out, "reads  {:8.1} tokens/s ({prompt} tokens, median of {repeat})", speed.prefill)?;
        writeln!(out, "writes {:8.1} tokens/s ({generate} tokens after them)", speed.decode)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Read with an empty cache and then write, several times. The written text is given, so that all runs and models do the
/// same work and none ends early; the choice after each token is made all the same.
///
/// # Errors
/// When the engine fails.
pub fn measure(engine: &mut Engine, prompt: usize, generate: usize, repeat: usize) -> anyhow::Result<Speed> {
    let text = include_str!("bench.rs");
    let mut tokens = engine.tokenize(text);
    while tokens.len() < prompt + generate {
        tokens.extend_from_within(..);
    }
    tokens.truncate(prompt + generate);
    let (read, written) = tokens.split_at(prompt);
    let (mut prefills, mut decodes) = (Vec::new(), Vec::new());
    for _ in 0..repeat {
        engine.forget();
        let started = Instant::now();
        engine.read(read, &Interrupt::new())?;
        prefills.push(prompt as f64 / started.elapsed().as_secs_f64());
        let started = Instant::now();
        engine.follow(written, 1)?;
        decodes.push(generate as f64 / started.elapsed().as_secs_f64());
    }
    Ok(Speed { prefill: median(prefills), decode: median(decodes) })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
