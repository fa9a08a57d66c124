//! Who is typed at: our server, or a peer. Both see the same text and say when they have an answer for it.

use std::time::Instant;

use serde::Serialize;

use crate::cli::bench::keystrokes::document::{Change, Document};

pub trait Subject {
    fn name(&self) -> &'static str;

    /// The process that computes.
    fn process(&self) -> u32;

    /// A file is opened; nothing is typed yet.
    fn open(&mut self, document: &Document) -> anyhow::Result<()>;

    /// The text changed (if `change`) or the cursor moved: `document` is how it is now.
    fn stroke(&mut self, document: &Document, change: Option<&Change>) -> anyhow::Result<()>;

    /// Wait for the answer to the newest stroke, or until then. Whatever else is due is done meanwhile.
    fn wait(&mut self, document: &Document, until: Instant) -> anyhow::Result<Option<Answer>>;

    /// What was computed since its start, if it says so.
    fn work(&mut self) -> anyhow::Result<Option<Work>>;

    fn close(&mut self, document: &Document) -> anyhow::Result<()>;
}

/// What can be shown for the newest stroke. There can be several, one after the other.
#[derive(Debug)]
pub struct Answer {
    pub at: Instant,
    /// Text for the cursor, if there is any.
    pub text: Option<String>,
}

/// Tokens that were computed, and how long stopped work held on.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Work {
    /// Prompt tokens that were not in a cache.
    pub read: u64,
    pub written: u64,
    /// In idle time, for requests that may come.
    pub idle_read: u64,
    pub idle_written: u64,
    pub interrupts: u64,
    /// Microseconds from a stop to idle, of the last stops.
    #[serde(skip)]
    pub stops: Vec<u64>,
}

impl Work {
    /// What came on top of `before`.
    pub fn since(&self, before: &Self) -> Self {
        let interrupts = self.interrupts.saturating_sub(before.interrupts);
        let new = self.stops.len().saturating_sub(interrupts as usize);
        Self {
            read: self.read.saturating_sub(before.read),
            written: self.written.saturating_sub(before.written),
            idle_read: self.idle_read.saturating_sub(before.idle_read),
            idle_written: self.idle_written.saturating_sub(before.idle_written),
            interrupts,
            stops: self.stops[new..].to_vec(),
        }
    }
}
