//! The only owner of threads: the inference thread with its mailbox, and the watch over the client's process.

mod chores;
mod counters;
mod flight;
mod inference;
mod jobs;
mod mailbox;
mod watch;

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::completion::Reuse;
use crate::config::Settings;
use crate::documents::Snapshot;
use crate::engine::Engine;

pub use counters::Counters;
pub use jobs::{Chore, Completion, Generation, Made, Outcome, Place};
pub use watch::exit_with_process;

use inference::Inference;
use mailbox::Mailbox;

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
    /// Start the thread; it begins by loading the model of these settings, once they are [settled](Worker::settled) or
    /// the patience is at its end. What it suggests, asked or in idle time, it puts into the memory.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        settings: Arc<Settings>,
        patience: Duration,
        loader: Loader,
        listener: Listener,
        memory: Arc<Mutex<Reuse>>,
    ) -> anyhow::Result<Self> {
        let mailbox = Arc::new(Mailbox::new(settings, patience));
        let inference = Inference::new(mailbox.clone(), loader, listener, memory);
        let name = "foretype-inference".to_owned();
        let thread = std::thread::Builder::new().name(name).spawn(move || inference.run())?;
        Ok(Self { mailbox, thread: Mutex::new(Some(thread)) })
    }

    /// Ask for a suggestion. One that waits or is being written is superseded, unless this one types what it writes.
    pub fn complete(&self, job: Completion) -> Ticket {
        let number = self.mailbox.complete(job);
        Ticket { mailbox: self.mailbox.clone(), number, armed: true }
    }

    /// A document has a new text: what is being written for the old one stops, unless it is what was typed.
    pub fn changed(&self, snapshot: &Snapshot) {
        self.mailbox.changed(snapshot);
    }

    /// Something to do in idle time.
    pub fn add_chore(&self, chore: Chore) {
        self.mailbox.add_chore(chore);
    }

    /// What was done so far.
    pub fn counters(&self) -> &Counters {
        &self.mailbox.counters
    }

    /// Ask for code. It waits for its turn; suggestions wait for nobody and are left out meanwhile.
    pub fn generate(&self, job: Generation) {
        self.mailbox.generate(job);
    }

    /// The settings are as they will be: load the model, if that was put off until now.
    pub fn settled(&self) {
        self.mailbox.settled();
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
            let patience = std::time::Instant::now() + Duration::from_millis(500);
            while !thread.is_finished() && std::time::Instant::now() < patience {
                std::thread::sleep(Duration::from_millis(2));
            }
            if thread.is_finished() && thread.join().is_err() {
                tracing::error!("the inference thread ended by a panic");
            }
        }
    }
}

/// Held while somebody waits for a suggestion; dropping it cancels that.
pub struct Ticket {
    mailbox: Arc<Mailbox>,
    number: u64,
    armed: bool,
}

impl Ticket {
    /// The answer is there: dropping the ticket does nothing any more.
    pub fn answered(mut self) {
        self.armed = false;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.armed {
            self.mailbox.cancel(self.number);
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop();
    }
}
