//! A hole as tokens and the model's raw answer, without the product's rules: what a benchmark asks of a model.

use crate::engine::{Engine, Flow, Limits, Output, Sampling};
use crate::interrupt::Interrupt;
use crate::model::manifest::FimOrder;

/// Asks one engine to fill holes.
pub struct Filler {
    engine: Engine,
    /// Ids of the markers; without them the model sees the text before the hole alone.
    markers: Option<Markers>,
    mid_token: bool,
}

struct Markers {
    prefix: u32,
    suffix: u32,
    middle: u32,
    file: Option<u32>,
    order: FimOrder,
}

/// The text around a hole.
#[derive(Clone, Copy)]
pub struct Hole<'a> {
    /// Shown before the text where the model was trained so.
    pub path: &'a str,
    pub prefix: &'a str,
    pub suffix: &'a str,
}

impl Filler {
    /// Prompts in this order, or in the model's own.
    pub fn new(engine: Engine, order: Option<FimOrder>) -> Self {
        let fim = engine.manifest().fim.clone();
        let mid_token = fim.as_ref().is_some_and(|fim| fim.mid_token);
        let markers = fim.and_then(|fim| {
            Some(Markers {
                prefix: engine.special(&fim.prefix)?,
                suffix: engine.special(&fim.suffix)?,
                middle: engine.special(&fim.middle)?,
                file: fim.file.and_then(|file| engine.special(&file)),
                order: order.unwrap_or(fim.order),
            })
        });
        Self { engine, markers, mid_token }
    }

    /// The engine.
    pub fn engine(&mut self) -> &mut Engine {
        &mut self.engine
    }

    /// How prompts are made, for reports.
    pub fn format(&self) -> &'static str {
        match self.markers.as_ref().map(|markers| markers.order) {
            None => "prefix only",
            Some(FimOrder::PrefixSuffixMiddle) => "PSM",
            Some(FimOrder::SuffixPrefixMiddle) => "SPM",
        }
    }

    /// Whether the model sees the text after the hole.
    pub fn sees_suffix(&self) -> bool {
        self.markers.is_some()
    }

    /// Write greedily until the model ends, `stop` holds, or `max_tokens` are written. The text is that of the hole: white
    /// space that was kept from the model is taken off.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn fill(
        &mut self,
        hole: Hole,
        max_tokens: usize,
        stop: &mut dyn FnMut(&str) -> bool,
    ) -> anyhow::Result<Output> {
        // Most tokens bring their space along: a model that was not trained to begin inside one is not shown half of it.
        let kept = if self.shows_space() { hole.prefix } else { hole.prefix.trim_end() };
        let space = &hole.prefix[kept.len()..];
        let room = self.engine.capacity().saturating_sub(max_tokens + 64);
        let tokens = self.prompt(Hole { prefix: kept, ..hole }, room);
        let limits = Limits { max_tokens, time: None };
        let mut observe = |text: &str| match stop(without(space, text)) {
            true => Flow::Stop,
            false => Flow::Continue,
        };
        let mut output =
            self.engine.run(&tokens, limits, Sampling::Greedy, &Interrupt::new(), &mut observe)?;
        output.text = without(space, &output.text).to_owned();
        Ok(output)
    }

    /// Whether the white space before the hole is part of the prompt: where the middle doesn't follow it directly, or the
    /// model was trained so.
    fn shows_space(&self) -> bool {
        let order = self.markers.as_ref().map(|markers| markers.order);
        self.mid_token || order == Some(FimOrder::PrefixSuffixMiddle)
    }

    /// Each part is tokenised by itself; markers are put in by id. What is too long loses what is farthest.
    fn prompt(&self, hole: Hole, room: usize) -> Vec<u32> {
        let mut prefix = self.engine.tokenize(hole.prefix);
        let Some(markers) = &self.markers else {
            prefix.drain(..prefix.len().saturating_sub(room));
            return if prefix.is_empty() { self.engine.tokenize("\n") } else { prefix };
        };
        let mut suffix = self.engine.tokenize(hole.suffix);
        suffix.truncate((room / 3).max(room.saturating_sub(prefix.len())));
        prefix.drain(..prefix.len().saturating_sub(room - suffix.len()));

        let mut tokens = Vec::with_capacity(prefix.len() + suffix.len() + 16);
        if let Some(file) = markers.file {
            tokens.push(file);
            tokens.extend(self.engine.tokenize(&format!("{}\n", hole.path)));
        }
        tokens.push(markers.prefix);
        match markers.order {
            FimOrder::PrefixSuffixMiddle => {
                tokens.extend(prefix);
                tokens.push(markers.suffix);
                tokens.extend(suffix);
                tokens.push(markers.middle);
            }
            FimOrder::SuffixPrefixMiddle => {
                tokens.push(markers.suffix);
                tokens.extend(suffix);
                tokens.push(markers.middle);
                tokens.extend(prefix);
            }
        }
        tokens
    }
}

/// The text without the white space that it repeats. Where that ends a line, what stands before the text's first line end
/// belongs to another line.
fn without<'a>(space: &str, text: &'a str) -> &'a str {
    match (text.strip_prefix(space), text.split_once('\n')) {
        (Some(rest), _) => rest,
        (None, Some((_, rest))) if space.contains('\n') => rest,
        (None, None) if space.contains('\n') => "",
        (None, _) => text.trim_start_matches([' ', '\t']),
    }
}

#[cfg(test)]
mod tests {
    use super::without;

    #[test]
    fn white_space_that_was_not_shown_is_taken_off() {
        assert_eq!(without("", " a"), " a");
        assert_eq!(without("  ", "  a"), "a");
        assert_eq!(without("    ", " a"), "a");
        assert_eq!(without("\n", "\n    a"), "    a");
        assert_eq!(without("\n\n", " # no\n    a"), "    a");
        assert_eq!(without("\n", " # no"), "");
    }
}
