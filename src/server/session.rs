//! What the handlers of one client share. Every lock is held for a moment and never across an await.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tower_lsp::Client;

use crate::completion::Reuse;
use crate::config::{self, Layer, Notice, Settings};
use crate::documents::{Documents, Encoding, Snapshot};
use crate::worker::{Chore, Loader, Status, Worker};

/// A client that has settings tells them within this time, or gets the model without them first.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the client told at its start.
#[derive(Clone, Debug, Default)]
pub struct ClientFacts {
    pub encoding: Encoding,
    pub roots: Vec<PathBuf>,
    /// It asks by `textDocument/inlineCompletion`, so its completion menu is left to others.
    pub shows_inline: bool,
    pub has_configuration: bool,
    pub versions_edits: bool,
    pub shows_progress: bool,
}

/// The state of one client's server.
pub struct Session {
    pub client: Client,
    flags: Layer,
    user_file: Option<PathBuf>,
    /// Taken when the worker is started.
    loader: Mutex<Option<Loader>>,
    facts: OnceLock<ClientFacts>,
    worker: OnceLock<Worker>,
    documents: Mutex<Documents>,
    reuse: Arc<Mutex<Reuse>>,
    /// Layers from the client: its options, its settings.
    layers: Mutex<Layers>,
    settings: Mutex<Arc<Settings>>,
    told: Mutex<HashSet<Notice>>,
    /// The document that was asked for last.
    asked: Mutex<Arc<str>>,
    status: watch::Sender<Option<Status>>,
    was_shut_down: AtomicBool,
}

/// What the client sent of settings.
#[derive(Default)]
struct Layers {
    options: Option<Layer>,
    editor: Option<Layer>,
}

impl Session {
    pub fn new(client: Client, flags: Layer, user_file: Option<PathBuf>, loader: Loader) -> Self {
        Self {
            client,
            flags,
            user_file,
            loader: Mutex::new(Some(loader)),
            facts: OnceLock::new(),
            worker: OnceLock::new(),
            documents: Mutex::default(),
            reuse: Arc::default(),
            layers: Mutex::default(),
            settings: Mutex::new(Arc::new(Settings::default())),
            told: Mutex::default(),
            asked: Mutex::new("".into()),
            status: watch::Sender::new(None),
            was_shut_down: AtomicBool::new(false),
        }
    }

    /// The client said who it is: read the settings and start the worker.
    pub fn begin(&self, facts: ClientFacts, options: Option<Layer>) -> anyhow::Result<()> {
        if self.facts.set(facts).is_err() {
            anyhow::bail!("initialize came twice");
        }
        lock(&self.layers).options = options;
        self.read_settings();
        let Some(loader) = lock(&self.loader).take() else { anyhow::bail!("initialize came twice") };
        let status = self.status.clone();
        let listener = Box::new(move |new| {
            status.send_replace(Some(new));
        });
        // No model is loaded for settings that are about to change.
        let patience = if self.facts().has_configuration { PATIENCE } else { Duration::ZERO };
        let worker = Worker::start(self.settings(), patience, loader, listener, self.reuse.clone())?;
        if self.worker.set(worker).is_err() {
            anyhow::bail!("initialize came twice");
        }
        Ok(())
    }

    pub fn facts(&self) -> ClientFacts {
        self.facts.get().cloned().unwrap_or_default()
    }

    pub fn encoding(&self) -> Encoding {
        self.facts.get().map_or(Encoding::default(), |facts| facts.encoding)
    }

    pub fn worker(&self) -> Option<&Worker> {
        self.worker.get()
    }

