//! The inference thread's mailbox: at most one suggestion waits, the newest; code waits in a queue; a restart goes first.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::config::Settings;
use crate::interrupt::Interrupt;
use crate::worker::jobs::{Completion, Generation, Outcome};

/// What the thread does next.
pub enum Job {
    Load(Arc<Settings>),
    Complete(Completion),
    Generate(Generation),
}

/// What runs now.
enum Running {
    Nothing,
    Completion(Interrupt),
    Generation(Interrupt),
}

struct Inbox {
    load: Option<Arc<Settings>>,
    completion: Option<Completion>,
    generations: VecDeque<Generation>,
    running: Running,
    settings: Arc<Settings>,
    /// False once loading failed: nothing can be answered until a restart.
    loadable: bool,
    quit: bool,
}

/// Shared by the inference thread and all who ask it.
pub struct Mailbox {
    inbox: Mutex<Inbox>,
    arrived: Condvar,
}

impl Job {
    /// Answer without having worked.
    pub fn refuse(self, reason: &str) {
        match self {
            Self::Load(_) => {}
            Self::Complete(job) => (job.answer)(Outcome::Failed(reason.to_owned())),
            Self::Generate(job) => (job.answer)(Outcome::Failed(reason.to_owned())),
        }
    }
}

impl Mailbox {
    /// A mailbox in which the order to load waits.
    pub fn new(settings: Arc<Settings>) -> Self {
        let inbox = Inbox {
            load: Some(settings.clone()),
            completion: None,
            generations: VecDeque::new(),
            running: Running::Nothing,
            settings,
            loadable: true,
            quit: false,
        };
        Self { inbox: Mutex::new(inbox), arrived: Condvar::new() }
    }

    /// A suggestion is wanted; the one that waits or runs is out of date now. While code is written, none is made.
    pub fn complete(&self, job: Completion) {
        let mut inbox = self.lock();
        let writes_code = matches!(inbox.running, Running::Generation(_)) || !inbox.generations.is_empty();
        let no_model = !inbox.loadable && inbox.load.is_none();
        if inbox.quit || writes_code || no_model {
            drop(inbox);
            (job.answer)(Outcome::Superseded);
            return;
        }
        if let Running::Completion(interrupt) = &inbox.running {
            interrupt.trigger();
        }
        let superseded = inbox.completion.replace(job);
        drop(inbox);
        self.arrived.notify_one();
        if let Some(old) = superseded {
            (old.answer)(Outcome::Superseded);
        }
    }

    /// Code is wanted; a suggestion makes room for it.
    pub fn generate(&self, job: Generation) {
        let mut inbox = self.lock();
        if inbox.quit {
            drop(inbox);
            (job.answer)(Outcome::Superseded);
            return;
        }
        if let Running::Completion(interrupt) = &inbox.running {
            interrupt.trigger();
        }
        inbox.generations.push_back(job);
        drop(inbox);
        self.arrived.notify_one();
    }

    /// Load anew with these settings; what runs is stopped.
    pub fn restart(&self, settings: Arc<Settings>) {
        let mut inbox = self.lock();
        inbox.settings = settings.clone();
        inbox.load = Some(settings);
        inbox.interrupt_running();
        drop(inbox);
        self.arrived.notify_one();
    }

    /// Load anew with the same settings.
    pub fn reload(&self) {
        let mut inbox = self.lock();
        inbox.load = Some(inbox.settings.clone());
    }

    /// Stop what runs and let the thread end; what waits is answered.
    pub fn quit(&self) {
        let mut inbox = self.lock();
        inbox.quit = true;
        inbox.interrupt_running();
        let completion = inbox.completion.take();
        let generations: Vec<_> = inbox.generations.drain(..).collect();
        drop(inbox);
        self.arrived.notify_one();
        completion.into_iter().for_each(|job| (job.answer)(Outcome::Superseded));
        generations.into_iter().for_each(|job| (job.answer)(Outcome::Superseded));
    }

