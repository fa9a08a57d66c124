//! `foretype eval`: how good a model is, measured; one file a suite.

mod beam;
mod confidence;
mod editor;
mod fill;
mod history;
mod holes;
mod infilling;
mod page;
mod perplexity;
mod places;
mod report;
mod reserve;
mod sample;
mod sandbox;
mod similarity;
mod typing;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::cli::Global;
use crate::model::manifest::Manifest;

#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    suite: Suite,
}

#[derive(Subcommand)]
enum Suite {
    /// HumanEval-Infilling: holes in small Python functions, judged by their unit tests
    Infilling(infilling::Arguments),
    /// Holes in real packages, filled as the editor would
    Holes(holes::Arguments),
    /// A simulated user types real code through the real server
    Typing(typing::Arguments),
    /// How well a model foretells source text
    Perplexity(perplexity::Arguments),
    /// How far a model's own probabilities can be trusted: which suggestions to show unasked
    Confidence(confidence::Arguments),
    /// Beam search against greedy writing, up to the end of the line
    Beam(beam::Arguments),
}

/// Flags of all suites: what is taken of the data, and where results go.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// Take a seeded sample of this many cases
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Seed of the sample
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// What the model is called in the results, instead of its own name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Print an object instead of a table
    #[arg(long)]
    json: bool,
    /// Append a row to this file
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Write a page with plots: of this run, and of all rows of the file of --csv
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write every case with its answer, one object a line
    #[arg(long, value_name = "FILE")]
    cases: Option<PathBuf>,
}

impl Common {
    /// What results call the model.
    fn model_name(&self, manifest: &Manifest) -> String {
        self.name.clone().unwrap_or_else(|| manifest.name.clone())
    }
}

/// How reports say that the model wasn't shown the text after holes.
fn hidden_suffix() -> (&'static str, String) {
    ("suffix", "hidden".to_owned())
}

pub fn run(global: &Global, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    match &arguments.suite {
        Suite::Infilling(arguments) => infilling::run(global, arguments),
        Suite::Holes(arguments) => holes::run(global, arguments),
        Suite::Typing(arguments) => typing::run(global, arguments),
        Suite::Perplexity(arguments) => perplexity::run(global, arguments),
        Suite::Confidence(arguments) => confidence::run(global, arguments),
        Suite::Beam(arguments) => beam::run(global, arguments),
    }
}
