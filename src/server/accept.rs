//! What became of suggestions: shown, accepted in part, accepted.

use serde_json::Value;

use crate::server::protocol::{DidPartiallyAcceptCompletionParams, DidShowCompletionParams};
use crate::server::session::Session;

/// The command that an accepted item carries.
pub const COMMAND: &str = "foretype.accept";

pub fn shown(session: &Session, parameters: &DidShowCompletionParams) {
    if session.settings().statistics {
        tracing::info!(characters = characters(&parameters.item), "shown");
    }
}

/// The rest needs nothing: the accepted part is in the document, and what remains is served from memory.
pub fn partially_accepted(session: &Session, parameters: &DidPartiallyAcceptCompletionParams) {
    if session.settings().statistics {
        let (all, accepted) = (characters(&parameters.item), parameters.accepted_length);
        tracing::info!(characters = all, accepted, "accepted in part");
    }
}

/// `foretype.accept`.
pub fn accepted(session: &Session, argument: Option<&Value>) {
    if session.settings().statistics {
        let text = argument.and_then(|argument| argument["text"].as_str()).unwrap_or_default();
        tracing::info!(characters = text.chars().count(), "accepted");
    }
}

fn characters(item: &Value) -> usize {
    item["insertText"].as_str().unwrap_or_default().chars().count()
}
