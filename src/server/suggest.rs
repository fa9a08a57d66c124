//! A suggestion for a place of an open document, from memory or from the worker: what both completion methods ask.

use tokio::sync::oneshot;
use tower_lsp::ls_types::Position;

use crate::completion::{Suggestion, Trigger, Wish};
use crate::documents::Snapshot;
use crate::interrupt::Interrupt;
use crate::server::convert;
use crate::server::session::Session;
use crate::worker::{Completion, Outcome};

/// A suggestion and the text that it is for.
pub struct Suggested {
    pub snapshot: Snapshot,
    pub suggestion: Suggestion,
}

/// Suggest something. The document is looked at before the first await; a dropped future stops the work.
pub async fn suggest(
    session: &Session,
    uri: &str,
    position: Position,
    wish: impl FnOnce(&Snapshot) -> Wish,
) -> Option<Suggested> {
    let snapshot = session.allowed_snapshot(uri)?;
    let offset = snapshot.offset_of(convert::position(position), session.encoding());
    let wish = wish(&snapshot);
    if wish.selected.is_none()
        && let Some(suggestion) = session.reuse().lookup(&snapshot, offset)
    {
        return Some(Suggested { snapshot, suggestion });
    }

    let interrupt = Interrupt::new();
    let guard = interrupt.on_drop();
    let (sender, receiver) = oneshot::channel();
    let automatic = wish.trigger == Trigger::Automatic;
    session.worker()?.complete(Completion {
        snapshot: snapshot.clone(),
        offset,
        wish,
        settings: session.settings(),
        interrupt,
        answer: Box::new(move |outcome| {
            // A receiver that is gone was cancelled: its client has been answered.
            let _ = sender.send(outcome);
        }),
    });
    let outcome = receiver.await.ok()?;
    guard.disarm();
    let attempt = match outcome {
        Outcome::Done(attempt) => attempt,
        Outcome::Superseded => return None,
        Outcome::Failed(reason) => {
            tracing::error!("{reason}");
            return None;
        }
    };
    tracing::debug!(
        tokens = attempt.tokens,
        prompt = attempt.prompt_tokens,
        cached = attempt.cached_tokens,
        finish = attempt.finish.name(),
        dropped_by = attempt.dropped_by,
        logprob = attempt.mean_logprob,
        prefill_ms = attempt.prefill.as_millis() as u64,
        decode_ms = attempt.decode.as_millis() as u64,
        "completed"
    );
    let suggestion = attempt.suggestion?;
    let mut reuse = session.reuse();
    if automatic && reuse.was_rejected(&snapshot, offset, &suggestion.text) {
        return None;
    }
    reuse.remember(&snapshot, &suggestion);
    drop(reuse);
    Some(Suggested { snapshot, suggestion })
}
