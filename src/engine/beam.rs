//! Beam search: the likeliest few ways to write on, side by side.

use std::time::Instant;

use crate::engine::healing::Vocabulary;
use crate::engine::tokenizer::TextStream;
use crate::engine::{Engine, Limits, Prompt};
use crate::interrupt::Interrupt;
use crate::model::Stopped;

/// One way to write on.
#[derive(Clone, Debug)]
pub struct Hypothesis {
    pub text: String,
    /// Number of tokens written.
    pub tokens: usize,
    /// Natural logarithm of its probability.
    pub logprob: f32,
}

impl Hypothesis {
    /// The logarithm by which ways of different length are compared.
    pub fn mean_logprob(&self) -> f32 {
        self.logprob / self.tokens.max(1) as f32
    }
}

/// One that is still written.
#[derive(Clone)]
struct Beam {
    tokens: Vec<u32>,
    bytes: Vec<u8>,
    logprob: f32,
}

impl Beam {
    /// Its text without what stood there before, never half a character.
    fn text(&self, begun: usize) -> String {
        let mut text = TextStream::default();
        text.push(self.bytes.get(begun..).unwrap_or_default());
        text.into_text()
    }

    fn finished(&self, begun: usize) -> Hypothesis {
        Hypothesis { text: self.text(begun), tokens: self.tokens.len(), logprob: self.logprob }
    }
}

impl Engine {
    /// Up to `width` ways to write on until `ends` holds of each one's text, the likeliest by the mean of its tokens
    /// first. The likeliest `width` of all ways are followed from token to token; what is not whole when the time is over
    /// is left out. A remote model doesn't tell its probabilities.
    ///
    /// # Errors
    /// Only real failures; after an interrupt, what was finished until then.
    pub fn hypotheses(
        &mut self,
        prompt: Prompt,
        width: usize,
        limits: Limits,
        ends: &mut dyn FnMut(&str) -> bool,
        interrupt: &Interrupt,
    ) -> anyhow::Result<Vec<Hypothesis>> {
        if self.remote.is_some() {
            return Ok(Vec::new());
        }
        let begun = prompt.begun;
        let max_tokens = limits.max_tokens.min(self.capacity().saturating_sub(prompt.tokens.len()));
        let deadline = limits.time.map(|time| Instant::now() + time);
        let mut live = vec![Beam { tokens: Vec::new(), bytes: Vec::new(), logprob: 0.0 }];
        let mut finished: Vec<Hypothesis> = Vec::new();
        for _ in 0..max_tokens {
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                live.clear();
                break;
            }
            let mut next: Vec<(Beam, bool)> = Vec::new();
            for beam in &live {
                let known = [prompt.tokens, &beam.tokens].concat();
                let cached = self.ledger.keep_shared(&known);
                match self.ledger.extend(&known[cached..], interrupt).map(|_| ()) {
                    Ok(()) => {}
                    Err(Stopped::Interrupted) => return Ok(finished),
                    Err(Stopped::Failed(error)) => return Err(error),
                }
                next.extend(self.continuations(beam, begun, width));
            }
            next.sort_by(|(a, _), (b, _)| b.logprob.total_cmp(&a.logprob));
            next.truncate(width - finished.len());
            live.clear();
            for (beam, is_end) in next {
                if is_end || ends(&beam.text(begun.len())) {
                    finished.push(beam.finished(begun.len()));
                } else {
                    live.push(beam);
                }
            }
            if live.is_empty() {
                break;
            }
        }
        finished.extend(live.iter().map(|beam| beam.finished(begun.len())));
        finished.sort_by(|a, b| b.mean_logprob().total_cmp(&a.mean_logprob()));
        Ok(finished)
    }

    /// The likeliest tokens after a beam whose logits were just computed; whether each is the end.
    fn continuations(&self, beam: &Beam, begun: &[u8], width: usize) -> Vec<(Beam, bool)> {
        let logits = self.ledger.network().logits();
        let wanted = begun.get(beam.bytes.len()..).unwrap_or_default();
        let mut candidates: Vec<u32> = if wanted.is_empty() {
            (0..logits.len() as u32).collect()
        } else {
            let vocabulary = self.vocabulary.get_or_init(|| Vocabulary::of(&self.tokenizer));
            vocabulary.fitting(&self.tokenizer, wanted).collect()
        };
        let logit = |token: u32| logits.get(token as usize).copied().unwrap_or(f32::NEG_INFINITY);
        let highest = candidates.iter().map(|token| logit(*token)).fold(f32::NEG_INFINITY, f32::max);
        let total: f32 = candidates.iter().map(|token| (logit(*token) - highest).exp()).sum();
        let most = width.min(candidates.len());
        if most < candidates.len() {
            candidates.select_nth_unstable_by(most, |a, b| logit(*b).total_cmp(&logit(*a)));
        }
        let follow = |token: &u32| {
            let is_end = self.tokenizer.is_end(*token);
            let mut beam = beam.clone();
            beam.logprob += logit(*token) - highest - total.ln();
            if !is_end {
                beam.tokens.push(*token);
                beam.bytes.extend_from_slice(self.tokenizer.piece(*token));
            }
            (beam, is_end)
        };
        candidates[..most].iter().map(follow).collect()
    }
}
