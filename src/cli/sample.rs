//! A few keys typed into a sample text, for what one key costs on this machine.

use std::time::Instant;

use serde_json::{Value, json};

use crate::completion::{self, Desk, Wish};
use crate::config::Settings;
use crate::documents::Snapshot;
use crate::engine::Engine;
use crate::interrupt::Interrupt;

/// The text, and what is typed at `$0`.
const TEXT: &str = "use std::collections::HashMap;\n\n/// How often each word stands in a text.\npub fn count(text: &str) -> HashMap<&str, usize> {\n    let mut counts = HashMap::new();\n    for word in text.split_whitespace() {\n        $0\n    }\n    counts\n}\n\n#[test]\nfn words_are_counted() {\n    assert_eq!(count(\"a b a\")[\"a\"], 2);\n}\n";
const TYPED: &str = "*counts.entry(word)";

/// Medians over the keys: tokens of the prompt that were computed, and milliseconds until the answer.
///
/// # Errors
/// When the engine fails.
pub fn keys(engine: &mut Engine, settings: &Settings) -> anyhow::Result<Value> {
    let (before, after) = TEXT.split_once("$0").unwrap_or((TEXT, ""));
    let mut desk = Desk::default();
    let (mut read, mut times, mut drafted, mut taken) = (Vec::new(), Vec::new(), 0, 0);
    for (typed, _) in TYPED.char_indices() {
        let text = format!("{before}{}{after}", &TYPED[..typed]);
        let snapshot = Snapshot::detached(None, "rust", &text);
        let started = Instant::now();
        let offset = before.len() + typed;
        let (wish, never) = (Wish::default(), Interrupt::new());
        let attempt = completion::complete(&snapshot, offset, &wish, engine, &mut desk, settings, &never)?;
        // The first key finds nothing in the cache.
        if typed > 0 {
            read.push(attempt.prompt_tokens - attempt.cached_tokens);
            times.push(started.elapsed().as_micros());
        }
        drafted += attempt.drafted;
        taken += attempt.drafts_taken;
    }
    read.sort_unstable();
    times.sort_unstable();
    Ok(json!({
        "tokens_read_median": read[read.len() / 2],
        "answer_ms_median": times[times.len() / 2] as f64 / 1e3,
        "drafts_proposed": drafted,
        "drafts_taken": taken,
    }))
}
