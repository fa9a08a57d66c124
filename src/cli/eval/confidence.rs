//! How far the model's own probabilities can be trusted: what a suggestion's are worth is fitted on holes, for the rule
//! that says which suggestions are shown unasked.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde::Serialize;
use serde_json::json;

use crate::cli::eval::Common;
use crate::cli::eval::holes;
use crate::cli::eval::places::Kind;
use crate::cli::eval::report::Cases;
use crate::cli::eval::reserve::Data;
use crate::cli::{Global, loading};
use crate::completion;
use crate::model::manifest::Confidence;

/// Rounds of Newton's method; it is at rest long before.
const ROUNDS: usize = 50;
/// Keeps the fit finite where a few cases are told apart without a fault.
const RIDGE: f64 = 1e-3;
/// Estimated probabilities at which the table shows what is left.
const BARS: &[f32] = &[0.0, 0.0005, 0.002, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8];

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    data: Data,
    /// Kinds of holes
    #[arg(long, value_enum, value_delimiter = ',', default_value = "rest")]
    kind: Vec<Kind>,
    /// Write what was fitted into this manifest, in place of what it said of it
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

/// One suggestion: how sure the model was of it, and whether its first line was right.
#[derive(Clone, Copy, Debug, Serialize)]
struct Shown {
    mean: f32,
    least: f32,
    right: bool,
}

