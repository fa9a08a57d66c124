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

/// A suggestion is wanted.
pub struct Completion {
    pub snapshot: Snapshot,
    /// Bytes.
    pub offset: usize,
    pub wish: Wish,
    pub settings: Arc<Settings>,
    pub interrupt: Interrupt,
    pub answer: Box<dyn FnOnce(Outcome<Attempt>) + Send>,
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
