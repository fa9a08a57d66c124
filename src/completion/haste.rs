//! When a block that is still being written is shown: its whole lines, once a quarter of the time is over.

use std::time::{Duration, Instant};

use crate::completion::{Extent, Trigger, Wish};
use crate::config::Settings;

/// The rule for one decode.
pub struct Haste {
    /// How long writing may take before whole lines are enough; `None`: as long as the whole needs.
    patience: Option<Duration>,
    /// When the first token was written.
    begun: Option<Instant>,
    /// It was this rule that ended the decode.
    pub cut_short: bool,
}

impl Haste {
    /// The rule for this wish; there is none where nobody waits.
    pub fn new(extent: Extent, wish: &Wish, settings: &Settings, waits: bool) -> Self {
        let hurried =
            waits && !wish.unhurried && wish.trigger == Trigger::Automatic && extent == Extent::Block;
        Self { patience: hurried.then_some(settings.budget / 4), begun: None, cut_short: false }
    }

    /// Whether what stands there is to be shown now.
    pub fn is_enough(&mut self, text: &str) -> bool {
        let Some(patience) = self.patience else { return false };
        let begun = *self.begun.get_or_insert_with(Instant::now);
        let whole_lines = text.rfind('\n').is_some_and(|end| !text[..end].trim().is_empty());
        self.cut_short = whole_lines && begun.elapsed() >= patience;
        self.cut_short
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_lines_are_enough_when_the_time_is_over() {
        let settings = Settings { budget: Duration::ZERO, ..Settings::default() };
        let mut haste = Haste::new(Extent::Block, &Wish::default(), &settings, true);
        assert!(!haste.is_enough("\n    a"));
        assert!(haste.is_enough("\n    a();\n") && haste.cut_short);
        let patient = Settings { budget: Duration::from_secs(3600), ..Settings::default() };
        assert!(!Haste::new(Extent::Block, &Wish::default(), &patient, true).is_enough("a\nb"));
        for (extent, waits) in [(Extent::Line, true), (Extent::Block, false)] {
            assert!(!Haste::new(extent, &Wish::default(), &settings, waits).is_enough("a\nb"));
        }
    }
}
