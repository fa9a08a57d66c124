//! How surprised a model is by source text that it hasn't seen: e to the mean negative log-probability of a token.

use std::process::ExitCode;

use clap::Args;

use crate::cli::eval::Common;
use crate::cli::eval::report::{Figure, Group, Report, hand_over};
use crate::cli::eval::reserve::{Data, Part};
use crate::cli::eval::sample::sample;
use crate::cli::{Global, loading};
use crate::engine::Engine;

/// Pieces of text of each language, without `--limit`.
const PIECES: usize = 16;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    data: Data,
    /// Tokens of a piece, each of which is read with an empty memory
    #[arg(long, default_value_t = 512, value_name = "N")]
    tokens: usize,
    #[command(flatten)]
    common: Common,
}

pub fn run(global: &Global, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { data, tokens, common } = arguments;
    let parts = data.read()?;
    let mut engine = loading::unmeasured(&global.settings())?;
    let most = engine.capacity();
    anyhow::ensure!((2..most).contains(tokens), "--tokens must be from 2 to {}", most - 1);
    let mut reports = Vec::new();
    for part in &parts {
        let pieces =
            sample(pieces(part, &engine, *tokens), Some(common.limit.unwrap_or(PIECES)), common.seed);
        let (mut sum, mut count) = (0.0, 0);
        for piece in &pieces {
            let scores = engine.score(piece)?;
            sum += scores.iter().map(|score| f64::from(score.logprob)).sum::<f64>();
            count += scores.len();
        }
        let value = (-sum / count.max(1) as f64).exp();
        let group = Group::part(&part.name, pieces.len(), vec![Figure { name: "perplexity", value }]);
        reports.push(Report {
            suite: format!("perplexity {}", part.name),
            model: common.model_name(engine.manifest()),
            settings: vec![("tokens", tokens.to_string()), ("seed", common.seed.to_string())],
            groups: vec![group],
        });
    }
    hand_over(&reports, common)?;
    Ok(ExitCode::SUCCESS)
}

/// The files of a language cut to pieces of this many tokens; what is left at a file's end is left out.
fn pieces(part: &Part, engine: &Engine, tokens: usize) -> Vec<Vec<u32>> {
    let of_file = |text: &str| {
        let all = engine.tokenize(text);
        all.chunks_exact(tokens).map(<[u32]>::to_vec).collect::<Vec<_>>()
    };
    part.files.iter().flat_map(|file| of_file(&file.text)).collect()
}
