//! `textDocument/inlineCompletion`: ghost text.

use tower_lsp::jsonrpc::Result;
use tower_lsp::ls_types::Command;

use crate::completion::{Suggestion, Trigger, Wish};
use crate::documents::Snapshot;
use crate::server::protocol::{
    InlineCompletionContext, InlineCompletionItem, InlineCompletionList, InlineCompletionParams,
};
use crate::server::session::Session;
use crate::server::suggest::{Suggested, suggest};
use crate::server::{accept, convert};

/// `triggerKind` of a request that the user made by a key or a command.
const INVOKED: i32 = 1;

pub async fn handle(
    session: &Session,
    parameters: InlineCompletionParams,
) -> Result<Option<InlineCompletionList>> {
    let InlineCompletionParams { text_document, position, context } = parameters;
    let wish = |snapshot: &Snapshot| wish(session, snapshot, context);
    let Some(suggested) = suggest(session, &text_document.uri, position, wish).await else { return Ok(None) };
    let Suggested { snapshot, suggestions } = suggested;
    let item = |suggestion| item(session, &text_document.uri, &snapshot, suggestion);
    Ok(Some(InlineCompletionList { items: suggestions.into_iter().map(item).collect() }))
}

fn wish(session: &Session, snapshot: &Snapshot, context: InlineCompletionContext) -> Wish {
    let trigger = match context.trigger_kind {
        Some(INVOKED) => Trigger::Explicit,
        _ => Trigger::Automatic,
    };
    let selected = context
        .selected_completion_info
        .map(|selected| (convert::bytes(snapshot, selected.range, session.encoding()), selected.text));
    Wish { trigger, selected, ..Wish::default() }
}

fn item(session: &Session, uri: &str, snapshot: &Snapshot, suggestion: Suggestion) -> InlineCompletionItem {
    let command = Command {
        title: "Accepted".to_owned(),
        command: accept::COMMAND.to_owned(),
        arguments: Some(vec![serde_json::json!({"uri": uri, "text": suggestion.text})]),
    };
    let range = convert::range(snapshot, &suggestion.range, session.encoding());
    InlineCompletionItem { insert_text: suggestion.text, range, command }
}
