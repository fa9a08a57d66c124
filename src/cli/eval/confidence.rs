//! How far the model's own probabilities can be trusted: what a suggestion's are worth is learnt from holes in real packages,
//! for the rule that says which suggestions are shown unasked.
//!
//! It is checked on packages that it was not learnt from: what is learnt on half of them foretells the other half's, and the
//! other way round. What is kept is learnt from all.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};

use crate::cli::eval::Common;
use crate::cli::eval::holes;
use crate::cli::eval::places::Kind;
use crate::cli::eval::report::Cases;
use crate::cli::eval::reserve::Data;
use crate::cli::eval::similarity::common_prefix;
use crate::cli::{Global, loading};
use crate::completion::{self, Attempt};
use crate::model::manifest::Confidence;

/// Rounds of Newton's method; it is at rest long before.
const ROUNDS: usize = 50;
/// Keeps the fit finite where a few cases are told apart without a fault.
const RIDGE: f64 = 1e-3;
/// Settings of eagerness at which the table shows what is left; 0.5 is the default.
const EAGERNESS: &[f32] = &[0.0, 0.1, 0.25, 0.4, 0.5, 0.75, 1.0];
/// Parts of equally many suggestions in which foretold and seen shares are compared.
const BINS: usize = 5;

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

/// One suggestion: how sure the model was of it, and how much of it was right.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Shown {
    mean: f32,
    least: f32,
    /// Its first line was.
    right: bool,
    /// Characters at its beginning that were: they would be typed along it.
    along: usize,
}

/// For `--cases`.
#[derive(Serialize)]
struct Case<'a> {
    half: usize,
    language: &'a str,
    package: &'a str,
    #[serde(flatten)]
    shown: Shown,
}

/// The holes of half of the packages.
#[derive(Default)]
struct Half {
    packages: BTreeSet<String>,
    holes: usize,
    shown: Vec<Shown>,
}

/// A suggestion with the probability of being right that was foretold without its package.
type Foretold = (f32, Shown);

pub fn run(global: &Global, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { data, kind, manifest, common } = arguments;
    let settings = global.settings();
    let mut engine = loading::engine(&settings)?;
    let mut cases = Cases::create(common)?;
    let mut halves: [Half; 2] = Default::default();
    for part in data.read()? {
        for (number, part) in part.halves().iter().enumerate() {
            let half = &mut halves[number];
            for kind in kind {
                for hole in holes::chosen(part, *kind, common) {
                    half.holes += 1;
                    half.packages.insert(format!("{}/{}", part.name, hole.package()));
                    let attempt = hole.fill(part, *kind, &mut engine, &settings)?;
                    let Some(suggestion) = &attempt.suggestion else { continue };
                    let shown = Shown::of(&attempt, &suggestion.text, hole.expected());
                    let (language, package) = (part.name.as_str(), hole.package());
                    cases.write(&Case { half: number, language, package, shown })?;
                    half.shown.push(shown);
                }
            }
        }
    }
    let fewest = halves.iter().map(|half| half.shown.len()).min().unwrap_or(0);
    anyhow::ensure!(fewest >= 20, "{fewest} suggestions in half of the packages are too few to learn from");
    let foretold = foretold(&halves);
    let fitted = fit(&halves.each_ref().map(|half| half.shown.as_slice()).concat());
    if let Some(path) = manifest {
        write(path, fitted)?;
    }
    let model = common.model_name(engine.manifest());
    let holes: usize = halves.iter().map(|half| half.holes).sum();
    let rows: Vec<Row> = EAGERNESS.iter().map(|eagerness| Row::of(*eagerness, holes, &foretold)).collect();
    let bins = calibration(&foretold);
    let mut out = std::io::stdout().lock();
    if common.json {
        let halves = halves.each_ref().map(Half::report);
        let report = json!({
            "model": model, "holes": holes, "halves": halves, "confidence": fitted, "calibration": bins, "rows": rows,
        });
        writeln!(out, "{report}")?;
    } else {
        writeln!(out, "confidence: {model}, {holes} holes, {} suggestions", foretold.len())?;
        let [first, second] = halves.each_ref().map(|half| half.packages.len());
        writeln!(
            out,
            "{first} packages foretold by what was learnt on {second} others, and these by those\n"
        )?;
        writeln!(out, "{}\n\n{}\n\n{}", calibration_table(&bins), table(&rows), section(fitted))?;
    }
    Ok(ExitCode::SUCCESS)
}

impl Shown {
    fn of(attempt: &Attempt, text: &str, expected: &str) -> Self {
        Self {
            mean: attempt.mean_logprob,
            least: attempt.min_logprob,
            right: first_line(text) == first_line(expected),
            along: common_prefix(first_line(text), first_line(expected)),
        }
    }
}

impl Half {
    fn report(&self) -> Value {
        let Self { packages, holes, shown } = self;
        json!({"packages": packages, "holes": holes, "suggestions": shown.len(), "confidence": fit(shown)})
    }
}

