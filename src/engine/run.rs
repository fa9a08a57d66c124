//! One run of the model: the prompt is read where it is new, then token after token is chosen until something says stop.

use std::time::{Duration, Instant};

use crate::engine::healing::{self, Vocabulary};
use crate::engine::tokenizer::TextStream;
use crate::engine::{Engine, Finish, Flow, Limits, Output, Prompt, sampler};
use crate::interrupt::Interrupt;
use crate::model::{Stopped, Wanted};

/// Tokens that are read at once in idle time: what the network has begun is lost to an interrupt.
const IDLE_STEP: usize = 32;

/// Tokens whose mean probability says something of the whole.
const TELLING: usize = 3;

/// Tokens chosen by one pass: a token and the natural logarithm of its probability. All but the last are in the cache.
type Choices = Vec<(u32, f32)>;

impl Engine {
    /// Read the prompt and write on, the likeliest token after the other. `observe` sees all the text written so far after
    /// each token (never half a character) and may stop the run.
    ///
    /// # Errors
    /// Only real failures, an empty prompt, and one without room for an answer; an interrupt is a normal [`Finish`].
    pub fn run(
        &mut self,
        prompt: Prompt,
        limits: Limits,
        interrupt: &Interrupt,
        observe: &mut dyn FnMut(&str) -> Flow,
    ) -> anyhow::Result<Output> {
        if let Some(remote) = &self.remote {
            return remote.run(&self.tokenizer, prompt, limits, interrupt, observe);
        }
        let Prompt { tokens: prompt, begun, least_logprob } = prompt;
        anyhow::ensure!(!prompt.is_empty(), "an empty prompt");
        anyhow::ensure!(prompt.len() < self.capacity(), "a prompt of {} tokens is too long", prompt.len());
        let mut run = Run::new(self.ledger.keep_shared(prompt), prompt.len());
        let mut writer = Writer { begun: begun.to_vec() };
        let mut text = TextStream::default();
        self.drafter.begin();

        let started = Instant::now();
        let read = self.ledger.extend(&prompt[run.cached_tokens..], writer.wanted(), interrupt).map(|_| ());
        run.prefill = started.elapsed();
        if !goes_on(read)? {
            return Ok(run.into_output(text, Finish::Interrupted));
        }

        let deadline = limits.time.map(|time| (started + time).max(Instant::now() + time / 2));
        let started = Instant::now();
        let room = limits.max_tokens.min(self.capacity() - prompt.len());
        let mut choices = vec![self.first_choice(&mut writer)?];
        let mut written = Vec::new();
        let finish = 'writing: loop {
            for (token, logprob) in std::mem::take(&mut choices) {
                if self.tokenizer.is_end(token) {
                    break 'writing Finish::End;
                }
                let is_late = || deadline.is_some_and(|deadline| Instant::now() >= deadline);
                if run.tokens >= room || (run.tokens > 0 && is_late()) {
                    // The next token is known: it tells whether the last word is whole.
                    let next = writer.new_bytes(self.tokenizer.piece(token));
                    run.half_word =
                        ends_in_word(text.text()) && next.first().copied().is_some_and(is_of_word);
                    break 'writing if run.tokens >= room { Finish::Length } else { Finish::Deadline };
                }
                run.count(logprob);
                written.push(token);
                text.push(writer.new_bytes(self.tokenizer.piece(token)));
                if observe(text.text()) == Flow::Stop {
                    break 'writing Finish::Stop;
                }
                if least_logprob.is_some_and(|least| run.is_below(least)) {
                    break 'writing Finish::Unsure;
                }
            }
            if run.tokens >= room {
                run.half_word = ends_in_word(text.text());
                break Finish::Length;
            }
            let last = written.last().copied().unwrap_or_default();
            match self.pass(last, room - run.tokens, &mut writer, &mut run, interrupt) {
                Ok(chosen) => choices = chosen,
                Err(Stopped::Interrupted) => break Finish::Interrupted,
                Err(Stopped::Failed(error)) => return Err(error),
            }
        };
        run.decode = started.elapsed();
        self.drafter.remember(&written);
        let read = run.prompt_tokens - run.cached_tokens;
        self.learn(read, run.prefill);
        Ok(run.into_output(text, finish))
    }

    /// Have a prompt in the cache; how many of its tokens had to be read. What was read before an interrupt stays.
    ///
    /// # Errors
    /// Only real failures.
    pub fn read(&mut self, prompt: &[u32], interrupt: &Interrupt) -> anyhow::Result<usize> {
        let prompt = &prompt[..prompt.len().min(self.capacity() - 1)];
        if self.ledger.holds(prompt) {
            return Ok(0);
        }
        let cached = self.ledger.keep_shared(prompt);
        let step = if self.idle { IDLE_STEP } else { prompt.len() };
        for some in prompt[cached..].chunks(step) {
            if !goes_on(self.ledger.extend(some, Wanted::Nothing, interrupt).map(|_| ()))? {
                break;
            }
        }
        Ok(self.ledger.held().len().saturating_sub(cached))
    }

    /// Read `token`, and with it what is guessed to follow. The guesses that are just what the model would have chosen
    /// stay, and after them comes the first that it chooses itself: the same tokens as one by one.
    fn pass(
        &mut self,
        token: u32,
        room: usize,
        writer: &mut Writer,
        run: &mut Run,
        interrupt: &Interrupt,
    ) -> Result<Choices, Stopped> {
        let before = self.ledger.held().len();
        let room = room.min(self.capacity() - before).saturating_sub(1);
        let guesses = match writer.begun.is_empty() {
            true => self.drafter.guess(self.ledger.held(), token, room),
            false => Vec::new(),
        };
        if guesses.is_empty() {
            self.ledger.extend(&[token], writer.wanted(), interrupt)?;
            return Ok(vec![self.first_choice(writer)?]);
        }
        let mut tokens = vec![token];
        tokens.extend(&guesses);
        let vocabulary = self.ledger.network().vocabulary();
        let rows = self.ledger.extend_each(&tokens, Wanted::Likeliest, interrupt)?;
        let mut choices = Vec::new();
        for (index, row) in rows.chunks_exact(vocabulary).enumerate() {
            let choice = sampler::likeliest(row)?;
            choices.push(choice);
            if guesses.get(index) != Some(&choice.0) {
                break;
            }
        }
        self.ledger.roll_back(before + choices.len());
        let right = choices.len() - 1;
        self.drafter.learn(guesses.len(), right);
        run.drafted += guesses.len();
        run.drafts_taken += right;
        Ok(choices)
    }

    /// The choice after the last token that was read.
    fn first_choice(&mut self, writer: &mut Writer) -> anyhow::Result<(u32, f32)> {
        let logits = self.ledger.network().logits();
        if !writer.begun.is_empty() {
            let vocabulary = self.vocabulary.get_or_init(|| Vocabulary::of(&self.tokenizer));
            let fitting = vocabulary.fitting(&self.tokenizer, &writer.begun);
            if let Some(choice) = healing::likeliest(logits, fitting) {
                return Ok(choice);
            }
        }
        sampler::likeliest(logits)
    }
}

