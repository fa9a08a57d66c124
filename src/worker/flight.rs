//! The completion that runs, and who waits for it: first its own asker, later one that types what it writes.

use crate::completion::{Trigger, Wish};
use crate::interrupt::Interrupt;
use crate::worker::jobs::{Answer, Completion};

/// A completion under way.
pub struct Flight {
    pub ticket: u64,
    pub interrupt: Interrupt,
    wish: Wish,
    answer: Option<Answer>,
    joined: bool,
    /// The text has changed just as the decode writes it. Whoever waits is about to give up and to ask anew: until then
    /// the decode goes on.
    kept: bool,
}

impl Flight {
    /// A completion takes off; its place is for the inference thread.
    pub fn new(ticket: u64, wish: Wish, answer: Answer) -> Self {
        Self { ticket, interrupt: Interrupt::new(), wish, answer: Some(answer), joined: false, kept: false }
    }

    /// Whether this one would get from the decode what it wants, if it types along.
    pub fn suits(&self, job: &Completion) -> bool {
        let automatic = |wish: &Wish| wish.trigger == Trigger::Automatic && wish.selected.is_none();
        !self.interrupt.is_set() && automatic(&self.wish) && automatic(&job.wish)
    }

    /// Another asker takes the place of the one that waits, who is given back to be told.
    pub fn join(&mut self, ticket: u64, answer: Answer) -> Option<Answer> {
        (self.ticket, self.joined, self.kept) = (ticket, true, false);
        self.answer.replace(answer)
    }

    /// The text has changed along: the asker's cancelling does not stop the decode.
    pub fn keep(&mut self) {
        self.kept = true;
    }

    /// Whether a cancelling asker ends it.
    pub fn ends_with(&self, ticket: u64) -> bool {
        self.ticket == ticket && !self.kept
    }

    /// Stop; who waits is given back to be told.
    pub fn stop(&mut self) -> Option<Answer> {
        self.interrupt.trigger();
        self.answer.take()
    }

    /// It has landed: who waits, and whether it was made for an older text than theirs.
    pub fn land(self) -> (Option<Answer>, bool) {
        (self.answer, self.joined)
    }
}
