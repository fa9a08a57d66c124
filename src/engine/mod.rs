//! Tokens in, text out: the engine owns the network, its tokenizer and the ledger of what the cache holds.

mod ledger;
mod load;
mod sampler;
pub mod tokenizer;

use std::time::{Duration, Instant};

use crate::interrupt::Interrupt;
use crate::model::manifest::Manifest;
use crate::model::{Memory, Network, Stopped};

pub use load::default_threads;

use ledger::Ledger;
use sampler::Sampler;
use tokenizer::{TextStream, Tokenizer};

/// Everything that belongs to one loaded model. Used by one thread at a time.
pub struct Engine {
    manifest: Manifest,
    tokenizer: Tokenizer,
    ledger: Ledger,
    rates: Rates,
    threads: usize,
}

/// What a run may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub max_tokens: usize,
    /// No token is begun after this time since the start. Half of it is left for writing at least, however long
    /// reading took.
    pub time: Option<Duration>,
}

/// How the next token is chosen.
#[derive(Clone, Copy, Debug, Default)]
pub enum Sampling {
    #[default]
    Greedy,
    /// Seeded, so that a run can be repeated.
    Random { temperature: f64, top_p: f64, seed: u64 },
}

/// What the observer of a run wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    Continue,
    Stop,
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model wrote its end token.
    End,
    /// The observer stopped it (a stop rule held).
    Stop,
    /// `max_tokens` were written.
    Length,
    /// The deadline passed.
    Deadline,
    /// The interrupt was set.
    Interrupted,
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
        }
    }
}

/// What a run wrote and what it cost.
#[derive(Clone, Debug)]
pub struct Output {
    pub text: String,
    /// Number of tokens written.
    pub tokens: usize,
    pub prompt_tokens: usize,
    /// Tokens of the prompt that were in the cache already.
    pub cached_tokens: usize,
    pub finish: Finish,
    /// Mean natural logarithm of the chosen tokens' probabilities; 0 if none was written.
    pub mean_logprob: f32,
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
        Self { manifest, tokenizer, ledger: Ledger::new(network), rates: Rates::default(), threads: 1 }
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

    /// Tokens per second as measured on this machine so far.
    pub fn rates(&self) -> Rates {
        self.rates
    }

    /// Bytes of weights and cache.
    pub fn memory(&self) -> Memory {
        self.ledger.network().memory()
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

    /// Natural logarithms of the probabilities of all tokens but the first, each after those before it: for measurements.
    ///
    /// # Errors
    /// When the tokens don't fit, or the network fails.
    pub fn score(&mut self, tokens: &[u32]) -> anyhow::Result<Vec<f32>> {
        anyhow::ensure!(tokens.len() <= self.capacity(), "{} tokens are too many", tokens.len());
        self.ledger.forget();
        let mut logprobs = Vec::with_capacity(tokens.len());
        for (token, next) in tokens.iter().zip(tokens.iter().skip(1)) {
            match self.ledger.extend(&[*token], &Interrupt::new()) {
                Ok(logits) => logprobs.push(sampler::logprob(logits, *next as usize)?),
                Err(Stopped::Interrupted) => anyhow::bail!("interrupted"),
                Err(Stopped::Failed(error)) => return Err(error),
            }
        }
        Ok(logprobs)
    }

    /// Read the prompt and write on. `observe` sees all the text written so far after each token (never half a
    /// character) and may stop the run.
    ///
    /// # Errors
    /// Only real failures, an empty prompt, and one without room for an answer; an interrupt is a normal [`Finish`].
    pub fn run(
        &mut self,
        prompt: &[u32],
        limits: Limits,
        sampling: Sampling,
        interrupt: &Interrupt,
        observe: &mut dyn FnMut(&str) -> Flow,
    ) -> anyhow::Result<Output> {
        anyhow::ensure!(!prompt.is_empty(), "an empty prompt");
        anyhow::ensure!(prompt.len() < self.capacity(), "a prompt of {} tokens is too long", prompt.len());
        let mut run = Run::new(self.ledger.keep_shared(prompt), prompt.len());
        let mut sampler = Sampler::new(sampling);
        let mut text = TextStream::default();

        let started = Instant::now();
        let read = self.ledger.extend(&prompt[run.cached_tokens..], interrupt).map(|_| ());
        run.prefill = started.elapsed();
        if !run.goes_on(read)? {
            return Ok(run.into_output(text, Finish::Interrupted));
        }

        let deadline = limits.time.map(|time| (started + time).max(Instant::now() + time / 2));
        let started = Instant::now();
        let room = limits.max_tokens.min(self.capacity() - prompt.len());
        let finish = loop {
            if run.tokens >= room {
                break Finish::Length;
            }
            if run.tokens > 0 && deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                break Finish::Deadline;
            }
            let (token, logprob) = sampler.choose(self.ledger.network().logits())?;
            if self.tokenizer.is_end(token) {
                break Finish::End;
            }
            run.tokens += 1;
            run.logprob += logprob;
            text.push(self.tokenizer.piece(token));
            if observe(text.text()) == Flow::Stop {
                break Finish::Stop;
            }
            if run.tokens < room {
                let read = self.ledger.extend(&[token], interrupt).map(|_| ());
                if !run.goes_on(read)? {
                    break Finish::Interrupted;
                }
            }
        };
        run.decode = started.elapsed();
        let read = run.prompt_tokens - run.cached_tokens;
        self.rates.learn(read, run.prefill.as_secs_f64(), run.tokens, run.decode.as_secs_f64());
        Ok(run.into_output(text, finish))
    }
}

/// The account of one run.
struct Run {
    prompt_tokens: usize,
    cached_tokens: usize,
    tokens: usize,
    logprob: f32,
    prefill: Duration,
    decode: Duration,
}

impl Run {
    fn new(cached_tokens: usize, prompt_tokens: usize) -> Self {
        let (prefill, decode) = (Duration::ZERO, Duration::ZERO);
        Self { prompt_tokens, cached_tokens, tokens: 0, logprob: 0.0, prefill, decode }
    }

    /// False if the run was interrupted.
    fn goes_on(&self, read: Result<(), Stopped>) -> anyhow::Result<bool> {
        match read {
            Ok(()) => Ok(true),
            Err(Stopped::Interrupted) => Ok(false),
            Err(Stopped::Failed(error)) => Err(error),
        }
    }

    fn into_output(self, text: TextStream, finish: Finish) -> Output {
        let Self { prompt_tokens, cached_tokens, tokens, logprob, prefill, decode } = self;
        let mean_logprob = if tokens == 0 { 0.0 } else { logprob / tokens as f32 };
        let text = text.into_text();
        Output { text, tokens, prompt_tokens, cached_tokens, finish, mean_logprob, prefill, decode }
    }
}

/// Tokens per second.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    pub prefill: f64,
    pub decode: f64,
}
