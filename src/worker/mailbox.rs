//! The inference thread's mailbox: at most one suggestion waits, the newest; code waits in a queue; a restart goes first;
//! chores are for when nothing else is there.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::completion::{Attempt, Progress, Wish};
use crate::config::Settings;
use crate::documents::Snapshot;
use crate::interrupt::Interrupt;
use crate::worker::chores::Chores;
use crate::worker::counters::Counters;
use crate::worker::flight::Flight;
use crate::worker::jobs::{Answer, Chore, Completion, Generation, Made, Outcome, Place};

/// What the thread does next.
pub enum Job {
    Load(Arc<Settings>),
    Complete(Place, Wish, Interrupt),
    Generate(Generation),
    Chore(Chore, Interrupt),
}

/// What runs now.
enum Running {
    Nothing,
    Completion(Flight),
    Generation(Interrupt),
    Chore(Interrupt),
}

struct Inbox {
    load: Option<Arc<Settings>>,
    /// When that is to begin: until then, better settings may come.
    load_at: Instant,
    completion: Option<(u64, Completion)>,
    generations: VecDeque<Generation>,
    chores: Chores,
    running: Running,
    /// When what runs was told to stop.
    stopped: Option<Instant>,
    /// The number of the last completion.
    ticket: u64,
    settings: Arc<Settings>,
    /// False once loading failed: nothing can be answered until a restart.
    loadable: bool,
    quit: bool,
}

/// Shared by the inference thread and all who ask it.
pub struct Mailbox {
    inbox: Mutex<Inbox>,
    arrived: Condvar,
    /// Of the completion that runs.
    pub progress: Progress,
    pub counters: Arc<Counters>,
}

impl Mailbox {
    /// A mailbox in which the order to load waits: for so long, unless it is told sooner that these are the settings.
    pub fn new(settings: Arc<Settings>, patience: Duration) -> Self {
        let inbox = Inbox {
            load: Some(settings.clone()),
            load_at: Instant::now() + patience,
            completion: None,
            generations: VecDeque::new(),
            chores: Chores::default(),
            running: Running::Nothing,
            stopped: None,
            ticket: 0,
            settings,
            loadable: true,
            quit: false,
        };
        let (arrived, progress, counters) = (Condvar::new(), Progress::default(), Arc::default());
        Self { inbox: Mutex::new(inbox), arrived, progress, counters }
    }

    /// A suggestion is wanted; its ticket. One that waits is out of date now; so is one that runs, unless this asker
    /// types what it writes: then it is joined. While code is written, no suggestion is made.
    pub fn complete(&self, job: Completion) -> u64 {
        Counters::count(&self.counters.requests);
        let mut inbox = self.lock();
        inbox.ticket += 1;
        let ticket = inbox.ticket;
        let writes_code = matches!(inbox.running, Running::Generation(_)) || !inbox.generations.is_empty();
        let no_model = !inbox.loadable && inbox.load.is_none();
        if inbox.quit || writes_code || no_model {
            drop(inbox);
            (job.answer)(Outcome::Superseded);
            return ticket;
        }
        inbox.chores.clear();
        let waiting = inbox.completion.take().map(|(_, job)| job.answer);
        let running = if let Running::Completion(flight) = &mut inbox.running
            && flight.suits(&job)
            && self.progress.follow(&job.place.snapshot, Some(job.place.offset))
        {
            Counters::count(&self.counters.adopted);
            flight.join(ticket, job.answer)
        } else {
            let stopped = inbox.stop_running();
            inbox.completion = Some((ticket, job));
            stopped
        };
        drop(inbox);
        self.arrived.notify_one();
        supersede([waiting, running]);
        ticket
    }

    /// Who asked for the suggestion with this ticket does not want it any more.
    pub fn cancel(&self, ticket: u64) {
        let mut inbox = self.lock();
        let waits = inbox.completion.as_ref().is_some_and(|(waiting, _)| *waiting == ticket);
        let waiting = if waits { inbox.completion.take().map(|(_, job)| job.answer) } else { None };
        let runs = matches!(&inbox.running, Running::Completion(flight) if flight.ends_with(ticket));
        let running = if runs { inbox.stop_running() } else { None };
        drop(inbox);
        supersede([waiting, running]);
    }

    /// A document has a new text. A decode that has written the difference, or may still write it, goes on; another one
    /// for this document stops.
    pub fn changed(&self, snapshot: &Snapshot) {
        let mut inbox = self.lock();
        if !self.progress.is_of(&snapshot.uri) {
            return;
        }
        let follows = self.progress.follow(snapshot, None);
        let stopped = match &mut inbox.running {
            Running::Completion(flight) if follows => {
                flight.keep();
                None
            }
            Running::Completion(_) | Running::Chore(_) if !follows => inbox.stop_running(),
            _ => None,
        };
        drop(inbox);
        supersede([stopped]);
    }

