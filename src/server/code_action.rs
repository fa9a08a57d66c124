//! `textDocument/codeAction`: documenting the function under the cursor.

use serde_json::json;
use tower_lsp::ls_types::*;

use crate::documents::Snapshot;
use crate::languages;
use crate::server::convert;
use crate::server::session::Session;
use crate::worker::{Chore, Place};

/// What such a line begins with where it opens something else.
const OTHERS: &[&str] = &[
    "if",
    "elif",
    "elsif",
    "else",
    "unless",
    "for",
    "foreach",
    "while",
    "until",
    "match",
    "switch",
    "case",
    "when",
    "with",
    "try",
    "catch",
    "except",
    "class",
    "struct",
    "enum",
    "trait",
    "impl",
    "interface",
    "record",
    "using",
    "lock",
    "synchronized",
    "return",
];

/// Only on a line that looks like a function's first: nothing is parsed here, and an offer everywhere would be noise.
pub fn handle(session: &Session, parameters: &CodeActionParams) -> Option<CodeActionResponse> {
    let uri = parameters.text_document.uri.as_str();
    let snapshot = session.allowed_snapshot(uri)?;
    warm_up(session, &snapshot, parameters.range);
    let language = languages::of(&snapshot.language_id, snapshot.path.as_deref());
    let line = parameters.range.start.line as usize;
    if language.functions.is_empty() || line >= snapshot.text.len_lines() {
        return None;
    }
    let text = snapshot.text.line(line).to_string();
    let opens = language.openers.iter().any(|opener| text.trim_end().ends_with(opener));
    let first_word = text.trim_start().split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
    if !text.contains('(') || !opens || OTHERS.contains(&first_word) {
        return None;
    }
    let title = "Foretype: Document this function";
    let command = Command {
        title: title.to_owned(),
        command: "foretype.document".to_owned(),
        arguments: Some(vec![json!({"uri": uri, "position": parameters.range.start})]),
    };
    let action = CodeAction {
        title: title.to_owned(),
        kind: Some(CodeActionKind::REFACTOR_REWRITE),
        command: Some(command),
        ..CodeAction::default()
    };
    Some(vec![CodeActionOrCommand::CodeAction(action)])
}

/// Editors ask for actions wherever the cursor comes to rest: the next suggestion is likely to be wanted there.
fn warm_up(session: &Session, snapshot: &Snapshot, range: Range) {
    let Some(worker) = session.worker().filter(|_| range.start == range.end) else { return };
    let offset = snapshot.offset_of(convert::position(range.start), session.encoding());
    let place = Place { snapshot: snapshot.clone(), offset, settings: session.settings() };
    worker.add_chore(Chore::WarmUp(place));
}
