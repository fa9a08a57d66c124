//! Whether the model is sure enough of what it wrote for showing it unasked.

use crate::completion::{Trigger, Wish};
use crate::config::Settings;
use crate::engine::Output;

/// Mean log-probability below which nothing is shown at eagerness 0, and how much lower it gets towards 1.
const STRICTEST: f32 = -0.15;
const RANGE: f32 = -2.5;

/// Whether to show the output. What was asked for is always shown; at eagerness 1 so is everything else.
pub fn enough(output: &Output, wish: &Wish, settings: &Settings) -> bool {
    if wish.trigger == Trigger::Explicit || wish.unhurried || settings.eagerness >= 1.0 {
        return true;
    }
    output.mean_logprob >= STRICTEST + RANGE * settings.eagerness
}
