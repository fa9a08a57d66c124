//! The figures that matter, row by row: ours, the peer's, their ratio, and the goal.

use crate::cli::bench::keystrokes::figures::Figures;

pub struct Row {
    pub key: &'static str,
    pub name: &'static str,
    pub values: Vec<Option<f64>>,
    /// The first value by the second.
    pub ratio: Option<f64>,
    pub goal: &'static str,
    pub decimals: usize,
}

/// The table of these, ours first.
pub fn rows(figures: &[Figures]) -> Vec<Row> {
    let row = |key, name, goal, decimals, of: fn(&Figures) -> Option<f64>| {
        let values: Vec<Option<f64>> = figures.iter().map(of).collect();
        let ratio = match values[..] {
            [Some(ours), Some(peers)] if peers > 0.0 => Some(ours / peers),
            _ => None,
        };
        Row { key, name, values, ratio, goal, decimals }
    };
    vec![
        row("wait_p50", "key to answer, p50, ms", "ratio ≤ 0.2", 1, |f| Some(f.wait_ms?.p50)),
        row("wait_p90", "key to answer, p90, ms", "", 1, |f| Some(f.wait_ms?.p90)),
        row("wait_p95", "key to answer, p95, ms", "ratio ≤ 0.33", 1, |f| Some(f.wait_ms?.p95)),
        row("wait_p99", "key to answer, p99, ms", "", 1, |f| Some(f.wait_ms?.p99)),
        row("answered_p50", "of keys answered in time, p50, ms", "", 1, |f| Some(f.answered_ms?.p50)),
        row("answered_p95", "of keys answered in time, p95, ms", "", 1, |f| Some(f.answered_ms?.p95)),
        row("answered_before_next", "answered before the next key, %", "≥ 95", 1, |f| {
            Some(100.0 * f.answered_before_next)
        }),
        row("shown", "keys with a suggestion, %", "", 1, |f| Some(100.0 * f.shown)),
        row("along_p99", "along a suggestion, p99, ms", "≤ 2", 2, |f| Some(f.along_ms?.p99)),
        row("stop_p99", "stop to idle, p99, ms", "≤ 10", 1, |f| Some(f.stop_ms?.p99)),
        row("read_median", "tokens read per key, median", "≤ 3", 1, |f| {
            Some(f.tokens_per_key?.read_median)
        }),
        row("read_mean", "tokens read per key, mean", "", 1, |f| Some(f.tokens_per_key?.read_mean)),
        row("written_mean", "tokens written per key, mean", "", 1, |f| Some(f.tokens_per_key?.written_mean)),
        row("idle_mean", "tokens in idle time per key, mean", "", 1, |f| Some(f.tokens_per_key?.idle_mean)),
        row("cpu_per_1000_keys", "CPU seconds per 1000 keys", "ratio ≤ 0.5", 1, |f| {
            f.cpu_seconds_per_1000_keys
        }),
        row("cpu_per_1000_characters", "CPU seconds per 1000 characters", "", 1, |f| {
            f.cpu_seconds_per_1000_characters
        }),
        row("characters_saved", "characters saved, %", "", 1, |f| Some(100.0 * f.characters_saved)),
        row("keys", "keys pressed", "", 0, |f| Some(f.keys as f64)),
    ]
}

/// The table as text.
pub fn text(figures: &[Figures]) -> String {
    let mut text = format!("{:36}", "");
    for figures in figures {
        text += &format!("{:>12}", figures.name);
    }
    text += &format!("{:>9}   goal\n", if figures.len() == 2 { "ratio" } else { "" });
    for row in rows(figures) {
        text += &format!("{:36}", row.name);
        for value in &row.values {
            text += &format!("{:>12}", show(*value, row.decimals));
        }
        let ratio = if row.ratio.is_some() { show(row.ratio, 3) } else { String::new() };
        text += format!("{ratio:>9}   {}", row.goal).trim_end();
        text.push('\n');
    }
    text
}

pub fn show(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.decimals$}"))
}
