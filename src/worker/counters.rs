//! What the engine did since its start, countable at any time without waiting for it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::completion::Attempt;

/// Times that are kept of how long stopping took.
const KEPT: usize = 64;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Sums since the start of the server.
        #[derive(Debug, Default)]
        pub struct Counters {
            $($(#[$doc])* pub $name: AtomicU64,)*
            /// Something is computed now.
            pub busy: AtomicBool,
            stops: Mutex<VecDeque<u64>>,
        }

        impl Counters {
            /// All sums by name.
            pub fn sums(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.load(Ordering::Relaxed)),)*]
            }
        }
    };
}

counters! {
    /// Requests that the inference thread was asked.
    requests,
    /// Requests that were answered from memory.
    from_memory,
    /// Requests that joined a decode for an older text.
    adopted,
    /// Tokens of prompts that were in the cache.
    cached_tokens,
    /// Tokens of prompts that were computed.
    read_tokens,
    /// Tokens written for requests.
    written_tokens,
    /// Tokens of prompts that were computed in idle time.
    idle_read_tokens,
    /// Tokens written in idle time.
    idle_written_tokens,
    /// Answers that were written on in idle time.
    written_on,
    /// Times that what a request needs was read in idle time.
    warmed_up,
    /// Times that what follows a suggestion was computed in idle time.
    looked_ahead,
    /// Tokens guessed without the model.
    drafts_proposed,
    /// Guesses that were right.
    drafts_taken,
    /// Jobs that were stopped.
    interrupts,
    /// Time that reading prompts took for requests.
    read_micros,
    /// Time that writing took for requests.
    write_micros,
    /// Time that all else took for requests: syntax, tokens, filters.
    other_micros,
}

impl Counters {
    /// Count one more.
    pub fn count(counter: &AtomicU64) {
        Self::add(counter, 1);
    }

    fn add(counter: &AtomicU64, more: u64) {
        counter.fetch_add(more, Ordering::Relaxed);
    }

    /// An attempt was made for a request, in so much time altogether.
    pub fn attempt(&self, attempt: &Attempt, whole: Duration) {
        let micros = |time: Duration| time.as_micros() as u64;
        Self::add(&self.cached_tokens, attempt.cached_tokens as u64);
        Self::add(&self.read_tokens, (attempt.prompt_tokens - attempt.cached_tokens) as u64);
        Self::add(&self.written_tokens, attempt.tokens as u64);
        Self::add(&self.drafts_proposed, attempt.drafted as u64);
        Self::add(&self.drafts_taken, attempt.drafts_taken as u64);
        Self::add(&self.read_micros, micros(attempt.prefill));
        Self::add(&self.write_micros, micros(attempt.decode));
        Self::add(&self.other_micros, micros(whole.saturating_sub(attempt.prefill + attempt.decode)));
    }

    /// An attempt was made in idle time.
    pub fn idle_attempt(&self, attempt: &Attempt) {
        self.idle_read(attempt.prompt_tokens - attempt.cached_tokens);
        Self::add(&self.idle_written_tokens, attempt.tokens as u64);
        Self::add(&self.drafts_proposed, attempt.drafted as u64);
        Self::add(&self.drafts_taken, attempt.drafts_taken as u64);
    }

    /// Tokens were read in idle time.
    pub fn idle_read(&self, tokens: usize) {
        Self::add(&self.idle_read_tokens, tokens as u64);
    }

    /// A job was told to stop, and did so after this time.
    pub fn stopped(&self, after: Duration) {
        Self::count(&self.interrupts);
        let mut stops = self.stops.lock().unwrap_or_else(PoisonError::into_inner);
        stops.push_back(after.as_micros() as u64);
        let surplus = stops.len().saturating_sub(KEPT);
        stops.drain(..surplus);
    }

    /// The latest times, in microseconds, from the order to stop until the thread was free; the latest last.
    pub fn stop_micros(&self) -> Vec<u64> {
        self.stops.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }
}
