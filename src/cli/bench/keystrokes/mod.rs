//! `foretype bench keystrokes`: how it is to type at the server, in real time, and at llama.vim with the same weights.

mod closing;
mod document;
mod figures;
mod files;
mod ours;
mod page;
mod peer;
mod process;
mod random;
mod stream;
mod subject;
mod table;
mod trace;
mod typist;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};

use crate::cli::{Global, loading, tell};
use crate::engine;
use crate::model::source::WeightsSource;

use document::Document;
use figures::Figures;
use ours::Ours;
use peer::{LlamaVim, Server};
use random::Random;
use subject::Subject;
use trace::{Act, Trace};
use typist::Session;

/// Requests that are stopped at most, to see how soon the work ends.
const STOPS: usize = 40;

#[derive(Args)]
pub struct Arguments {
    /// Files to type in, or folders to choose source files from
    #[arg(value_name = "FILE|FOLDER", required = true)]
    places: Vec<PathBuf>,
    /// Keys to press, about: they are pressed in real time, some six a second
    #[arg(long, default_value_t = 1000, value_name = "N")]
    keys: usize,
    /// The same seed gives the same typing
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Type in an editor that closes brackets and quotes by itself
    #[arg(long)]
    auto_close: bool,
    /// Print an object
    #[arg(long)]
    json: bool,
    /// Write what came of every key, one object a line
    #[arg(long, value_name = "FILE")]
    cases: Option<PathBuf>,
    /// Write the report with plots as one HTML page
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
    /// Another build of Foretype to type at, instead of this one
    #[arg(long, value_name = "PROGRAM")]
    server: Option<PathBuf>,
    /// A llama-server program: the same is typed at it as llama.vim would ask it, in turns
    #[arg(long, value_name = "PROGRAM")]
    peer: Option<PathBuf>,
    /// Weights of the peer, if not the same as ours
    #[arg(long, value_name = "FILE", requires = "peer")]
    peer_weights: Option<PathBuf>,
}

