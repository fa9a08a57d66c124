//! Suggestions for a place of an open document, from memory or from the worker: what both completion methods ask.

use tokio::sync::oneshot;
use tower_lsp::ls_types::Position;

use crate::completion::{Suggestion, Trigger, Wish};
use crate::config::Notice;
use crate::documents::Snapshot;
use crate::server::convert;
use crate::server::session::Session;
use crate::worker::{Chore, Completion, Counters, Made, Outcome, Place};

/// Suggestions, at least one, and the text that they are for.
pub struct Suggested {
    pub snapshot: Snapshot,
    pub suggestions: Vec<Suggestion>,
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
    let place = Place { snapshot: snapshot.clone(), offset, settings: session.settings() };
    let worker = session.worker()?;
    session.works_in(&snapshot);
    // Who asks by a key wants to choose; one suggestion that is known is not enough.
    let enough = if wish.trigger == Trigger::Explicit { 2 } else { 1 };
    let known = from_memory(session, &place, &wish);
    if known.len() >= enough {
        Counters::count(&worker.counters().from_memory);
        // It may be shown for long: time to think of what follows it.
        worker.add_chore(Chore::LookAhead(place, known[0].text.clone()));
        return Suggested::of(snapshot, known);
    }
    let mut made = ask(session, &place, &wish).await?;
    if made.joined {
        let known = from_memory(session, &place, &wish);
        if !known.is_empty() {
            return Suggested::of(snapshot, known);
        }
        // The decode turned away from what was typed, or nothing was left of it.
        made = ask(session, &place, &wish).await?;
    }
    if made.joined {
        return Suggested::of(snapshot, from_memory(session, &place, &wish));
    }
    let mut made: Vec<Suggestion> =
        made.attempt.suggestion.into_iter().chain(made.attempt.alternatives).collect();
    if wish.trigger == Trigger::Automatic {
        let reuse = session.reuse();
        made.retain(|suggestion| !reuse.was_rejected(&snapshot, offset, &suggestion.text));
    }
    Suggested::of(snapshot, made)
}

impl Suggested {
    /// `None` where there is no suggestion.
    fn of(snapshot: Snapshot, suggestions: Vec<Suggestion>) -> Option<Self> {
        (!suggestions.is_empty()).then_some(Self { snapshot, suggestions })
    }
}

/// What is known already for this place: one suggestion, or all for a user who wants to choose.
fn from_memory(session: &Session, place: &Place, wish: &Wish) -> Vec<Suggestion> {
    if wish.selected.is_some() {
        return Vec::new();
    }
    let mut all = session.reuse().lookup_all(&place.snapshot, place.offset);
    if wish.trigger == Trigger::Automatic {
        all.truncate(1);
    }
    all
}

/// Ask the worker, and wait.
async fn ask(session: &Session, place: &Place, wish: &Wish) -> Option<Made> {
    let (sender, receiver) = oneshot::channel();
    let ticket = session.worker()?.complete(Completion {
        place: place.clone(),
        wish: wish.clone(),
        answer: Box::new(move |outcome| {
            // A receiver that is gone was cancelled: its client has been answered.
            let _ = sender.send(outcome);
        }),
    });
    let outcome = receiver.await.ok()?;
    ticket.answered();
    let made = match outcome {
        Outcome::Done(made) => made,
        Outcome::Superseded => return None,
        Outcome::Failed(reason) => {
            tracing::error!("{reason}");
            // Another machine may be out of reach: without a word, nobody would know why nothing comes.
            if place.settings.remote.is_some() {
                session.tell_once(vec![Notice(reason)]);
            }
            return None;
        }
    };
    let attempt = &made.attempt;
    tracing::debug!(
        tokens = attempt.tokens,
        prompt = attempt.prompt_tokens,
        cached = attempt.cached_tokens,
        drafted = attempt.drafted,
        drafts_taken = attempt.drafts_taken,
        joined = made.joined,
        finish = attempt.finish.name(),
        dropped_by = attempt.dropped_by,
        logprob = attempt.mean_logprob,
        prefill_ms = attempt.prefill.as_millis() as u64,
        decode_ms = attempt.decode.as_millis() as u64,
        "completed"
    );
    Some(made)
}