    /// Wait for the next job; `None` when it is time to end. A job whose interrupt is set already is answered here.
    pub fn next(&self) -> Option<Job> {
        let mut inbox = self.lock();
        loop {
            if inbox.quit {
                return None;
            }
            if let Some(settings) = inbox.load.take() {
                return Some(Job::Load(settings));
            }
            if let Some(job) = inbox.generations.pop_front() {
                inbox.running = Running::Generation(job.interrupt.clone());
                return Some(Job::Generate(job));
            }
            if let Some(job) = inbox.completion.take() {
                if job.interrupt.is_set() {
                    drop(inbox);
                    (job.answer)(Outcome::Superseded);
                    inbox = self.lock();
                    continue;
                }
                inbox.running = Running::Completion(job.interrupt.clone());
                return Some(Job::Complete(job));
            }
            inbox = self.arrived.wait(inbox).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The job that ran has been answered.
    pub fn finished(&self) {
        self.lock().running = Running::Nothing;
    }

    /// Whether there is a model now. Without one, waiting suggestions are answered.
    pub fn set_loaded(&self, loaded: bool) {
        let mut inbox = self.lock();
        inbox.loadable = loaded;
        let waiting = if loaded { None } else { inbox.completion.take() };
        drop(inbox);
        waiting.into_iter().for_each(|job| (job.answer)(Outcome::Superseded));
    }

    fn lock(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inbox {
    fn interrupt_running(&self) {
        match &self.running {
            Running::Nothing => {}
            Running::Completion(interrupt) | Running::Generation(interrupt) => interrupt.trigger(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::completion::Wish;
    use crate::documents::Snapshot;
    use crate::engine::Flow;
    use crate::generation::Request;
    use std::sync::mpsc::{Receiver, channel};

    fn completion() -> (Completion, Interrupt, Receiver<&'static str>) {
        let (sender, receiver) = channel();
        let interrupt = Interrupt::new();
        let job = Completion {
            snapshot: Snapshot::detached(None, "rust", ""),
            offset: 0,
            wish: Wish::default(),
            settings: Arc::new(Settings::default()),
            interrupt: interrupt.clone(),
            answer: Box::new(move |outcome| {
                let name = match outcome {
                    Outcome::Done(_) => "done",
                    Outcome::Superseded => "superseded",
                    Outcome::Failed(_) => "failed",
                };
                let _ = sender.send(name);
            }),
        };
        (job, interrupt, receiver)
    }

    fn generation() -> Generation {
        Generation {
            snapshot: Snapshot::detached(None, "rust", ""),
            request: Request::Document { offset: 0 },
            interrupt: Interrupt::new(),
            observe: Box::new(|_| Flow::Continue),
            answer: Box::new(|_| ()),
        }
    }

    fn loaded() -> Mailbox {
        let mailbox = Mailbox::new(Arc::new(Settings::default()));
        assert!(matches!(mailbox.next(), Some(Job::Load(_))));
        mailbox.set_loaded(true);
        mailbox
    }

    #[test]
    fn the_newest_suggestion_wins_and_the_others_are_answered() {
        let mailbox = loaded();
        let (first, first_interrupt, first_answer) = completion();
        mailbox.complete(first);
        let Some(Job::Complete(running)) = mailbox.next() else { panic!("no completion") };
        let (second, _, second_answer) = completion();
        mailbox.complete(second);
        assert!(first_interrupt.is_set());
        let (third, _, third_answer) = completion();
        mailbox.complete(third);
        assert_eq!(second_answer.recv(), Ok("superseded"));
        (running.answer)(Outcome::Superseded);
        assert_eq!(first_answer.recv(), Ok("superseded"));
        mailbox.finished();
        assert!(matches!(mailbox.next(), Some(Job::Complete(_))));
        assert!(third_answer.try_recv().is_err());
    }

    #[test]
    fn code_goes_before_suggestions_and_they_do_not_wait_for_it() {
        let mailbox = loaded();
        mailbox.generate(generation());
        let (job, _, answer) = completion();
        mailbox.complete(job);
        assert_eq!(answer.recv(), Ok("superseded"));
        assert!(matches!(mailbox.next(), Some(Job::Generate(_))));
        mailbox.finished();
        let (job, _, answer) = completion();
        mailbox.complete(job);
        assert!(answer.try_recv().is_err());
    }

    #[test]
    fn everything_that_waits_is_answered_at_the_end() {
        let mailbox = loaded();
        let (job, _, answer) = completion();
        mailbox.complete(job);
        mailbox.quit();
        assert_eq!(answer.recv(), Ok("superseded"));
        assert!(mailbox.next().is_none());
        let (late, _, answer) = completion();
        mailbox.complete(late);
        assert_eq!(answer.recv(), Ok("superseded"));
    }

    #[test]
    fn without_a_model_nothing_waits() {
        let mailbox = Mailbox::new(Arc::new(Settings::default()));
        let (job, _, answer) = completion();
        mailbox.complete(job);
        assert!(matches!(mailbox.next(), Some(Job::Load(_))));
        mailbox.set_loaded(false);
        assert_eq!(answer.recv(), Ok("superseded"));
        let (job, _, answer) = completion();
        mailbox.complete(job);
        assert_eq!(answer.recv(), Ok("superseded"));
        mailbox.restart(Arc::new(Settings::default()));
        assert!(matches!(mailbox.next(), Some(Job::Load(_))));
    }
}