/// How far one run has written what stands there already.
struct Writer {
    /// What the next tokens must begin with, because it stands there already.
    begun: Vec<u8>,
}

impl Writer {
    /// What must be known to choose the next token: where only some fit, the likeliest of all is not enough.
    fn wanted(&self) -> Wanted {
        if self.begun.is_empty() { Wanted::Likeliest } else { Wanted::All }
    }

    /// What a chosen token adds to the text that stands there.
    fn new_bytes<'a>(&mut self, piece: &'a [u8]) -> &'a [u8] {
        let known = self.begun.len().min(piece.len());
        self.begun.drain(..known);
        &piece[known..]
    }
}

/// The account of one run.
struct Run {
    prompt_tokens: usize,
    cached_tokens: usize,
    tokens: usize,
    half_word: bool,
    sum_logprob: f32,
    min_logprob: f32,
    drafted: usize,
    drafts_taken: usize,
    prefill: Duration,
    decode: Duration,
}

impl Run {
    fn new(cached_tokens: usize, prompt_tokens: usize) -> Self {
        Self {
            prompt_tokens,
            cached_tokens,
            tokens: 0,
            half_word: false,
            sum_logprob: 0.0,
            min_logprob: 0.0,
            drafted: 0,
            drafts_taken: 0,
            prefill: Duration::ZERO,
            decode: Duration::ZERO,
        }
    }

    fn count(&mut self, logprob: f32) {
        self.tokens += 1;
        self.sum_logprob += logprob;
        self.min_logprob = self.min_logprob.min(logprob);
    }

    /// Whether the tokens so far are less probable than this in their mean, if they are enough to say so.
    fn is_below(&self, least: f32) -> bool {
        self.tokens >= TELLING && self.sum_logprob < least * self.tokens as f32
    }

    fn into_output(self, text: TextStream, finish: Finish) -> Output {
        Output {
            text: text.into_text(),
            tokens: self.tokens,
            prompt_tokens: self.prompt_tokens,
            cached_tokens: self.cached_tokens,
            finish,
            half_word: self.half_word,
            mean_logprob: if self.tokens == 0 { 0.0 } else { self.sum_logprob / self.tokens as f32 },
            min_logprob: self.min_logprob,
            drafted: self.drafted,
            drafts_taken: self.drafts_taken,
            prefill: self.prefill,
            decode: self.decode,
        }
    }
}

/// Whether a byte belongs to a word or to a character of several bytes.
fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// Whether a text's last character may belong to a word that goes on.
pub(super) fn ends_in_word(text: &str) -> bool {
    text.as_bytes().last().copied().is_some_and(is_of_word)
}

/// False if the pass was interrupted.
fn goes_on(read: Result<(), Stopped>) -> anyhow::Result<bool> {
    match read {
        Ok(()) => Ok(true),
        Err(Stopped::Interrupted) => Ok(false),
        Err(Stopped::Failed(error)) => Err(error),
    }
}
