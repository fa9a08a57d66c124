//! The only owner of threads: the inference thread with its mailbox, and the watch over the client's process.

mod jobs;
mod mailbox;
mod watch;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::config::Settings;
use crate::context::SyntaxCache;
use crate::engine::Engine;
use crate::oneline::one_line;
use crate::{completion, generation};

pub use jobs::{Completion, Generation, Outcome};
pub use watch::exit_with_process;

use mailbox::{Job, Mailbox};

/// What the inference thread is at.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// The model is fetched or loaded; the share that is done, from 0 to 1, if known.
    Loading(Option<f32>),
    Ready,
    Busy,
    /// No model: the reason, for the user.
    Failed(String),
}

/// What the inference thread is at, and with which model.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    pub state: State,
    pub model: String,
}

/// Makes an engine from settings; called again at a restart. Its listener hears what share of the work is done.
pub type Loader = Box<dyn FnMut(&Settings, &mut dyn FnMut(f32)) -> anyhow::Result<Engine> + Send>;

/// Hears every change of the status, on the inference thread.
pub type Listener = Box<dyn Fn(Status) + Send>;

/// The inference thread as others see it.
pub struct Worker {
    mailbox: Arc<Mailbox>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Worker {
    /// Start the thread; it begins by loading the model of these settings.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(settings: Arc<Settings>, loader: Loader, listener: Listener) -> anyhow::Result<Self> {
        let mailbox = Arc::new(Mailbox::new(settings));
        let thread = std::thread::Builder::new().name("foretype-inference".to_owned()).spawn({
            let mailbox = mailbox.clone();
            move || Inference { mailbox, loader, listener, syntax: SyntaxCache::default() }.run()
        })?;
        Ok(Self { mailbox, thread: Mutex::new(Some(thread)) })
    }

    /// Ask for a suggestion. One that waits or is being written is superseded.
    pub fn complete(&self, job: Completion) {
        self.mailbox.complete(job);
    }

    /// Ask for code. It waits for its turn; suggestions wait for nobody and are left out meanwhile.
    pub fn generate(&self, job: Generation) {
        self.mailbox.generate(job);
    }

    /// Load the model anew, with these settings.
    pub fn restart(&self, settings: Arc<Settings>) {
        self.mailbox.restart(settings);
    }

    /// Stop what runs, answer what waits, end the thread.
    pub fn stop(&self) {
        self.mailbox.quit();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A model that is being loaded cannot be interrupted; the process ends without it.
            let patience = std::time::Instant::now() + std::time::Duration::from_millis(500);
            while !thread.is_finished() && std::time::Instant::now() < patience {
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
            if thread.is_finished() && thread.join().is_err() {
                tracing::error!("the inference thread ended by a panic");
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What belongs to the inference thread.
struct Inference {
    mailbox: Arc<Mailbox>,
    loader: Loader,
    listener: Listener,
    syntax: SyntaxCache,
}

impl Inference {
    fn run(mut self) {
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
        let model = settings.model.clone();
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
        match loaded {
            Ok(engine) => {
                self.mailbox.set_loaded(true);
                self.tell(State::Ready, &engine.manifest().name.clone());
                Some(engine)
            }
            Err(error) => {
                self.mailbox.set_loaded(false);
                self.tell(State::Failed(one_line(&error)), &settings.model);
                None
            }
        }
    }

    /// Run one job. After a panic its engine is not used again, and a new one is loaded.
    fn work(&mut self, engine: Option<Engine>, job: Job) -> Option<Engine> {
        let Some(mut engine) = engine else {
            job.refuse("there is no model; see the status for the reason");
            self.mailbox.finished();
            return None;
        };
        let model = engine.manifest().name.clone();
        self.tell(State::Busy, &model);
        let syntax = &mut self.syntax;
        let done = catch_unwind(AssertUnwindSafe(|| match job {
            Job::Complete(job) => {
                let Completion { snapshot, offset, wish, settings, interrupt, answer } = job;
                let attempt = completion::complete(
                    &snapshot,
                    offset,
                    &wish,
                    &mut engine,
                    syntax,
                    &settings,
                    &interrupt,
                );
                answer(match attempt {
                    Ok(_) if interrupt.is_set() => Outcome::Superseded,
                    Ok(attempt) => Outcome::Done(attempt),
                    Err(error) => Outcome::Failed(one_line(&error)),
                });
            }
            Job::Generate(job) => {
                let Generation { snapshot, request, interrupt, mut observe, answer } = job;
                let edit =
                    generation::generate(&snapshot, &request, &mut engine, syntax, &interrupt, &mut *observe);
                answer(match edit {
                    _ if interrupt.is_set() => Outcome::Superseded,
                    Ok(edit) => Outcome::Done(edit),
                    Err(error) => Outcome::Failed(one_line(&error)),
                });
            }
            Job::Load(_) => {}
        }));
        self.mailbox.finished();
        if done.is_err() {
            tracing::error!("a job ended by a panic; the model is loaded again");
            self.syntax = SyntaxCache::default();
            self.mailbox.reload();
            return None;
        }
        self.tell(State::Ready, &model);
        Some(engine)
    }

    fn tell(&self, state: State, model: &str) {
        (self.listener)(Status { state, model: model.to_owned() });
    }
}
