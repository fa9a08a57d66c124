//! Tokens in, text out: the engine owns the network, its tokenizer and the ledger of what the cache holds.

mod beam;
mod draft;
mod healing;
mod ledger;
mod load;
mod remote;
mod run;
mod sampler;
mod threads;
pub mod tokenizer;

use std::sync::OnceLock;
use std::time::Duration;

use crate::interrupt::Interrupt;
use crate::model::manifest::Manifest;
use crate::model::{Memory, Network, Stopped, Wanted};

pub use beam::{Fork, Hypothesis, UNLIKELY};
pub use threads::default_threads;

use draft::Drafter;
use healing::Vocabulary;
use ledger::Ledger;
use remote::Remote;
use tokenizer::Tokenizer;

/// Tokens that [`Engine::score`] reads in one pass.
const AT_ONCE: usize = 16;

/// Tokens read a second, until it is known how many they are.
const UNMEASURED: f64 = 500.0;

/// Everything that belongs to one loaded model. Used by one thread at a time.
pub struct Engine {
    manifest: Manifest,
    tokenizer: Tokenizer,
    ledger: Ledger,
    drafter: Drafter,
    /// For token healing; made when a prompt needs it first.
    vocabulary: OnceLock<Vocabulary>,
    /// Tokens of a prompt read a second, as far as is known.
    reading: f64,
    threads: usize,
    /// Nobody waits for what is computed.
    idle: bool,
    /// Who is asked in place of the network.
    remote: Option<Remote>,
}

/// What the model reads before it writes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Prompt<'a> {
    pub tokens: &'a [u32],
    /// What stands after the tokens already and is no part of the answer: the model begins with it, in tokens of its own.
    pub begun: &'a [u8],
    /// Mean log-probability of the tokens written under which it is no use to write on; after a few tokens it counts.
    pub least_logprob: Option<f32>,
}

impl<'a> Prompt<'a> {
    /// Tokens alone, to write on after.
    pub fn of(tokens: &'a [u32]) -> Self {
        Self { tokens, ..Self::default() }
    }
}

/// What a run may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub max_tokens: usize,
    /// No token is begun after this time since the start. Half of it is left for writing at least, however long
    /// reading took.
    pub time: Option<Duration>,
}

/// What the observer of a run wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    Continue,
    Stop,
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Finish {
    /// The model wrote its end token.
    #[default]
    End,
    /// The observer stopped it (a stop rule held).
    Stop,
    /// `max_tokens` were written.
    Length,
    /// The deadline passed.
    Deadline,
    /// The interrupt was set.
    Interrupted,
    /// The model was less sure of what it wrote than was asked for.
    Unsure,
}

impl Finish {
    /// The name in `complete --jsonl` answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::End => "end",
            Self::Stop => "stop",
            Self::Length => "length",
            Self::Deadline => "deadline",
            Self::Interrupted => "interrupted",
            Self::Unsure => "unsure",
        }
    }
}

/// What a run wrote and what it cost.
#[derive(Clone, Debug, Default)]
pub struct Output {
    pub text: String,
    /// Number of tokens written.
    pub tokens: usize,
    pub prompt_tokens: usize,
    /// Tokens of the prompt that were in the cache already.
    pub cached_tokens: usize,
    pub finish: Finish,
    /// It was cut short within a word, as far as is known.
    pub half_word: bool,
    /// Mean natural logarithm of the chosen tokens' probabilities; 0 if none was written.
    pub mean_logprob: f32,
    /// Natural logarithm of the least probable of the chosen tokens' probabilities; 0 if none was written.
    pub min_logprob: f32,
    /// Tokens guessed without the model, and how many of them were right.
    pub drafted: usize,
    pub drafts_taken: usize,
    pub prefill: Duration,
    pub decode: Duration,
}

impl Engine {
    /// An engine over any network; its cache is emptied.
    pub fn with_network(network: Box<dyn Network>, mut tokenizer: Tokenizer, manifest: Manifest) -> Self {
        if let Some(fim) = &manifest.fim {
            // A marker in the middle's own text means that the model is done with it.
            let markers = [&fim.prefix, &fim.suffix, &fim.middle].into_iter().chain(&fim.end);
            markers.for_each(|marker| tokenizer.add_end(marker));
        }
        Self {
            manifest,
            tokenizer,
            ledger: Ledger::new(network),
            drafter: Drafter::default(),
            vocabulary: OnceLock::new(),
            reading: UNMEASURED,
            threads: 1,
            idle: false,
            remote: None,
        }
    }

    /// The manifest of the loaded model.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The model's tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Tokens of a text; markers in it are ordinary text.
    pub fn tokenize(&self, text: &str) -> Vec<u32> {
        self.tokenizer.encode(text)
    }

    /// The id of a marker, such as a fill-in-the-middle one.
    pub fn special(&self, marker: &str) -> Option<u32> {
        self.tokenizer.marker(marker)
    }