pub fn run(global: &Global, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { data, kind, manifest, common } = arguments;
    let settings = global.settings();
    let mut engine = loading::engine(&settings)?;
    let mut cases = Cases::create(common)?;
    let (mut holes, mut shown) = (0, Vec::new());
    for part in data.read()? {
        for kind in kind {
            for hole in holes::chosen(&part, *kind, common) {
                holes += 1;
                let attempt = hole.fill(&part, *kind, &mut engine, &settings)?;
                let Some(suggestion) = attempt.suggestion else { continue };
                let right = first_line(&suggestion.text) == first_line(hole.expected());
                let case = Shown { mean: attempt.mean_logprob, least: attempt.min_logprob, right };
                cases.write(&case)?;
                shown.push(case);
            }
        }
    }
    anyhow::ensure!(shown.len() >= 20, "{} suggestions are too few to learn from", shown.len());
    let fitted = fit(&shown);
    if let Some(path) = manifest {
        write(path, fitted)?;
    }
    let mut out = std::io::stdout().lock();
    if common.json {
        let rows: Vec<_> = BARS.iter().map(|bar| Row::of(*bar, &shown, holes, fitted)).collect();
        let model = common.model_name(engine.manifest());
        writeln!(out, "{}", json!({"model": model, "holes": holes, "confidence": fitted, "rows": rows}))?;
    } else {
        let model = common.model_name(engine.manifest());
        writeln!(out, "confidence: {model}, {holes} holes, {} suggestions\n", shown.len())?;
        writeln!(out, "{}\n\n{}", table(&shown, holes, fitted), section(fitted))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What is left above a bar.
#[derive(Serialize)]
struct Row {
    bar: f32,
    /// The eagerness at which the product has this bar.
    eagerness: f32,
    /// Of all holes.
    shown: f64,
    /// Of what is shown.
    right: f64,
    /// Of all that would have been right.
    kept: f64,
}

impl Row {
    fn of(bar: f32, shown: &[Shown], holes: usize, fitted: Confidence) -> Self {
        let left = shown.iter().filter(|case| fitted.probability(case.mean, case.least) >= bar);
        let (left, right) =
            left.fold((0, 0), |(left, right), case| (left + 1, right + usize::from(case.right)));
        let all_right = shown.iter().filter(|case| case.right).count();
        let share = |part: usize, whole: usize| part as f64 / whole.max(1) as f64;
        let eagerness = completion::eagerness_for(bar);
        Self {
            bar,
            eagerness,
            shown: share(left, holes),
            right: share(right, left),
            kept: share(right, all_right),
        }
    }
}

fn table(shown: &[Shown], holes: usize, fitted: Confidence) -> String {
    let mut text = format!(
        "{:>12}{:>12}{:>12}{:>14}{:>12}",
        "at least", "eagerness", "shown, %", "of it right, %", "kept, %"
    );
    for bar in BARS {
        let Row { bar, eagerness, shown, right, kept } = Row::of(*bar, shown, holes, fitted);
        let [shown, right, kept] = [shown, right, kept].map(|share| 100.0 * share);
        text += &format!("\n{bar:>12.4}{eagerness:>12.2}{shown:>12.1}{right:>14.1}{kept:>12.1}");
    }
    text
}

fn first_line(text: &str) -> &str {
    text.trim_end().lines().next().unwrap_or_default().trim_end()
}

/// Logistic regression by Newton's method: the likeliest weights of the mean and the least logarithm of probability.
fn fit(cases: &[Shown]) -> Confidence {
    let mut weights = [0.0f64; 3];
    for _ in 0..ROUNDS {
        let mut slope = weights.map(|weight| -RIDGE * weight);
        let mut curve = [[RIDGE, 0.0, 0.0], [0.0, RIDGE, 0.0], [0.0, 0.0, RIDGE]];
        for case in cases {
            let x = [1.0, f64::from(case.mean), f64::from(case.least)];
            let sum: f64 = weights.iter().zip(&x).map(|(weight, x)| weight * x).sum();
            let probability = 1.0 / (1.0 + (-sum).exp());
            for row in 0..3 {
                slope[row] += (f64::from(u8::from(case.right)) - probability) * x[row];
                for column in 0..3 {
                    curve[row][column] += probability * (1.0 - probability) * x[row] * x[column];
                }
            }
        }
        let step = solve(curve, slope);
        weights.iter_mut().zip(step).for_each(|(weight, step)| *weight += step);
    }
    let [base, mean, least] = weights.map(|weight| (weight * 1000.0).round() as f32 / 1000.0);
    Confidence { base, mean, least }
}

/// Solve three equations by elimination; the matrix is positive definite.
fn solve(mut matrix: [[f64; 3]; 3], mut right: [f64; 3]) -> [f64; 3] {
    for pivot in 0..3 {
        for row in pivot + 1..3 {
            let factor = matrix[row][pivot] / matrix[pivot][pivot];
            let of_pivot = matrix[pivot];
            matrix[row]
                .iter_mut()
                .zip(of_pivot)
                .skip(pivot)
                .for_each(|(value, pivots)| *value -= factor * pivots);
            right[row] -= factor * right[pivot];
        }
    }
    for row in (0..3).rev() {
        let known: f64 = (row + 1..3).map(|column| matrix[row][column] * right[column]).sum();
        right[row] = (right[row] - known) / matrix[row][row];
    }
    right
}

/// The manifest's section.
fn section(Confidence { base, mean, least }: Confidence) -> String {
    format!("[confidence]\nbase = {base:?}\nmean = {mean:?}\nleast = {least:?}\n")
}

/// Put the section into a manifest, at its end, in place of an older one.
fn write(path: &Path, fitted: Confidence) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut kept = String::new();
    let mut is_old = false;
    for line in text.lines() {
        if line.starts_with('[') {
            is_old = line.trim() == "[confidence]";
        }
        if !is_old {
            kept += line;
            kept.push('\n');
        }
    }
    std::fs::write(path, format!("{}\n\n{}", kept.trim_end(), section(fitted)))
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cases() -> Vec<Shown> {
        // The surer the model is, the more often it is right: at a mean of -1 half of the time.
        let case = |number: u32| {
            let mean = -((number % 20) as f32) / 10.0;
            Shown { mean, least: 2.0 * mean, right: (number / 20) as f32 <= 20.0 + 15.0 * (mean + 1.0) }
        };
        (0..800).map(case).collect()
    }

    #[test]
    fn what_is_fitted_foretells_how_often_it_is_right() {
        let fitted = fit(&cases());
        for mean in [-0.2f32, -1.0, -1.8] {
            let near: Vec<Shown> =
                cases().into_iter().filter(|case| (case.mean - mean).abs() < 0.05).collect();
            let share = near.iter().filter(|case| case.right).count() as f32 / near.len() as f32;
            let probability = fitted.probability(mean, 2.0 * mean);
            assert!((probability - share).abs() < 0.08, "{mean}: {probability} instead of {share}");
        }
    }

    #[test]
    fn a_higher_bar_shows_less_and_more_of_it_is_right() {
        let (cases, fitted) = (cases(), fit(&cases()));
        let rows: Vec<Row> = BARS.iter().map(|bar| Row::of(*bar, &cases, 1000, fitted)).collect();
        assert_eq!((rows[0].shown, rows[0].kept), (0.8, 1.0));
        assert!(rows.windows(2).all(|pair| pair[1].shown <= pair[0].shown && pair[1].right >= pair[0].right));
    }

    #[test]
    fn the_manifests_section_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.toml");
        std::fs::write(&path, "a = 1\n\n[confidence]\nbase = 1.0\n\n[fim]\nb = 2\n").unwrap();
        write(&path, Confidence { base: 0.5, mean: 2.0, least: 0.25 }).unwrap();
        let expected = "a = 1\n\n[fim]\nb = 2\n\n[confidence]\nbase = 0.5\nmean = 2.0\nleast = 0.25\n";
        assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
    }
}
