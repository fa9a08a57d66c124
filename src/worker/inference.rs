//! The inference thread: one job at a time, and chores in between. After a panic the model is loaded anew.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::completion::{self, Attempt, Desk, Reuse, Trigger, Wish};
use crate::config::Settings;
use crate::engine::{Engine, Finish};
use crate::generation;
use crate::interrupt::Interrupt;
use crate::oneline::one_line;
use crate::worker::counters::Counters;
use crate::worker::jobs::{Chore, Generation, Outcome, Place};
use crate::worker::mailbox::{Job, Mailbox};
use crate::worker::{Listener, Loader, State, Status};

/// Mean log-probability of a suggestion from which on it is likely enough to be accepted that what follows it is
/// computed beforehand.
const LIKELY: f32 = -0.7;

/// Bytes of other documents that guesses are copied from.
const ELSEWHERE: usize = 64 << 10;

/// What belongs to the inference thread.
pub struct Inference {
    mailbox: Arc<Mailbox>,
    loader: Loader,
    listener: Listener,
    memory: Arc<Mutex<Reuse>>,
    desk: Desk,
    /// Where the last look ahead came to its end: typing along asks for the same again and again, and may have found
    /// nothing to say.
    looked_at: Option<(Arc<str>, u64, u64)>,
}

impl Inference {
    pub fn new(mailbox: Arc<Mailbox>, loader: Loader, listener: Listener, memory: Arc<Mutex<Reuse>>) -> Self {
        let desk = Desk::telling(mailbox.progress.clone());
        Self { mailbox, loader, listener, memory, desk, looked_at: None }
    }

    /// Work until it is time to end.
    pub fn run(mut self) {
        let mut engine = None;
        while let Some(job) = self.mailbox.next() {
            match job {
                Job::Load(settings) => {
                    drop(engine.take());
                    engine = self.load(&settings);
                }
                job => engine = self.work(engine.take(), job),
            }
        }
    }

    fn load(&mut self, settings: &Settings) -> Option<Engine> {
        let model = settings.remote.as_ref().map_or(&settings.model, |remote| &remote.model).clone();
        self.tell(State::Loading(None), &model);
        let mut last = 0.0;
        let listener = &self.listener;
        let mut progress = |share: f32| {
            // A listener needs no thousand messages.
            if share - last >= 0.01 || share >= 1.0 {
                last = share;
                listener(Status { state: State::Loading(Some(share)), model: model.clone() });
            }
        };
        let loaded = catch_unwind(AssertUnwindSafe(|| (self.loader)(settings, &mut progress)));
        let loaded = loaded
            .unwrap_or_else(|_| Err(anyhow::anyhow!("loading the model failed by a panic; see the log")));
        self.desk = Desk::telling(self.mailbox.progress.clone());
        match loaded {
            Ok(engine) => {
                self.mailbox.set_loaded(true);
                self.tell(State::Ready, &engine.manifest().name.clone());
                Some(engine)
            }
            Err(error) => {
                self.mailbox.set_loaded(false);
                let model = settings.remote.as_ref().map_or(&settings.model, |remote| &remote.model);
                self.tell(State::Failed(one_line(&error)), model);
                None
            }
        }
    }

    /// Run one job. After a panic its engine is not used again, and a new one is loaded.
    fn work(&mut self, engine: Option<Engine>, job: Job) -> Option<Engine> {
        let Some(mut engine) = engine else {
            let reason = "there is no model; see the status for the reason".to_owned();
            if let Job::Generate(job) = job {
                (job.answer)(Outcome::Failed(reason.clone()));
            }
            self.mailbox.finished(Some(Outcome::Failed(reason)));
            return None;
        };
        let model = engine.manifest().name.clone();
        // What is done in idle time is nobody's business.
        let is_chore = matches!(job, Job::Chore(..));
        if !is_chore {
            self.tell(State::Busy, &model);
        }
        let counters = self.mailbox.counters.clone();
        counters.busy.store(true, Ordering::Relaxed);
        engine.set_idle(is_chore);
        let done = catch_unwind(AssertUnwindSafe(|| match job {
            Job::Complete(place, wish, interrupt) => {
                Some(self.complete(&mut engine, &place, &wish, &interrupt))
            }
            Job::Generate(job) => {
                self.generate(&mut engine, job);
                None
            }
            Job::Chore(chore, interrupt) => {
                if let Err(error) = self.chore(&mut engine, chore, &interrupt) {
                    tracing::error!("{}", one_line(&error));
                }
                None
            }
            Job::Load(_) => None,
        }));
        counters.busy.store(false, Ordering::Relaxed);
        let Ok(outcome) = done else {
            tracing::error!("a job ended by a panic; the model is loaded again");
            self.mailbox.reload();
            self.mailbox.finished(None);
            return None;
        };
        self.mailbox.finished(outcome);
        if !is_chore {
            self.tell(State::Ready, &model);
        }
        Some(engine)
    }

    fn complete(
        &mut self,
        engine: &mut Engine,
        place: &Place,
        wish: &Wish,
        interrupt: &Interrupt,
    ) -> Outcome<Attempt> {
        let started = Instant::now();
        let Place { snapshot, offset, settings } = place;
        match completion::complete(snapshot, *offset, wish, engine, &mut self.desk, settings, interrupt) {
            Ok(attempt) => {
                self.mailbox.counters.attempt(&attempt, started.elapsed());
                if !interrupt.is_set() {
                    self.remember(place, wish, &attempt);
                    self.plan(place, wish, &attempt);
                }
                Outcome::Done(attempt)
            }
            Err(error) => Outcome::Failed(one_line(&error)),
        }
    }

