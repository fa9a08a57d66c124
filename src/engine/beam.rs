//! The likeliest few ways to write on, side by side.

use std::borrow::Cow;
use std::sync::OnceLock;
use std::time::Instant;

use crate::engine::healing::Vocabulary;
use crate::engine::run::ends_in_word;
use crate::engine::tokenizer::{TextStream, Tokenizer};
use crate::engine::{Engine, Finish, Limits, Prompt, sampler};
use crate::interrupt::Interrupt;
use crate::model::{Stopped, Tree, Wanted};

/// What is by so much less probable than the best, in natural logarithms, is no alternative to it.
pub const UNLIKELY: f32 = 5.0;

/// Where ways part from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fork {
    /// At every token: a beam search, in which the likeliest of all ways go on.
    Anywhere,
    /// At the first new text, where it is not [`UNLIKELY`]; then each goes on as the model would.
    Opening,
}

/// One way to write on.
#[derive(Clone, Debug, Default)]
pub struct Hypothesis {
    pub text: String,
    /// Number of tokens written.
    pub tokens: usize,
    /// Natural logarithm of its probability.
    pub logprob: f32,
    pub finish: Finish,
    /// It was cut short within a word, as far as is known.
    pub half_word: bool,
}

impl Hypothesis {
    /// The logarithm by which ways of different length are compared.
    pub fn mean_logprob(&self) -> f32 {
        self.logprob / self.tokens.max(1) as f32
    }
}

/// One that is still written.
#[derive(Clone, Default)]
struct Beam {
    /// Its last token that was put into the tree.
    node: Option<usize>,
    tokens: usize,
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

    fn finished(&self, begun: usize, finish: Finish) -> Hypothesis {
        let text = self.text(begun);
        let half_word = matches!(finish, Finish::Length | Finish::Deadline) && ends_in_word(&text);
        Hypothesis { text, tokens: self.tokens, logprob: self.logprob, finish, half_word }
    }
}

impl Engine {
    /// Up to `width` ways to write on until `ends` holds of each one's text, the likeliest by the mean of its tokens
    /// first. All of them take each step in one pass. A remote model doesn't tell its probabilities.
    ///
    /// # Errors
    /// Only real failures; after an interrupt, what was finished until then.
    pub fn hypotheses(
        &mut self,
        prompt: Prompt,
        fork: Fork,
        width: usize,
        limits: Limits,
        ends: &mut dyn FnMut(&str) -> bool,
        interrupt: &Interrupt,
    ) -> anyhow::Result<Vec<Hypothesis>> {
        if self.remote.is_some() || width == 0 || limits.max_tokens == 0 {
            return Ok(Vec::new());
        }
        let begun = prompt.begun.len();
        let room = self.capacity().saturating_sub(prompt.tokens.len()).min(Tree::ROOM);
        let deadline = limits.time.map(|time| Instant::now() + time);
        let Self { ledger, tokenizer, vocabulary, .. } = self;
        let follow = Follow { tokenizer, vocabulary, begun: prompt.begun, fork, width };
        let size = ledger.network().vocabulary();
        let mut finished: Vec<Hypothesis> = Vec::new();

        let cached = ledger.keep_shared(prompt.tokens);
        let mut next = match ledger.extend(&prompt.tokens[cached..], Wanted::All, interrupt) {
            Ok(logits) => follow.all(&Beam::default(), logits)?,
            Err(Stopped::Interrupted) => return Ok(finished),
            Err(Stopped::Failed(error)) => return Err(error),
        };
        let mut tree = Tree::default();
        for written in 1.. {
            next.sort_by(|a, b| b.beam.logprob.total_cmp(&a.beam.logprob));
            if fork == Fork::Opening && tree.is_empty() {
                let least = next.first().map_or(0.0, |likeliest| likeliest.beam.logprob - UNLIKELY);
                next.retain(|step| step.beam.logprob >= least);
            }
            next.truncate(width - finished.len());
            let mut live = Vec::new();
            for step in next {
                match step.token {
                    None => finished.push(step.beam.finished(begun, Finish::End)),
                    Some(_) if ends(&step.beam.text(begun)) => {
                        finished.push(step.beam.finished(begun, Finish::Stop));
                    }
                    Some(_) => live.push(step),
                }
            }
            let is_late = || deadline.is_some_and(|deadline| Instant::now() >= deadline);
            let cut_short = match written >= limits.max_tokens || tree.len() + live.len() > room {
                true => Some(Finish::Length),
                false => is_late().then_some(Finish::Deadline),
            };
            if let Some(finish) = cut_short {
                finished.extend(live.iter().map(|step| step.beam.finished(begun, finish)));
                break;
            }
            if live.is_empty() {
                break;
            }
            for Step { beam, token } in &mut live {
                beam.node = token.map(|token| tree.push(beam.node, token));
            }
            let rows = match ledger.extend_tree(&mut tree, interrupt) {
                Ok(rows) => rows.chunks_exact(size),
                Err(Stopped::Interrupted) => break,
                Err(Stopped::Failed(error)) => return Err(error),
            };
            next = Vec::new();
            for (step, logits) in live.iter().zip(rows) {
                next.extend(follow.all(&step.beam, logits)?);
            }
        }
        finished.sort_by(|a, b| b.mean_logprob().total_cmp(&a.mean_logprob()));
        Ok(finished)
    }
}

/// A way and the token that was its last step; none where it came to its end.
struct Step {
    beam: Beam,
    token: Option<u32>,
}

/// How ways go on.
struct Follow<'a> {
    tokenizer: &'a Tokenizer,
    vocabulary: &'a OnceLock<Vocabulary>,
    begun: &'a [u8],
    fork: Fork,
    width: usize,
}

impl Follow<'_> {
    /// The likeliest steps after `beam`, after which the network gave these logits.
    fn all(&self, beam: &Beam, logits: &[f32]) -> anyhow::Result<Vec<Step>> {
        let wanted = self.begun.get(beam.bytes.len()..).unwrap_or_default();
        let fitting: Option<Vec<u32>> = (!wanted.is_empty()).then(|| {
            let vocabulary = self.vocabulary.get_or_init(|| Vocabulary::of(self.tokenizer));
            let known = |token: &u32| (*token as usize) < logits.len();
            vocabulary.fitting(self.tokenizer, wanted).filter(known).collect()
        });
        let values = match &fitting {
            Some(tokens) => Cow::Owned(tokens.iter().map(|token| logits[*token as usize]).collect()),
            None => Cow::Borrowed(logits),
        };
        if values.is_empty() {
            return Ok(Vec::new());
        }
        let total = sampler::log_total(&values)?;
        let step = |place: usize| {
            let token = fitting.as_ref().map_or(place as u32, |tokens| tokens[place]);
            let mut beam = Beam { logprob: beam.logprob + values[place] - total, ..beam.clone() };
            let token = (!self.tokenizer.is_end(token)).then_some(token);
            if let Some(token) = token {
                beam.tokens += 1;
                beam.bytes.extend_from_slice(self.tokenizer.piece(token));
            }
            Step { beam, token }
        };
        let is_alone = self.fork == Fork::Opening && beam.bytes.len() > self.begun.len();
        let most = if is_alone { 1 } else { self.width };
        Ok(sampler::greatest_few(&values, most).into_iter().map(step).collect())
    }
}
