//! Whether the model is sure enough of what it wrote for showing it unasked.

use crate::completion::{Trigger, Wish};
use crate::config::Settings;
use crate::engine::{Finish, Output};

/// Mean log-probability below which nothing is shown at eagerness 0, and how much lower it gets towards 1.
const STRICTEST: f32 = -0.15;
const RANGE: f32 = -2.5;

/// A beginning that is by so much below the threshold does not become a suggestion above it: probabilities rise towards
/// the end of a line, but not so far.
const HOPELESS: f32 = -0.4;

/// Whether to show the output. What was asked for is always shown; at eagerness 1 so is everything else.
pub fn enough(output: &Output, wish: &Wish, settings: &Settings) -> bool {
    let least = least(wish, settings);
    output.finish != Finish::Unsure && least.is_none_or(|least| output.mean_logprob >= least)
}

/// Mean log-probability under which a beginning is not worth going on with.
pub fn hopeless(wish: &Wish, settings: &Settings) -> Option<f32> {
    least(wish, settings).map(|least| least + HOPELESS)
}

fn least(wish: &Wish, settings: &Settings) -> Option<f32> {
    let all_is_shown = wish.trigger == Trigger::Explicit || wish.unhurried || settings.eagerness >= 1.0;
    (!all_is_shown).then_some(STRICTEST + RANGE * settings.eagerness)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_needs_no_confidence_and_eagerness_lowers_the_bar() {
        let eagerness = |eagerness: f32| Settings { eagerness, ..Settings::default() };
        let automatic = |share: f32| hopeless(&Wish::default(), &eagerness(share));
        assert!(automatic(0.0) > automatic(0.5) && automatic(0.5) > automatic(0.9));
        assert_eq!(automatic(1.0), None);
        let explicit = Wish { trigger: Trigger::Explicit, ..Wish::default() };
        assert_eq!(hopeless(&explicit, &eagerness(0.0)), None);
    }
}
