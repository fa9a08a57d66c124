//! From single keys to figures.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::cli::bench::keystrokes::subject::Work;
use crate::cli::bench::keystrokes::typist::{Key, Kind, Session};

/// Everything that is reported of one who was typed at.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    pub name: &'static str,
    pub keys: usize,
    /// Keys from the press until what is shown is up to date, in milliseconds. A key that the next one overtook waits on.
    pub wait_ms: Option<Quantiles>,
    /// The same of those keys alone that were answered before the next one.
    pub answered_ms: Option<Quantiles>,
    /// Keys that went along a shown suggestion.
    pub along_ms: Option<Quantiles>,
    /// Share of keys answered before the next one.
    pub answered_before_next: f64,
    /// Share of keys with text for an answer.
    pub shown: f64,
    /// Tokens per key, cursor jumps and accepts left out.
    pub tokens_per_key: Option<Tokens>,
    pub cpu_seconds_per_1000_keys: Option<f64>,
    pub cpu_seconds_per_1000_characters: Option<f64>,
    /// Share of the characters that an accept wrote.
    pub characters_saved: f64,
    pub accepts: usize,
    /// From a stop to idle, in milliseconds.
    pub stop_ms: Option<Quantiles>,
    pub languages: BTreeMap<&'static str, Language>,
    /// Keys of each kind, and how long they wait.
    pub kinds: BTreeMap<&'static str, OfKind>,
    /// The 0th to 100th hundredths of the wait and of all tokens per key, for plots.
    pub wait_hundredths: Vec<f64>,
    pub token_hundredths: Vec<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Quantiles {
    pub p50: f64,
    pub p90: f64,
    pub p95: f64,
    pub p99: f64,
    pub max: f64,
    pub count: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Tokens {
    pub read_median: f64,
    pub read_mean: f64,
    pub written_median: f64,
    pub written_mean: f64,
    /// Read and written in idle time.
    pub idle_mean: f64,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Language {
    pub keys: usize,
    pub answered_before_next: f64,
    pub characters_saved: f64,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub struct OfKind {
    pub wait_ms: Quantiles,
    pub answered_before_next: f64,
}

impl Figures {
    /// `stops`: microseconds from a stop to idle, besides those that typing made.
    pub fn of(name: &'static str, sessions: &[Session], stops: &[u64]) -> Self {
        let keys: Vec<&Key> = sessions.iter().flat_map(|session| &session.keys).collect();
        let along = keys.iter().filter(|key| key.kind == Kind::Along);
        let warm = keys.iter().filter(|key| !matches!(key.kind, Kind::Jump | Kind::Accept));
        let works: Vec<&Work> = warm.filter_map(|key| key.work.as_ref()).collect();
        let characters: usize = sessions.iter().map(|session| session.characters).sum();
        let taken: usize = sessions.iter().map(|session| session.taken).sum();
        let cpu: Option<f64> = sessions.iter().map(|session| session.cpu).sum();
        let stops = keys.iter().filter_map(|key| key.work.as_ref()).flat_map(|work| &work.stops).chain(stops);
        let totals = works.iter().map(|work| (work.read + work.written) as f64).collect();
        Self {
            name,
            keys: keys.len(),
            wait_ms: quantiles(keys.iter().map(|key| key.wait).collect()),
            answered_ms: quantiles(keys.iter().filter_map(|key| key.answered).collect()),
            along_ms: quantiles(along.map(|key| key.wait).collect()),
            answered_before_next: share(&keys, |key| key.answered.is_some()),
            shown: share(&keys, |key| key.shown),
            tokens_per_key: tokens(&works),
            cpu_seconds_per_1000_keys: cpu.map(|cpu| 1000.0 * cpu / keys.len().max(1) as f64),
            cpu_seconds_per_1000_characters: cpu.map(|cpu| 1000.0 * cpu / characters.max(1) as f64),
            characters_saved: taken as f64 / characters.max(1) as f64,
            accepts: keys.iter().filter(|key| key.kind == Kind::Accept).count(),
            stop_ms: quantiles(stops.map(|micros| *micros as f64 / 1000.0).collect()),
            languages: languages(sessions),
            kinds: kinds(&keys),
            wait_hundredths: hundredths(keys.iter().map(|key| key.wait).collect()),
            token_hundredths: hundredths(totals),
        }
    }
}

fn languages(sessions: &[Session]) -> BTreeMap<&'static str, Language> {
    let mut by_language: BTreeMap<&'static str, Vec<&Session>> = BTreeMap::new();
    for session in sessions {
        by_language.entry(session.language).or_default().push(session);
    }
    let of = |sessions: Vec<&Session>| {
        let keys: Vec<&Key> = sessions.iter().flat_map(|session| &session.keys).collect();
        let characters: usize = sessions.iter().map(|session| session.characters).sum();
        let taken: usize = sessions.iter().map(|session| session.taken).sum();
        Language {
            keys: keys.len(),
            answered_before_next: share(&keys, |key| key.answered.is_some()),
            characters_saved: taken as f64 / characters.max(1) as f64,
        }
    };
    by_language.into_iter().map(|(language, sessions)| (language, of(sessions))).collect()
}

fn kinds(keys: &[&Key]) -> BTreeMap<&'static str, OfKind> {
    let names = [
        ("jump", Kind::Jump),
        ("along", Kind::Along),
        ("letter", Kind::Letter),
        ("correction", Kind::Correction),
        ("accept", Kind::Accept),
    ];
    let of = |(name, kind)| {
        let keys: Vec<&Key> = keys.iter().copied().filter(|key| key.kind == kind).collect();
        let wait_ms = quantiles(keys.iter().map(|key| key.wait).collect())?;
        Some((name, OfKind { wait_ms, answered_before_next: share(&keys, |key| key.answered.is_some()) }))
    };
    names.into_iter().filter_map(of).collect()
}

fn tokens(works: &[&Work]) -> Option<Tokens> {
    let median = |of: fn(&Work) -> u64| quantiles(works.iter().map(|work| of(work) as f64).collect());
    let mean =
        |of: fn(&Work) -> u64| works.iter().map(|work| of(work) as f64).sum::<f64>() / works.len() as f64;
    Some(Tokens {
        read_median: median(|work| work.read)?.p50,
        read_mean: mean(|work| work.read),
        written_median: median(|work| work.written)?.p50,
        written_mean: mean(|work| work.written),
        idle_mean: mean(|work| work.idle_read + work.idle_written),
    })
}

fn share(keys: &[&Key], of: impl Fn(&Key) -> bool) -> f64 {
    keys.iter().filter(|key| of(key)).count() as f64 / keys.len().max(1) as f64
}

fn quantiles(mut values: Vec<f64>) -> Option<Quantiles> {
    values.sort_by(f64::total_cmp);
    let max = *values.last()?;
    let at = |share: f64| at(&values, share);
    Some(Quantiles { p50: at(0.5), p90: at(0.9), p95: at(0.95), p99: at(0.99), max, count: values.len() })
}

fn hundredths(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    let range = if values.is_empty() { 0..0 } else { 0..101 };
    range.map(|hundredth| at(&values, f64::from(hundredth) / 100.0)).collect()
}

/// The smallest value that this share of the sorted values does not exceed.
fn at(sorted: &[f64], share: f64) -> f64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_there() {
        let of = quantiles((1..=100).map(f64::from).rev().collect()).unwrap();
        assert_eq!((of.p50, of.p90, of.p95, of.p99, of.max, of.count), (50.0, 90.0, 95.0, 99.0, 100.0, 100));
        assert_eq!(quantiles(vec![7.0]).unwrap().p99, 7.0);
        assert_eq!(quantiles(Vec::new()), None);
        assert_eq!(hundredths(vec![2.0, 1.0])[..2], [1.0, 1.0]);
        assert!(hundredths(Vec::new()).is_empty());
    }

    #[test]
    fn a_key_that_was_overtaken_counts_with_its_whole_wait() {
        let key =
            |kind, answered, wait| Key { kind, interval: 100.0, answered, wait, shown: true, work: None };
        let keys = vec![key(Kind::Jump, Some(10.0), 10.0), key(Kind::Letter, None, 250.0)];
        let session = Session { language: "rust", keys, characters: 20, taken: 5, cpu: Some(0.5) };
        let figures = Figures::of("a", &[session], &[2000]);
        assert_eq!((figures.answered_before_next, figures.characters_saved), (0.5, 0.25));
        assert_eq!(figures.wait_ms.unwrap().max, 250.0);
        assert_eq!(figures.answered_ms.unwrap().max, 10.0);
        assert_eq!(figures.cpu_seconds_per_1000_keys, Some(250.0));
        assert_eq!(figures.stop_ms.unwrap().max, 2.0);
        assert_eq!(figures.languages["rust"].keys, 2);
    }
}
