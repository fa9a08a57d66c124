//! `foretype complete`: what would be inserted at a place of a file.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::{Value, json};

use crate::cli::{Global, jsonl, loading, tell};
use crate::completion::{self, Attempt, Desk, Trigger, Wish};
use crate::documents::{Encoding, Position, Snapshot};
use crate::interrupt::Interrupt;
use crate::languages;

#[derive(Args)]
pub struct Arguments {
    /// FILE:LINE:COL, from 1; COL counts characters
    #[arg(value_name = "FILE:LINE:COL", required_unless_present = "jsonl")]
    place: Option<String>,
    /// Print an object with all figures instead of the text
    #[arg(long, conflicts_with = "jsonl")]
    json: bool,
    /// Answer each request on stdin with one line of JSON
    #[arg(long, conflicts_with = "place")]
    jsonl: bool,
}

pub fn run(global: &Global, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let settings = global.settings();
    if arguments.jsonl {
        return jsonl::run(&settings);
    }
    let Some(place) = &arguments.place else { bail!("say where, as FILE:LINE:COL") };
    let Some((path, position)) = parse(place) else {
        tell(format_args!("{place:?} is no place; write FILE:LINE:COL with LINE and COL from 1"));
        return Ok(ExitCode::from(2));
    };
    if let Some(reason) = settings.hidden(&path) {
        bail!(reason);
    }
    let text = read(&path)?;
    let language = languages::of("", Some(&path));
    let snapshot = Snapshot::detached(Some(&path), language.ids[0], &text);
    let lines = snapshot.text.len_lines();
    if position.line as usize >= lines {
        bail!("{} has {lines} lines, not {}", path.display(), position.line + 1);
    }
    let offset = snapshot.offset_of(position, Encoding::Utf32);
    let mut engine = loading::writer(&settings)?;
    let wish = Wish { trigger: Trigger::Explicit, unhurried: true, ..Wish::default() };
    let mut desk = Desk::default();
    let attempt =
        completion::complete(&snapshot, offset, &wish, &mut engine, &mut desk, &settings, &Interrupt::new())?;
    let mut stdout = std::io::stdout().lock();
    if arguments.json {
        writeln!(stdout, "{}", answer(&attempt, Value::Null))?;
    } else if let Some(suggestion) = &attempt.suggestion {
        writeln!(stdout, "{}", suggestion.text)?;
    } else {
        tell(format_args!("nothing to suggest here ({})", attempt.dropped_by.unwrap_or("no text")));
    }
    Ok(ExitCode::SUCCESS)
}

/// An attempt as the object that `--json` and `--jsonl` print.
pub fn answer(attempt: &Attempt, id: Value) -> Value {
    let ms = |duration: std::time::Duration| (duration.as_secs_f64() * 1e6).round() / 1e3;
    json!({
        "id": id,
        "text": attempt.suggestion.as_ref().map_or("", |suggestion| &suggestion.text),
        "raw_text": attempt.raw_text,
        "tokens": attempt.tokens,
        "prompt_tokens": attempt.prompt_tokens,
        "cached_tokens": attempt.cached_tokens,
        "finish": attempt.finish.name(),
        "mean_logprob": attempt.mean_logprob,
        "min_logprob": attempt.min_logprob,
        "drafted": attempt.drafted,
        "drafts_taken": attempt.drafts_taken,
        "prefill_ms": ms(attempt.prefill),
        "decode_ms": ms(attempt.decode),
        "total_ms": ms(attempt.prefill + attempt.decode),
        "dropped_by": attempt.dropped_by,
    })
}

/// A file's text; bytes that are no UTF-8 are an error that says so.
pub fn read(path: &Path) -> anyhow::Result<String> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    String::from_utf8(bytes).map_err(|_| anyhow::anyhow!("{} is not UTF-8 text", path.display()))
}

fn parse(place: &str) -> Option<(PathBuf, Position)> {
    let (rest, column) = place.rsplit_once(':')?;
    let (path, line) = rest.rsplit_once(':')?;
    let number = |text: &str| text.parse::<u32>().ok()?.checked_sub(1);
    (!path.is_empty()).then_some(())?;
    Some((PathBuf::from(path), Position { line: number(line)?, column: number(column)? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_parsed_from_the_right() {
        let check = |place, expected: Option<(&str, u32, u32)>| {
            let parsed = parse(place).map(|(path, at)| (path.display().to_string(), at.line, at.column));
            assert_eq!(parsed, expected.map(|(path, line, column)| (path.to_owned(), line, column)));
        };
        check("a.rs:3:5", Some(("a.rs", 2, 4)));
        check("c:/a.rs:1:1", Some(("c:/a.rs", 0, 0)));
        check("a.rs:0:1", None);
        check("a.rs:1", None);
        check(":1:1", None);
    }
}