    pub fn documents(&self) -> MutexGuard<'_, Documents> {
        lock(&self.documents)
    }

    pub fn reuse(&self) -> MutexGuard<'_, Reuse> {
        lock(&self.reuse)
    }

    pub fn settings(&self) -> Arc<Settings> {
        lock(&self.settings).clone()
    }

    pub fn status(&self) -> watch::Receiver<Option<Status>> {
        self.status.subscribe()
    }

    /// The document's text now, if it is open and Foretype may speak in it.
    pub fn allowed_snapshot(&self, uri: &str) -> Option<Snapshot> {
        let snapshot = self.documents().get(uri)?.clone();
        self.settings().allows(&snapshot.language_id, snapshot.path.as_deref()).then_some(snapshot)
    }

    /// The user works in this document now. If it was another one until now, the worker hears of all others.
    pub fn works_in(&self, snapshot: &Snapshot) {
        let last = std::mem::replace(&mut *lock(&self.asked), snapshot.uri.clone());
        let Some(worker) = self.worker().filter(|_| last != snapshot.uri) else { return };
        let settings = self.settings();
        let others = self.documents().all().cloned().collect::<Vec<_>>();
        let mut others: Vec<Snapshot> = others
            .into_iter()
            .filter(|other| other.uri != snapshot.uri && other.language_id == snapshot.language_id)
            .filter(|other| settings.allows(&other.language_id, other.path.as_deref()))
            .collect();
        // The one that the user comes from is the likeliest to be copied from.
        others.sort_by_key(|other| other.uri != last);
        worker.add_chore(Chore::Elsewhere(others));
    }

    /// The section `foretype` of the editor's settings. The worker restarts if they want another model.
    pub fn set_editor_settings(&self, layer: Layer) {
        lock(&self.layers).editor = Some(layer);
        let before = self.settings();
        self.read_settings();
        let after = self.settings();
        let of_model = |settings: &Settings| {
            (settings.model.clone(), settings.device, settings.threads, settings.remote.clone())
        };
        if of_model(&before) != of_model(&after) {
            self.restart();
        } else {
            self.settled();
        }
    }

    /// The editor's settings are known, or will not be.
    pub fn settled(&self) {
        if let Some(worker) = self.worker() {
            worker.settled();
        }
    }

    /// Read the files and load the model again.
    pub fn restart(&self) {
        self.read_settings();
        if let Some(worker) = self.worker() {
            worker.restart(self.settings());
        }
    }

    /// The client said `shutdown`: nothing is computed any more.
    pub fn shut_down(&self) {
        self.was_shut_down.store(true, Ordering::Release);
        self.stop();
    }

    pub fn was_shut_down(&self) -> bool {
        self.was_shut_down.load(Ordering::Acquire)
    }

    pub fn stop(&self) {
        if let Some(worker) = self.worker() {
            worker.stop();
        }
    }

    /// Notices that the user has not been told yet.
    pub fn new_notices(&self, notices: Vec<Notice>) -> Vec<Notice> {
        let mut told = lock(&self.told);
        notices.into_iter().filter(|notice| told.insert(notice.clone())).collect()
    }

    fn read_settings(&self) {
        let mut layers = vec![self.flags.clone()];
        let mut notices = Vec::new();
        {
            let known = lock(&self.layers);
            layers.extend(known.options.iter().chain(&known.editor).cloned());
        }
        let workspace = self.facts().roots.first().and_then(|root| config::workspace_file(root));
        for (layer, said) in workspace.into_iter().chain(config::user_file(self.user_file.as_deref())) {
            layers.push(layer);
            notices.extend(said);
        }
        let (settings, said) = config::resolve(layers);
        notices.extend(said);
        *lock(&self.settings) = Arc::new(settings);
        self.tell_once(notices);
    }

    /// Show the user those of these notices that were not shown yet.
    pub fn tell_once(&self, notices: Vec<Notice>) {
        let new = self.new_notices(notices);
        if new.is_empty() {
            return;
        }
        let client = self.client.clone();
        tokio::spawn(async move {
            for notice in new {
                client
                    .show_message(
                        tower_lsp::ls_types::MessageType::WARNING,
                        format!("Foretype: {}", notice.0),
                    )
                    .await;
            }
        });
    }
}

/// A panic in one handler does not take the state from the others.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