pub fn run(global: &Global, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let traces = traces(arguments)?;
    let settings = global.settings();
    let weights = loading::files(&settings.model)?.weights;
    let threads = settings.threads.unwrap_or_else(engine::default_threads);
    let mut ours = Ours::start(arguments.server.as_deref(), global)?;
    let mut peer = match &arguments.peer {
        Some(program) => {
            let weights = match (&arguments.peer_weights, &weights) {
                (Some(path), _) => PeerWeights::File(path.clone()),
                (None, weights) => PeerWeights::of(weights)?,
            };
            Some(LlamaVim::new(Server::start(program, weights.path(), threads)?, arguments.seed))
        }
        None => None,
    };

    let mut sessions: [Vec<Session>; 2] = Default::default();
    for (number, trace) in traces.iter().enumerate() {
        let mut subjects: Vec<(usize, &mut dyn Subject)> = vec![(0, &mut ours as &mut dyn Subject)];
        if let Some(peer) = &mut peer {
            subjects.push((1, peer as &mut dyn Subject));
        }
        // Neither always has the machine as the other left it.
        if number % 2 == 1 {
            subjects.reverse();
        }
        for (whose, subject) in subjects {
            sessions[whose].push(typist::replay(trace, subject, arguments.auto_close)?);
        }
        let keys: usize = sessions[0].iter().map(|session| session.keys.len()).sum();
        tell(format_args!("{} of {} files, {keys} keys", number + 1, traces.len()));
    }
    let counters = ours.counters()?;
    let stops = stops(&mut ours, &traces, arguments.keys.div_ceil(4), arguments.seed)?;

    let mut figures = vec![Figures::of(ours.name(), &sessions[0], &stops)];
    if let Some(peer) = &peer {
        figures.push(Figures::of(peer.name(), &sessions[1], &[]));
    }
    let about = format!(
        "{} on {threads} threads, {} files, seed {}{}{}",
        settings.model,
        traces.len(),
        arguments.seed,
        if arguments.auto_close { ", brackets closed by the editor" } else { "" },
        if peer.is_some() { "; the peer runs on llama-server, in turns, in the same run" } else { "" },
    );
    if let Some(path) = &arguments.page {
        std::fs::write(path, page::page(&about, &figures))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    if let Some(path) = &arguments.cases {
        std::fs::write(path, cases(&traces, &figures, &sessions)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let mut out = std::io::stdout().lock();
    if arguments.json {
        writeln!(out, "{}", report(arguments, &settings.model, threads, &traces, &figures, counters))?;
    } else {
        writeln!(out, "{about}\n\n{}", table::text(&figures))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Every key of everybody, one object a line.
fn cases(traces: &[Trace], figures: &[Figures], sessions: &[Vec<Session>]) -> anyhow::Result<String> {
    let mut lines = String::new();
    for (figures, sessions) in figures.iter().zip(sessions) {
        for (trace, session) in traces.iter().zip(sessions) {
            for key in &session.keys {
                let mut case = serde_json::to_value(key)?;
                case["subject"] = json!(figures.name);
                case["file"] = json!(trace.path);
                lines += &format!("{case}\n");
            }
        }
    }
    Ok(lines)
}

/// Our weights as the peer can read them.
enum PeerWeights {
    File(PathBuf),
    /// Weights that are part of the program are written out; the file goes once the peer has it mapped.
    Written(tempfile::NamedTempFile),
}

impl PeerWeights {
    fn of(weights: &WeightsSource) -> anyhow::Result<Self> {
        match weights {
            WeightsSource::Files(paths) => Ok(Self::File(paths.first().context("no weights")?.clone())),
            WeightsSource::Static(bytes) => {
                let mut file = tempfile::Builder::new().suffix(".gguf").tempfile()?;
                file.write_all(bytes)?;
                Ok(Self::Written(file))
            }
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::File(path) => path,
            Self::Written(file) => file.path(),
        }
    }
}

fn traces(arguments: &Arguments) -> anyhow::Result<Vec<Trace>> {
    let mut random = Random::new(arguments.seed);
    let count = trace::files_for(arguments.keys);
    // Some files have no place to type in.
    let files = files::choose(&arguments.places, 2 * count, &mut random)?;
    let keys = arguments.keys.div_ceil(count.min(files.len()));
    let planned = files
        .iter()
        .filter_map(|file| trace::plan(&file.path, file.language, &file.text, keys, random.next()));
    let traces: Vec<Trace> = planned.take(count).collect();
    anyhow::ensure!(!traces.is_empty(), "these files are too short to type in");
    Ok(traces)
}

/// Microseconds from a stop to idle, over requests that are stopped at seeded times.
fn stops(ours: &mut Ours, traces: &[Trace], count: usize, seed: u64) -> anyhow::Result<Vec<u64>> {
    let mut random = Random::new(seed);
    let mut stops = Vec::new();
    for number in 0..STOPS.min(count) {
        let trace = &traces[number % traces.len()];
        let mut document = Document::new(trace);
        document.cursor = trace.holes[random.below(trace.holes.len())].start;
        ours.open(&document)?;
        let delay = Duration::from_micros(random.between(2_000.0, 60_000.0) as u64);
        stops.extend(ours.stop_after(&document, delay)?);
        ours.close(&document)?;
    }
    Ok(stops)
}

fn report(
    arguments: &Arguments,
    model: &str,
    threads: usize,
    traces: &[Trace],
    figures: &[Figures],
    counters: Value,
) -> Value {
    let planned: usize = traces.iter().map(|trace| trace.strokes.len()).sum();
    let jumps =
        traces.iter().flat_map(|trace| &trace.strokes).filter(|stroke| stroke.act == Act::Jump).count();
    let ratios: serde_json::Map<String, Value> =
        table::rows(figures).iter().filter_map(|row| Some((row.key.to_owned(), json!(row.ratio?)))).collect();
    json!({
        "model": model,
        "threads": threads,
        "seed": arguments.seed,
        "auto_close": arguments.auto_close,
        "files": traces.len(),
        "planned_keys": planned,
        "planned_jumps": jumps,
        "subjects": figures,
        "counters": counters,
        "ratios": ratios,
    })
}
