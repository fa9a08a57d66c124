//! Whether the model is sure enough of what it wrote for showing it unasked.

use crate::completion::{Trigger, Wish};
use crate::config::Settings;
use crate::engine::{Finish, Output};
use crate::model::manifest::Confidence;

/// Logarithm of the odds of being right that are asked for at eagerness 0 (four of five), and how much lower it gets
/// towards 1. At 0.5, the default, the bar is low on purpose: a line that goes wrong at its end is typed along until there.
const STRICTEST: f32 = 1.386;
const RANGE: f32 = -17.8;

/// A beginning that is by so much below the threshold does not become a suggestion above it: probabilities rise towards
/// the end of a line, but not so far.
const HOPELESS: f32 = -0.4;

/// Whether to show the output. What was asked for is always shown; at eagerness 1 so is everything else.
pub fn enough(output: &Output, wish: &Wish, settings: &Settings, confidence: Confidence) -> bool {
    let probability = confidence.probability(output.mean_logprob, output.min_logprob);
    output.finish != Finish::Unsure && bar(wish, settings).is_none_or(|bar| probability >= bar)
}

/// Mean log-probability under which a beginning is not worth going on with.
pub fn hopeless(wish: &Wish, settings: &Settings, confidence: Confidence) -> Option<f32> {
    bar(wish, settings).map(|bar| confidence.least_mean(bar) + HOPELESS)
}

/// The probability of being right that is asked of what is shown unasked, at this eagerness.
pub fn asked_for(eagerness: f32) -> f32 {
    let odds = (STRICTEST + RANGE * eagerness).exp();
    if eagerness >= 1.0 { 0.0 } else { odds / (1.0 + odds) }
}

fn bar(wish: &Wish, settings: &Settings) -> Option<f32> {
    let all_is_shown = wish.trigger == Trigger::Explicit || wish.unhurried || settings.eagerness >= 1.0;
    (!all_is_shown).then(|| asked_for(settings.eagerness))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL: Confidence = Confidence { base: 1.0, mean: 2.0, least: 0.5 };

    #[test]
    fn what_is_asked_for_needs_no_confidence_and_eagerness_lowers_the_bar() {
        let eagerness = |eagerness: f32| Settings { eagerness, ..Settings::default() };
        let automatic = |share: f32| hopeless(&Wish::default(), &eagerness(share), MODEL);
        assert!(automatic(0.0) > automatic(0.5) && automatic(0.5) > automatic(0.9));
        assert_eq!(automatic(1.0), None);
        let explicit = Wish { trigger: Trigger::Explicit, ..Wish::default() };
        assert_eq!(hopeless(&explicit, &eagerness(0.0), MODEL), None);
        assert!((asked_for(0.0) - 0.8).abs() < 1e-3);
        assert_eq!((bar(&explicit, &eagerness(0.0)), asked_for(1.0)), (None, 0.0));
    }

    #[test]
    fn a_mean_below_the_least_cannot_reach_the_bar() {
        for probability in [0.1, 0.5, 0.8] {
            let least = MODEL.least_mean(probability);
            assert!((MODEL.probability(least, least) - probability).abs() < 1e-3);
        }
    }
}