    /// Something to do when nobody wants anything.
    pub fn add_chore(&self, chore: Chore) {
        self.lock().chores.add(chore);
        self.arrived.notify_one();
    }

    /// Code is wanted; a suggestion makes room for it.
    pub fn generate(&self, job: Generation) {
        let mut inbox = self.lock();
        if inbox.quit {
            drop(inbox);
            (job.answer)(Outcome::Superseded);
            return;
        }
        let stopped = match inbox.running {
            Running::Generation(_) => None,
            _ => inbox.stop_running(),
        };
        inbox.generations.push_back(job);
        drop(inbox);
        self.arrived.notify_one();
        supersede([stopped]);
    }

    /// The settings are known: what waits for them begins.
    pub fn settled(&self) {
        self.lock().load_at = Instant::now();
        self.arrived.notify_one();
    }

    /// Load anew with these settings; what runs is stopped.
    pub fn restart(&self, settings: Arc<Settings>) {
        let mut inbox = self.lock();
        inbox.settings = settings.clone();
        inbox.load = Some(settings);
        inbox.load_at = Instant::now();
        inbox.chores.clear();
        let stopped = inbox.stop_running();
        drop(inbox);
        self.arrived.notify_one();
        supersede([stopped]);
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
        let running = inbox.stop_running();
        let waiting = inbox.completion.take().map(|(_, job)| job.answer);
        let generations: Vec<_> = inbox.generations.drain(..).collect();
        drop(inbox);
        self.arrived.notify_one();
        supersede([running, waiting]);
        generations.into_iter().for_each(|job| (job.answer)(Outcome::Superseded));
    }

    /// Wait for the next job; `None` when it is time to end.
    pub fn next(&self) -> Option<Job> {
        let mut inbox = self.lock();
        loop {
            if inbox.quit {
                return None;
            }
            let patience = inbox.load_at.saturating_duration_since(Instant::now());
            if inbox.load.is_some() && !patience.is_zero() {
                inbox = self.wait(inbox, Some(patience));
                continue;
            }
            if let Some(settings) = inbox.load.take() {
                return Some(Job::Load(settings));
            }
            if let Some(job) = inbox.generations.pop_front() {
                inbox.running = Running::Generation(job.interrupt.clone());
                return Some(Job::Generate(job));
            }
            if let Some((ticket, Completion { place, wish, answer })) = inbox.completion.take() {
                let flight = Flight::new(ticket, wish.clone(), answer);
                let interrupt = flight.interrupt.clone();
                self.progress.begin(&place.snapshot, place.offset);
                inbox.running = Running::Completion(flight);
                return Some(Job::Complete(place, wish, interrupt));
            }
            if let Some(chore) = inbox.chores.next() {
                let interrupt = Interrupt::new();
                match &chore {
                    Chore::GoOn(place, _) => self.progress.begin(&place.snapshot, place.offset),
                    Chore::LookAhead(place, text) => {
                        self.progress.begin_after(&place.snapshot, place.offset, text);
                    }
                    Chore::WarmUp(_) | Chore::Elsewhere(_) => self.progress.end(),
                }
                inbox.running = Running::Chore(interrupt.clone());
                return Some(Job::Chore(chore, interrupt));
            }
            let time = inbox.chores.wait();
            inbox = self.wait(inbox, time);
        }
    }