    fn generate(&mut self, engine: &mut Engine, job: Generation) {
        let Generation { snapshot, request, interrupt, mut observe, answer } = job;
        let syntax = &mut self.desk.syntax;
        let edit = generation::generate(&snapshot, &request, engine, syntax, &interrupt, &mut *observe);
        answer(match edit {
            _ if interrupt.is_set() => Outcome::Superseded,
            Ok(edit) => Outcome::Done(edit),
            Err(error) => Outcome::Failed(one_line(&error)),
        });
    }

    /// Put a suggestion where the next keys will find it, unless the user has dismissed it.
    fn remember(&self, place: &Place, wish: &Wish, attempt: &Attempt) {
        let mut memory = self.memory();
        // The latest is offered first.
        for suggestion in attempt.alternatives.iter().rev().chain(&attempt.suggestion) {
            let unwanted = wish.trigger == Trigger::Automatic
                && memory.was_rejected(&place.snapshot, suggestion.range.start, &suggestion.text);
            if !unwanted {
                memory.remember(&place.snapshot, suggestion);
            }
        }
    }

    /// What to do in the idle time after this attempt.
    fn plan(&self, place: &Place, wish: &Wish, attempt: &Attempt) {
        if wish.selected.is_some() {
            return;
        }
        // If no suggestion is wanted just here, one soon will be, nearby; and long texts are cut elsewhere as they grow.
        self.mailbox.add_chore(Chore::WarmUp(place.clone()));
        if attempt.finish == Finish::Deadline {
            self.mailbox.add_chore(Chore::GoOn(place.clone(), wish.clone()));
        } else if let Some(suggestion) = &attempt.suggestion
            && attempt.mean_logprob >= LIKELY
        {
            self.mailbox.add_chore(Chore::LookAhead(place.clone(), suggestion.text.clone()));
        }
    }

    fn chore(&mut self, engine: &mut Engine, chore: Chore, interrupt: &Interrupt) -> anyhow::Result<()> {
        match chore {
            Chore::GoOn(place, wish) => {
                let attempt = self.complete_ahead(engine, &place, &wish, interrupt)?;
                self.count(interrupt, |counters| &counters.written_on);
                if !interrupt.is_set() && attempt.finish != Finish::Deadline {
                    self.plan(&place, &wish, &attempt);
                }
            }
            Chore::WarmUp(Place { snapshot, offset, settings }) => {
                let desk = &mut self.desk;
                let read = completion::warm_up(&snapshot, offset, engine, desk, &settings, interrupt)?;
                self.mailbox.counters.idle_read(read);
                if read > 0 {
                    self.count(interrupt, |counters| &counters.warmed_up);
                }
            }
            Chore::LookAhead(Place { snapshot, offset, settings }, text) => {
                let accepted = snapshot.with_replaced(offset..offset, &text);
                let place = Place { snapshot: accepted, offset: offset + text.len(), settings };
                let mark = Reuse::mark(&place.snapshot, place.offset);
                let is_known = self.memory().lookup(&place.snapshot, place.offset).is_some();
                if is_known || self.looked_at.as_ref() == Some(&mark) {
                    return Ok(());
                }
                // Whoever types along types the suggestion, not what follows it: its progress stays what it was.
                let of_suggestion = std::mem::take(&mut self.desk.progress);
                let attempt = self.complete_ahead(engine, &place, &Wish::default(), interrupt);
                self.desk.progress = of_suggestion;
                attempt?;
                self.count(interrupt, |counters| &counters.looked_ahead);
                self.looked_at = (!interrupt.is_set()).then_some(mark);
            }
            Chore::Elsewhere(documents) => {
                let mut text = String::new();
                for snapshot in documents {
                    let room = ELSEWHERE.saturating_sub(text.len());
                    text.push_str(&snapshot.slice(0, snapshot.clamp(room)));
                    text.push('\n');
                }
                engine.set_elsewhere(&text);
            }
        }
        Ok(())
    }

    /// Count a chore that came to its end.
    fn count(&self, interrupt: &Interrupt, counter: impl Fn(&Counters) -> &AtomicU64) {
        if !interrupt.is_set() {
            Counters::count(counter(&self.mailbox.counters));
        }
    }

    fn complete_ahead(
        &mut self,
        engine: &mut Engine,
        place: &Place,
        wish: &Wish,
        interrupt: &Interrupt,
    ) -> anyhow::Result<Attempt> {
        let Place { snapshot, offset, settings } = place;
        let desk = &mut self.desk;
        let attempt = completion::complete_ahead(snapshot, *offset, wish, engine, desk, settings, interrupt)?;
        self.mailbox.counters.idle_attempt(&attempt);
        if !interrupt.is_set() {
            self.remember(place, wish, &attempt);
        }
        Ok(attempt)
    }

    fn memory(&self) -> MutexGuard<'_, Reuse> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, state: State, model: &str) {
        (self.listener)(Status { state, model: model.to_owned() });
    }
}
