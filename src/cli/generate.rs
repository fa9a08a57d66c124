//! `foretype generate`: code for an instruction, on stdout as it is made.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::json;

use crate::cli::{Global, complete, loading, tell};
use crate::context::SyntaxCache;
use crate::documents::Snapshot;
use crate::engine::Flow;
use crate::generation::{self, Request};
use crate::interrupt::Interrupt;
use crate::languages;

#[derive(Args)]
pub struct Arguments {
    /// What the code should do
    instruction: String,
    /// Language of the code; by default that of the file
    #[arg(long, value_name = "L")]
    language: Option<String>,
    /// File that the code is for
    #[arg(long)]
    file: Option<PathBuf>,
    /// Lines of the file that the code replaces, from 1
    #[arg(long, value_name = "A:B", requires = "file")]
    range: Option<String>,
    /// Print an object when the code is complete
    #[arg(long)]
    json: bool,
}

pub fn run(global: &Global, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if arguments.instruction.trim().is_empty() {
        bail!("the instruction is empty; say what the code should do");
    }
    let settings = global.settings();
    if let Some(reason) = arguments.file.as_deref().and_then(|file| settings.hidden(file)) {
        bail!(reason);
    }
    let text = arguments.file.as_deref().map(complete::read).transpose()?.unwrap_or_default();
    let asked = arguments.language.as_deref().unwrap_or_default();
    let language = languages::of(asked, arguments.file.as_deref());
    if !asked.is_empty() && languages::by_id(asked).is_none() {
        tell(format_args!("the language {asked} is not known; its name is used all the same"));
    }
    let snapshot = Snapshot::detached(arguments.file.as_deref(), language.ids[0], &text);
    let range = match &arguments.range {
        Some(range) => {
            let (first, last) =
                lines(range).with_context(|| format!("{range:?} is no range; write --range A:B"))?;
            let count = snapshot.text.len_lines();
            if last > count {
                bail!("the file has {count} lines, not {last}");
            }
            snapshot.text.line_to_byte(first - 1)..snapshot.text.line_to_byte(last)
        }
        None => text.len()..text.len(),
    };
    let mut engine = loading::writer(&settings)?;
    let request = Request::Generate { instruction: arguments.instruction.clone(), range };
    let mut shown = 0;
    let mut closed = false;
    let mut observe = |code: &str| {
        if arguments.json {
            return Flow::Continue;
        }
        let mut stdout = std::io::stdout().lock();
        // The end may turn out to be white space or half a fence: it waits for what follows.
        let sure = code.trim_end_matches(['`', '\n', ' ']).len();
        let new = code.get(shown..sure.max(shown)).unwrap_or_default();
        closed = stdout.write_all(new.as_bytes()).and_then(|()| stdout.flush()).is_err();
        shown = sure.max(shown);
        if closed { Flow::Stop } else { Flow::Continue }
    };
    let mut syntax = SyntaxCache::default();
    let edit =
        generation::generate(&snapshot, &request, &mut engine, &mut syntax, &Interrupt::new(), &mut observe)?;
    let mut stdout = std::io::stdout().lock();
    if arguments.json {
        let lines = arguments.range.as_deref().and_then(lines).map(|(first, last)| json!([first, last]));
        writeln!(stdout, "{}", json!({"text": edit.text, "language": language.name, "range": lines}))?;
    } else if !closed {
        writeln!(stdout)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// First and last line of `A:B`, from 1.
fn lines(range: &str) -> Option<(usize, usize)> {
    let (first, last) = range.split_once(':')?;
    let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
    (first >= 1 && first <= last).then_some((first, last))
}
