//! The one way to stop work: a flag that the asker sets and the worker reads between tokens, layers and chunks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Shared by the one who asks and the one who computes; checking it is one atomic read.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// A flag that is not set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ask the work to stop. It does so at its next check; there is no way back.
    pub fn trigger(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether the work should stop now.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// A guard that triggers this flag when it is dropped, so that a dropped future stops its job.
    pub fn on_drop(&self) -> InterruptOnDrop {
        InterruptOnDrop { interrupt: self.clone(), armed: true }
    }
}

/// Triggers its [`Interrupt`] on drop unless it was disarmed.
#[derive(Debug)]
pub struct InterruptOnDrop {
    interrupt: Interrupt,
    armed: bool,
}

impl InterruptOnDrop {
    /// The work ended by itself: dropping the guard does nothing any more.
    pub fn disarm(mut self) {
        self.armed = false;
    }
}

impl Drop for InterruptOnDrop {
    fn drop(&mut self) {
        if self.armed {
            self.interrupt.trigger();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_guard_triggers_and_a_disarmed_one_does_not() {
        let kept = Interrupt::new();
        kept.on_drop().disarm();
        assert!(!kept.is_set());
        let dropped = Interrupt::new();
        drop(dropped.on_drop());
        assert!(dropped.is_set());
    }
}