/// Each half's suggestions by what was learnt on the other.
fn foretold(halves: &[Half; 2]) -> Vec<Foretold> {
    let [first, second] = halves;
    let of = |half: &Half, other: &Half| -> Vec<Foretold> {
        let learnt = fit(&other.shown);
        half.shown.iter().map(|case| (learnt.probability(case.mean, case.least), *case)).collect()
    };
    [of(first, second), of(second, first)].concat()
}

/// Suggestions of about the same foretold probability.
#[derive(Serialize)]
struct Bin {
    suggestions: usize,
    /// Mean of the probabilities.
    foretold: f64,
    /// The share that was right.
    seen: f64,
}

/// The suggestions by their foretold probability, in parts of equal size, the lowest first.
fn calibration(cases: &[Foretold]) -> Vec<Bin> {
    let mut cases = cases.to_vec();
    cases.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let bin = |number: usize| {
        let cases = &cases[number * cases.len() / BINS..(number + 1) * cases.len() / BINS];
        let count = cases.len().max(1) as f64;
        Bin {
            suggestions: cases.len(),
            foretold: cases.iter().map(|(foretold, _)| f64::from(*foretold)).sum::<f64>() / count,
            seen: cases.iter().filter(|(_, case)| case.right).count() as f64 / count,
        }
    };
    (0..BINS).map(bin).collect()
}

/// What is shown unasked at an eagerness.
#[derive(Serialize)]
struct Row {
    eagerness: f32,
    /// The probability that it asks for.
    least: f32,
    /// Of all holes.
    shown: f64,
    /// Of what is shown.
    right: f64,
    /// Of all that would have been right.
    kept: f64,
    /// Of all characters that could be typed along.
    along: f64,
}

impl Row {
    fn of(eagerness: f32, holes: usize, cases: &[Foretold]) -> Self {
        let least = completion::asked_for(eagerness);
        let left = cases.iter().filter(|(foretold, _)| *foretold >= least);
        let left: Vec<&Shown> = left.map(|(_, case)| case).collect();
        let right = left.iter().filter(|case| case.right).count();
        let all_right = cases.iter().filter(|(_, case)| case.right).count();
        let along: usize = left.iter().map(|case| case.along).sum();
        let all_along: usize = cases.iter().map(|(_, case)| case.along).sum();
        let share = |part: usize, whole: usize| part as f64 / whole.max(1) as f64;
        Self {
            eagerness,
            least,
            shown: share(left.len(), holes),
            right: share(right, left.len()),
            kept: share(right, all_right),
            along: share(along, all_along),
        }
    }
}

fn calibration_table(bins: &[Bin]) -> String {
    let mut text = format!("{:>12}{:>14}{:>12}", "suggestions", "foretold, %", "right, %");
    for Bin { suggestions, foretold, seen } in bins {
        text += &format!("\n{suggestions:>12}{:>14.1}{:>12.1}", 100.0 * foretold, 100.0 * seen);
    }
    text
}

fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:>9}{:>11}{:>11}{:>17}{:>11}{:>17}",
        "eagerness", "at least", "shown, %", "of it right, %", "kept, %", "typed along, %"
    );
    for Row { eagerness, least, shown, right, kept, along } in rows {
        let [shown, right, kept, along] = [shown, right, kept, along].map(|share| 100.0 * share);
        text +=
            &format!("\n{eagerness:>9.2}{least:>11.4}{shown:>11.1}{right:>17.1}{kept:>11.1}{along:>17.1}");
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
            let right = (number / 20) as f32 <= 20.0 + 15.0 * (mean + 1.0);
            Shown { mean, least: 2.0 * mean, right, along: 1 }
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

    /// Two halves that are alike, so that each foretells the other.
    fn checked() -> Vec<Foretold> {
        foretold(&[(); 2].map(|()| Half { holes: 500, shown: cases(), ..Half::default() }))
    }

    #[test]
    fn more_eagerness_shows_more_and_less_of_it_is_right() {
        let cases = checked();
        let row = |eagerness: &f32| Row::of(*eagerness, 2000, &cases);
        let rows: Vec<Row> = EAGERNESS.iter().map(row).collect();
        let last = rows.last().unwrap();
        assert_eq!((last.shown, last.kept, last.along), (0.8, 1.0, 1.0));
        assert!(rows.windows(2).all(|pair| pair[1].shown >= pair[0].shown && pair[1].right <= pair[0].right));
        assert!(rows[0].right > last.right);
    }

    #[test]
    fn bins_hold_all_and_see_what_was_foretold() {
        let bins = calibration(&checked());
        assert_eq!(bins.iter().map(|bin| bin.suggestions).collect::<Vec<_>>(), [320; BINS]);
        assert!(bins.iter().all(|bin| (bin.foretold - bin.seen).abs() < 0.1));
        assert!(bins.windows(2).all(|pair| pair[1].foretold > pair[0].foretold));
    }

    #[test]
    fn what_one_half_says_is_not_learnt_from_itself() {
        let sure = |right| Half { shown: vec![Shown { right, ..Shown::default() }; 40], ..Half::default() };
        let foretold = foretold(&[sure(true), sure(false)]);
        assert!(foretold.iter().all(|(foretold, case)| (*foretold < 0.1) == case.right), "{foretold:?}");
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