    /// Most tokens that prompt and answer may have together.
    pub fn capacity(&self) -> usize {
        self.ledger.network().capacity()
    }

    /// Tokens of a prompt read a second, as measured on this machine so far.
    pub fn reading(&self) -> f64 {
        self.reading
    }

    /// Mix in what a run showed of the speed of reading; few tokens say little of it.
    fn learn(&mut self, tokens: usize, time: Duration) {
        if tokens >= 32 && !time.is_zero() {
            self.reading += 0.3 * (tokens as f64 / time.as_secs_f64() - self.reading);
        }
    }

    /// Bytes of weights and cache.
    pub fn memory(&self) -> Memory {
        self.ledger.network().memory()
    }

    /// Tokens of a text without its last one, and the bytes of that: so the model chooses anew how the text ends. See
    /// [`Prompt::begun`].
    pub fn take_back(&self, tokens: &mut Vec<u32>, least: usize) -> Vec<u8> {
        healing::take_back(&self.tokenizer, tokens, least)
    }

    /// Places in documents whose tokens are kept beside each other.
    pub fn slots(&self) -> usize {
        self.ledger.network().slots()
    }

    /// Name of the kernels or device in use.
    pub fn kernels(&self) -> String {
        self.ledger.network().kernels().to_owned()
    }

    /// Threads that compute.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Empty the cache, so that the next run reads its whole prompt: for measurements.
    pub fn forget(&mut self) {
        self.ledger.forget();
    }

    /// How all tokens but the first are foretold, each after those before it: for measurements.
    ///
    /// # Errors
    /// When the tokens don't fit, or the network fails.
    pub fn score(&mut self, tokens: &[u32]) -> anyhow::Result<Vec<Score>> {
        anyhow::ensure!(tokens.len() <= self.capacity(), "{} tokens are too many", tokens.len());
        self.ledger.forget();
        let mut scores = Vec::with_capacity(tokens.len());
        let vocabulary = self.ledger.network().vocabulary();
        let (known, next) = (&tokens[..tokens.len().saturating_sub(1)], tokens.iter().skip(1));
        let mut next = next.map(|token| *token as usize);
        for some in known.chunks(AT_ONCE) {
            let rows = match self.ledger.extend_each(some, Wanted::All, &Interrupt::new()) {
                Ok(rows) => rows,
                Err(Stopped::Interrupted) => anyhow::bail!("interrupted"),
                Err(Stopped::Failed(error)) => return Err(error),
            };
            for (row, next) in rows.chunks_exact(vocabulary).zip(&mut next) {
                let (likeliest, best) = sampler::likeliest(row)?;
                scores.push(Score { logprob: sampler::logprob(row, next)?, likeliest, best });
            }
        }
        Ok(scores)
    }

    /// Read tokens, so many in a pass, choosing the likeliest next one after each: as writing does one at a time, and
    /// checking drafts several. For measurements.
    ///
    /// # Errors
    /// When the tokens don't fit, or the network fails.
    pub fn follow(&mut self, tokens: &[u32], at_once: usize) -> anyhow::Result<()> {
        let vocabulary = self.ledger.network().vocabulary();
        for some in tokens.chunks(at_once.max(1)) {
            let rows = match self.ledger.extend_each(some, Wanted::Likeliest, &Interrupt::new()) {
                Ok(rows) => rows,
                Err(Stopped::Interrupted) => anyhow::bail!("interrupted"),
                Err(Stopped::Failed(error)) => return Err(error),
            };
            for row in rows.chunks_exact(vocabulary) {
                sampler::likeliest(row)?;
            }
        }
        Ok(())
    }

    /// Whether nobody waits for what is computed from now on. A processor is left to others then and the rest offered
    /// to them all the time, and prompts are read in small steps, because the next key takes away what is half done.
    pub fn set_idle(&mut self, idle: bool) {
        if idle == self.idle {
            return;
        }
        self.idle = idle;
        // Asking for the processors reads files, so no request that somebody waits for does it.
        self.ledger.set_idle(idle.then(|| {
            let processors = std::thread::available_parallelism().map_or(1, |processors| processors.get());
            threads::idle_threads(self.threads, processors)
        }));
    }

    /// Guess tokens and check several in one pass (as at the start), or write one after the other: the text is the same.
    pub fn set_drafts(&mut self, on: bool) {
        self.drafter.switch(on);
    }

    /// Text of other documents that drafts may be copied from.
    pub fn set_elsewhere(&mut self, text: &str) {
        self.drafter.set_elsewhere(self.tokenizer.encode(text));
    }
}

/// How a token is foretold by those before it; probabilities as natural logarithms.
#[derive(Clone, Copy, Debug)]
pub struct Score {
    pub logprob: f32,
    /// The token that writing would have chosen, and its probability.
    pub likeliest: u32,
    pub best: f32,
}
