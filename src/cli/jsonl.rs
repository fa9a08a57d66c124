//! `foretype complete --jsonl`: one answer a line, in the order of the requests; a bad line is answered and passed over.

use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::cli::{complete, loading};
use crate::completion::{self, Desk, Extent, Trigger, Wish};
use crate::config::Settings;
use crate::documents::Snapshot;
use crate::engine::Engine;
use crate::interrupt::Interrupt;
use crate::languages;
use crate::oneline::one_line;

/// One line of input.
#[derive(Deserialize)]
struct Request {
    #[serde(default)]
    id: Value,
    path: Option<PathBuf>,
    language: Option<String>,
    prefix: String,
    suffix: String,
    #[serde(default)]
    mode: Mode,
    max_tokens: Option<usize>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    #[default]
    Auto,
    Line,
    Block,
}

pub fn run(settings: &Settings) -> anyhow::Result<ExitCode> {
    let mut engine = loading::writer(settings)?;
    let mut desk = Desk::default();
    let mut input = std::io::stdin().lock();
    let mut line = Vec::new();
    loop {
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            return Ok(ExitCode::SUCCESS);
        }
        let text = String::from_utf8_lossy(&line);
        if text.trim().is_empty() {
            continue;
        }
        let answer = answer(&text, &mut engine, &mut desk, settings);
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{answer}")?;
        stdout.flush()?;
    }
}

fn answer(line: &str, engine: &mut Engine, desk: &mut Desk, settings: &Settings) -> Value {
    let request: Request = match serde_json::from_str(line) {
        Ok(request) => request,
        Err(error) => {
            let id = serde_json::from_str::<Value>(line).ok().and_then(|value| value.get("id").cloned());
            let mut answer =
                json!({"error": format!("not a request: {error}; it needs `prefix` and `suffix`")});
            if let Some(id) = id {
                answer["id"] = id;
            }
            return answer;
        }
    };
    let started = Instant::now();
    let id = request.id.clone();
    match attempt(request, engine, desk, settings) {
        Ok(attempt) => {
            let mut answer = complete::answer(&attempt, id);
            answer["total_ms"] = json!((started.elapsed().as_secs_f64() * 1e6).round() / 1e3);
            answer
        }
        Err(error) => json!({"id": id, "error": one_line(&error)}),
    }
}

fn attempt(
    request: Request,
    engine: &mut Engine,
    desk: &mut Desk,
    settings: &Settings,
) -> anyhow::Result<completion::Attempt> {
    let Request { path, language, prefix, suffix, mode, max_tokens, .. } = request;
    if max_tokens == Some(0) {
        anyhow::bail!("max_tokens must be at least 1");
    }
    let language = languages::of(language.as_deref().unwrap_or_default(), path.as_deref());
    let snapshot = Snapshot::detached(path.as_deref(), language.ids[0], &format!("{prefix}{suffix}"));
    let extent = match mode {
        Mode::Auto => Extent::Auto,
        Mode::Line => Extent::Line,
        Mode::Block => Extent::Block,
    };
    let max_tokens = max_tokens.map(|most| most.min(1024));
    let wish = Wish { trigger: Trigger::Explicit, extent, max_tokens, unhurried: true, selected: None };
    completion::complete(&snapshot, prefix.len(), &wish, engine, desk, settings, &Interrupt::new())
}
