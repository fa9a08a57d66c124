//! Beam search against greedy writing, up to the end of the line: which is right more often, and what it costs.

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;

use crate::cli::eval::Common;
use crate::cli::eval::holes;
use crate::cli::eval::places::Kind;
use crate::cli::eval::reserve::{Data, Part};
use crate::cli::{Global, loading};
use crate::completion::{self, Desk, Suggestion};
use crate::config::Settings;
use crate::context::SyntaxCache;
use crate::documents::Snapshot;
use crate::engine::{Engine, Hypothesis};
use crate::interrupt::Interrupt;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    data: Data,
    /// Ways that are followed
    #[arg(long, value_delimiter = ',', default_value = "3,5", value_name = "N")]
    width: Vec<usize>,
    #[command(flatten)]
    common: Common,
}

/// What became of one policy.
#[derive(Default)]
struct Score {
    name: String,
    right: usize,
    /// Holes in which it is right and greedy writing isn't, and the other way round.
    gained: usize,
    lost: usize,
    /// With the prompt to be read.
    cold: Duration,
    /// With the prompt in the cache, as at most keys.
    warm: Duration,
}

impl Score {
    fn add(&mut self, right: bool, greedy: bool, times: Times) {
        self.right += usize::from(right);
        self.gained += usize::from(right && !greedy);
        self.lost += usize::from(greedy && !right);
        self.cold += times.cold;
        self.warm += times.warm;
    }
}

/// How long an answer takes with its prompt unread and read.
#[derive(Clone, Copy)]
struct Times {
    cold: Duration,
    warm: Duration,
}

/// Ask twice: with nothing in the cache, and with what the first time left there.
fn timed<T>(
    engine: &mut Engine,
    mut ask: impl FnMut(&mut Engine) -> anyhow::Result<T>,
) -> anyhow::Result<(T, Times)> {
    engine.forget();
    let started = Instant::now();
    ask(engine)?;
    let cold = started.elapsed();
    let started = Instant::now();
    let answer = ask(engine)?;
    Ok((answer, Times { cold, warm: started.elapsed() }))
}

pub fn run(global: &Global, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { data, width, common } = arguments;
    let settings = global.settings();
    let mut engine = loading::engine(&settings)?;
    let named = |name: String| Score { name, ..Score::default() };
    let mut scores = vec![named("greedy".to_owned())];
    for width in width {
        scores.push(named(format!("beam of {width}, mean")));
        scores.push(named(format!("beam of {width}, parses, mean")));
        scores.push(named(format!("beam of {width}, any of the first 3")));
    }
    let mut count = 0;
    for part in data.read()? {
        for hole in holes::chosen(&part, Kind::Rest, common) {
            count += 1;
            let is_right = |text: &str| text.trim_end() == hole.expected().trim_end();
            let (greedy, times) =
                timed(&mut engine, |engine| hole.fill(&part, Kind::Rest, engine, &settings))?;
            let greedy = greedy.suggestion.is_some_and(|suggestion| is_right(&suggestion.text));
            scores[0].add(greedy, greedy, times);
            let (snapshot, offset) = hole.cut(&part);
            for (number, width) in width.iter().enumerate() {
                let (found, times) =
                    timed(&mut engine, |engine| search(&snapshot, offset, *width, engine, &settings))?;
                let texts: Vec<&str> = found.iter().map(|(suggestion, _)| suggestion.text.as_str()).collect();
                let started = Instant::now();
                let parsed = best_parsed(&found, &snapshot, offset, &part);
                let parsing = started.elapsed();
                let parsing = Times { cold: times.cold + parsing, warm: times.warm + parsing };
                let answers = [
                    (texts.first().is_some_and(|text| is_right(text)), times),
                    (parsed.is_some_and(is_right), parsing),
                    (texts.iter().take(3).any(|text| is_right(text)), times),
                ];
                for (score, (right, times)) in scores[1 + 3 * number..].iter_mut().zip(answers) {
                    score.add(right, greedy, times);
                }
            }
        }
    }
    let mut out = std::io::stdout().lock();
    if !common.json {
        writeln!(
            out,
            "{:32}{:>10}{:>18}{:>12}{:>12}",
            format!("{count} holes"),
            "right",
            "gained / lost",
            "cold",
            "warm"
        )?;
    }
    for Score { name, right, gained, lost, cold, warm } in &scores {
        let millis = |time: &Duration| time.as_secs_f64() * 1000.0 / count as f64;
        let (share, cold, warm) = (*right as f64 / count as f64, millis(cold), millis(warm));
        if common.json {
            let row = json!({"policy": name, "holes": count, "exact": share, "gained": gained, "lost": lost,
                "cold_ms": cold, "warm_ms": warm});
            writeln!(out, "{row}")?;
        } else {
            let paired = format!("{gained} / {lost}");
            writeln!(out, "{name:32}{:>8.1} %{paired:>18}{cold:>9.1} ms{warm:>9.1} ms", 100.0 * share)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn search(
    snapshot: &Snapshot,
    offset: usize,
    width: usize,
    engine: &mut Engine,
    settings: &Settings,
) -> anyhow::Result<Vec<(Suggestion, Hypothesis)>> {
    completion::hypotheses(snapshot, offset, width, engine, &mut Desk::default(), settings, &Interrupt::new())
}

/// The first of those with which the text has fewest errors of syntax.
fn best_parsed<'a>(
    found: &'a [(Suggestion, Hypothesis)],
    snapshot: &Snapshot,
    offset: usize,
    part: &Part,
) -> Option<&'a str> {
    let errors = |text: &str| {
        let whole = snapshot.with_replaced(offset..offset, text);
        let tree = SyntaxCache::default().tree(&whole, part.language)?;
        Some(errors_in(&tree))
    };
    let texts = found.iter().map(|(suggestion, _)| suggestion.text.as_str());
    texts.min_by_key(|text| errors(text).unwrap_or(usize::MAX))
}

fn errors_in(tree: &tree_sitter::Tree) -> usize {
    let (mut cursor, mut count) = (tree.walk(), 0);
    loop {
        let node = cursor.node();
        count += usize::from(node.is_error() || node.is_missing());
        // Only branches with errors are gone into.
        if node.has_error() && cursor.goto_first_child() {
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return count;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::languages;

    #[test]
    fn of_ways_to_write_on_the_one_that_parses_is_taken() {
        let part = Part { name: "rust".to_owned(), language: languages::of("rust", None), files: Vec::new() };
        let text = "fn a() {\n    b(\n}\n";
        let snapshot = Snapshot::detached(None, "rust", text);
        let offset = text.find("b(").unwrap() + 2;
        let found = ["1, ", "1);", "2);"].map(|text| {
            let hypothesis = Hypothesis { text: text.to_owned(), tokens: 1, ..Hypothesis::default() };
            (Suggestion { text: text.to_owned(), range: offset..offset }, hypothesis)
        });
        assert_eq!(best_parsed(&found, &snapshot, offset, &part), Some("1);"));
    }
}