    /// Wait until something arrives or the time is over.
    fn wait<'a>(&self, inbox: MutexGuard<'a, Inbox>, time: Option<Duration>) -> MutexGuard<'a, Inbox> {
        match time {
            Some(time) => self.arrived.wait_timeout(inbox, time).unwrap_or_else(PoisonError::into_inner).0,
            None => self.arrived.wait(inbox).unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// The job that ran is done; `attempt` is what a completion ended with, `None` if it ended by a panic.
    pub fn finished(&self, attempt: Option<Outcome<Attempt>>) {
        let mut inbox = self.lock();
        let running = std::mem::replace(&mut inbox.running, Running::Nothing);
        self.progress.end();
        if let Some(stopped) = inbox.stopped.take() {
            self.counters.stopped(stopped.elapsed());
        }
        drop(inbox);
        let Running::Completion(flight) = running else { return };
        let (Some(answer), joined) = flight.land() else { return };
        answer(match attempt {
            Some(Outcome::Done(attempt)) => Outcome::Done(Made { attempt, joined }),
            Some(Outcome::Failed(reason)) => Outcome::Failed(reason),
            Some(Outcome::Superseded) | None => Outcome::Superseded,
        });
    }

    /// Whether there is a model now. Without one, waiting suggestions are answered.
    pub fn set_loaded(&self, loaded: bool) {
        let mut inbox = self.lock();
        inbox.loadable = loaded;
        let waiting = if loaded { None } else { inbox.completion.take() };
        drop(inbox);
        supersede([waiting.map(|(_, job)| job.answer)]);
    }

    fn lock(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inbox {
    /// Stop what runs; who waits for it is given back to be told.
    fn stop_running(&mut self) -> Option<Answer> {
        let waiting = match &mut self.running {
            Running::Nothing => return None,
            Running::Completion(flight) => flight.stop(),
            Running::Generation(interrupt) | Running::Chore(interrupt) => {
                interrupt.trigger();
                None
            }
        };
        self.stopped.get_or_insert_with(Instant::now);
        waiting
    }
}

/// Tell these that they get nothing.
fn supersede(answers: impl IntoIterator<Item = Option<Answer>>) {
    answers.into_iter().flatten().for_each(|answer| answer(Outcome::Superseded));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Flow;
    use crate::generation::Request;
    use std::sync::mpsc::{Receiver, channel};

    fn place(text: &str, offset: usize) -> Place {
        Place {
            snapshot: Snapshot::detached(None, "rust", text),
            offset,
            settings: Arc::new(Settings::default()),
        }
    }

    fn completion_at(text: &str, offset: usize) -> (Completion, Receiver<&'static str>) {
        let (sender, receiver) = channel();
        let job = Completion {
            place: place(text, offset),
            wish: Wish::default(),
            answer: Box::new(move |outcome| {
                let name = match outcome {
                    Outcome::Done(Made { joined: false, .. }) => "done",
                    Outcome::Done(Made { joined: true, .. }) => "joined",
                    Outcome::Superseded => "superseded",
                    Outcome::Failed(_) => "failed",
                };
                let _ = sender.send(name);
            }),
        };
        (job, receiver)
    }

    fn completion() -> (Completion, Receiver<&'static str>) {
        completion_at("", 0)
    }

    fn attempt() -> Option<Outcome<Attempt>> {
        Some(Outcome::Done(Attempt::untried("test")))
    }

    /// The interrupt of the completion that comes next.
    fn run(mailbox: &Mailbox) -> Interrupt {
        match mailbox.next() {
            Some(Job::Complete(_, _, interrupt)) => interrupt,
            _ => panic!("no completion"),
        }
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
        let mailbox = Mailbox::new(Arc::new(Settings::default()), Duration::ZERO);
        assert!(matches!(mailbox.next(), Some(Job::Load(_))));
        mailbox.set_loaded(true);
        mailbox
    }

    #[test]
    fn the_first_load_waits_for_the_settings_and_requests_wait_for_it() {
        const LONG: Duration = Duration::from_secs(3600);
        let settings = |threads| Arc::new(Settings { threads: Some(threads), ..Settings::default() });
        let mailbox = Mailbox::new(settings(1), LONG);
        let (job, answer) = completion();
        mailbox.complete(job);
        mailbox.restart(settings(2));
        assert!(matches!(mailbox.next(), Some(Job::Load(settings)) if settings.threads == Some(2)));
        mailbox.set_loaded(true);
        run(&mailbox);
        mailbox.finished(attempt());
        assert_eq!(answer.recv(), Ok("done"));

        let mailbox = Mailbox::new(settings(1), LONG);
        std::thread::scope(|scope| {
            let next = scope.spawn(|| mailbox.next());
            mailbox.settled();
            let job = next.join().unwrap();
            assert!(matches!(job, Some(Job::Load(settings)) if settings.threads == Some(1)));
        });
        // Who never says which settings are right gets the first.
        let mailbox = Mailbox::new(settings(1), Duration::from_millis(1));
        assert!(matches!(mailbox.next(), Some(Job::Load(_))));
    }

    #[test]
    fn the_newest_suggestion_wins_and_the_others_are_answered() {
        let mailbox = loaded();
        let (first, first_answer) = completion_at("a", 1);
        mailbox.complete(first);
        let interrupt = run(&mailbox);
        let (second, second_answer) = completion_at("b", 1);
        mailbox.complete(second);
        assert!(interrupt.is_set());
        assert_eq!(first_answer.recv(), Ok("superseded"));
        let (third, third_answer) = completion_at("c", 1);
        mailbox.complete(third);
        assert_eq!(second_answer.recv(), Ok("superseded"));
        mailbox.finished(attempt());
        run(&mailbox);
        assert!(third_answer.try_recv().is_err());
        mailbox.finished(attempt());
        assert_eq!(third_answer.recv(), Ok("done"));
        assert_eq!(mailbox.counters.stop_micros().len(), 1);
    }

    #[test]
    fn who_types_what_is_written_joins_and_the_others_interrupt() {
        let mailbox = loaded();
        let (first, first_answer) = completion_at("let a = ;", 8);
        let ticket = mailbox.complete(first);
        let interrupt = run(&mailbox);
        mailbox.progress.publish("foo");
        // The key comes first, then the old request is cancelled, then the new one comes.
        mailbox.changed(&place("let a = f;", 9).snapshot);
        mailbox.cancel(ticket);
        let (second, second_answer) = completion_at("let a = f;", 9);
        let ticket = mailbox.complete(second);
        assert_eq!(first_answer.recv(), Ok("superseded"));
        assert!(!interrupt.is_set());
        mailbox.finished(attempt());
        assert_eq!(second_answer.recv(), Ok("joined"));
        mailbox.cancel(ticket);

        let (third, third_answer) = completion_at("let a = ;", 8);
        mailbox.complete(third);
        let interrupt = run(&mailbox);
        mailbox.progress.publish("foo");
        mailbox.changed(&place("let a = x;", 9).snapshot);
        assert!(interrupt.is_set());
        assert_eq!(third_answer.recv(), Ok("superseded"));
    }

    #[test]
    fn a_cancelled_suggestion_stops_or_never_begins() {
        let mailbox = loaded();
        let (first, first_answer) = completion();
        let ticket = mailbox.complete(first);
        let interrupt = run(&mailbox);
        mailbox.cancel(ticket);
        assert!(interrupt.is_set());
        assert_eq!(first_answer.recv(), Ok("superseded"));
        let (second, second_answer) = completion_at("b", 1);
        let ticket = mailbox.complete(second);
        mailbox.cancel(ticket);
        assert_eq!(second_answer.recv(), Ok("superseded"));
    }

    #[test]
    fn chores_yield_and_are_forgotten_when_something_is_wanted() {
        let mailbox = loaded();
        let add = || mailbox.add_chore(Chore::GoOn(place("a", 1), Wish::default()));
        add();
        let Some(Job::Chore(Chore::GoOn(..), interrupt)) = mailbox.next() else { panic!("no chore") };
        add();
        mailbox.complete(completion_at("b", 1).0);
        assert!(interrupt.is_set());
        mailbox.finished(None);
        run(&mailbox);
        mailbox.finished(attempt());
        mailbox.add_chore(Chore::LookAhead(place("b", 1), "c".to_owned()));
        // Only the newest chore of a kind is left, and it waits for a pause.
        mailbox.add_chore(Chore::LookAhead(place("b", 1), "d".to_owned()));
        assert!(matches!(mailbox.next(), Some(Job::Chore(Chore::LookAhead(_, text), _)) if text == "d"));
        mailbox.changed(&place("bd", 2).snapshot);
        mailbox.finished(None);
    }

    #[test]
    fn code_goes_before_suggestions_and_they_do_not_wait_for_it() {
        let mailbox = loaded();
        mailbox.generate(generation());
        let (job, answer) = completion();
        mailbox.complete(job);
        assert_eq!(answer.recv(), Ok("superseded"));
        assert!(matches!(mailbox.next(), Some(Job::Generate(_))));
        mailbox.finished(None);
        let (job, answer) = completion();
        mailbox.complete(job);
        assert!(answer.try_recv().is_err());
    }

    #[test]
    fn everything_that_waits_is_answered_at_the_end() {
        let mailbox = loaded();
        let (job, answer) = completion();
        mailbox.complete(job);
        mailbox.quit();
        assert_eq!(answer.recv(), Ok("superseded"));
        assert!(mailbox.next().is_none());
        let (late, answer) = completion();
        mailbox.complete(late);
        assert_eq!(answer.recv(), Ok("superseded"));
    }

    #[test]
    fn without_a_model_nothing_waits() {
        let mailbox = Mailbox::new(Arc::new(Settings::default()), Duration::ZERO);
        let (job, answer) = completion();
        mailbox.complete(job);
        assert!(matches!(mailbox.next(), Some(Job::Load(_))));
        mailbox.set_loaded(false);
        assert_eq!(answer.recv(), Ok("superseded"));
        let (job, answer) = completion();
        mailbox.complete(job);
        assert_eq!(answer.recv(), Ok("superseded"));
        mailbox.restart(Arc::new(Settings::default()));
        assert!(matches!(mailbox.next(), Some(Job::Load(_))));
    }
}
