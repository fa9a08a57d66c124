//! What the inference thread is asked for, and how it answers.

use std::sync::Arc;

use crate::completion::{Attempt, Wish};
use crate::config::Settings;
use crate::documents::Snapshot;
use crate::engine::Flow;
use crate::generation::{Edit, Request};
use crate::interrupt::Interrupt;

/// How a job ended. Every job is answered exactly once.
#[derive(Debug)]
pub enum Outcome<T> {
    Done(T),
    /// A newer job took its place, or it was interrupted.
    Superseded,
    /// One line for the user.
    Failed(String),
}

/// Answers a completion.
pub type Answer = Box<dyn FnOnce(Outcome<Made>) + Send>;

/// A suggestion is wanted.
pub struct Completion {
    pub place: Place,
    pub wish: Wish,
    pub answer: Answer,
}

/// Where something is wanted, and under which settings.
#[derive(Clone)]
pub struct Place {
    pub snapshot: Snapshot,
    /// Bytes.
    pub offset: usize,
    pub settings: Arc<Settings>,
}

/// What was made of a completion.
#[derive(Debug)]
pub struct Made {
    pub attempt: Attempt,
    /// It was made for an older text, whose decode the asker joined: what is left of it for the asker is in the memory.
    pub joined: bool,
}

/// Code is wanted.
pub struct Generation {
    pub snapshot: Snapshot,
    pub request: Request,
    pub interrupt: Interrupt,
    /// Sees the code so far after each token.
    pub observe: Box<dyn FnMut(&str) -> Flow + Send>,
    pub answer: Box<dyn FnOnce(Outcome<Edit>) + Send>,
}

/// Work for idle time. Nobody waits for it; whoever asks for anything interrupts it.
pub enum Chore {
    /// An answer was cut short for the sake of time: write it to its end.
    GoOn(Place, Wish),
    /// The next request is likely to come from here: read what it needs.
    WarmUp(Place),
    /// If this text is accepted, the next request comes from behind it: make its answer.
    LookAhead(Place, String),
    /// These are the other open documents now: guesses of what comes next may be copied from them.
    Elsewhere(Vec<Snapshot>),
}
