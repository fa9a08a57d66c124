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
    time: Duration,
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
            engine.forget();
            let started = Instant::now();
            let greedy = hole.fill(&part, Kind::Rest, &mut engine, &settings)?.suggestion;
            scores[0].time += started.elapsed();
            scores[0].right += usize::from(greedy.is_some_and(|suggestion| is_right(&suggestion.text)));
            let (snapshot, offset) = hole.cut(&part);
            for (number, width) in width.iter().enumerate() {
                engine.forget();
                let started = Instant::now();
                let found = search(&snapshot, offset, *width, &mut engine, &settings)?;
                let time = started.elapsed();
                let texts: Vec<&str> = found.iter().map(|(suggestion, _)| suggestion.text.as_str()).collect();
                let parsed = best_parsed(&found, &snapshot, offset, &part);
                let parsing = started.elapsed();
                let answers = [
                    (texts.first().is_some_and(|text| is_right(text)), time),
                    (parsed.is_some_and(is_right), parsing),
                    (texts.iter().take(3).any(|text| is_right(text)), time),
                ];
                for (score, (right, time)) in scores[1 + 3 * number..].iter_mut().zip(answers) {
                    score.right += usize::from(right);
                    score.time += time;
                }
            }
        }
    }
    let mut out = std::io::stdout().lock();
    for Score { name, right, time } in &scores {
        let (share, millis) = (*right as f64 / count as f64, time.as_secs_f64() * 1000.0 / count as f64);
        if common.json {
            writeln!(out, "{}", json!({"policy": name, "holes": count, "exact": share, "ms": millis}))?;
        } else {
            writeln!(out, "{name:32}{:>8.1} % of {count} holes{millis:>10.1} ms", 100.0 * share)?;
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
