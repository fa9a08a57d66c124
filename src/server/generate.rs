//! `foretype.generate` and `foretype.document`: code from the worker, applied as one edit.

use std::collections::HashMap;
use std::str::FromStr;

use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use tower_lsp::jsonrpc::{Error, ErrorCode, Result};
use tower_lsp::ls_types::*;

use crate::documents::Snapshot;
use crate::engine::Flow;
use crate::generation::{Edit, Request};
use crate::interrupt::Interrupt;
use crate::server::convert;
use crate::server::session::Session;
use crate::worker::{Generation, Outcome};

/// The document that a command is for.
pub fn snapshot(session: &Session, uri: &str) -> Result<Snapshot> {
    let open = session.documents().get(uri).cloned();
    let open = open.ok_or_else(|| Error::invalid_params(format!("{uri} is not open in the editor")))?;
    let hidden = open.path.as_deref().and_then(|path| session.settings().hidden(path));
    hidden.map_or(Ok(open), |reason| Err(failed(reason)))
}

pub async fn handle(
    session: &Session,
    snapshot: Snapshot,
    request: Request,
    token: Option<ProgressToken>,
) -> Result<Option<LSPAny>> {
    let title = match &request {
        Request::Generate { .. } => "Foretype writes code",
        Request::Document { .. } => "Foretype writes a comment",
    };
    let interrupt = Interrupt::new();
    let guard = interrupt.on_drop();
    let (sender, receiver) = oneshot::channel();
    let (written, mut steps) = mpsc::unbounded_channel();
    let Some(worker) = session.worker() else { return Err(Error::internal_error()) };
    worker.generate(Generation {
        snapshot: snapshot.clone(),
        request,
        interrupt,
        observe: Box::new(move |code| {
            // Without a listener, the code is written all the same.
            let _ = written.send(code.lines().count());
            Flow::Continue
        }),
        answer: Box::new(move |outcome| {
            let _ = sender.send(outcome);
        }),
    });

    let token = match token {
        Some(token) => Some(token),
        None if session.facts().shows_progress => new_token(session).await,
        None => None,
    };
    let progress = match token {
        Some(token) => Some(session.client.progress(token, title).begin().await),
        None => None,
    };
    let mut lines = 0;
    while let Some(now) = steps.recv().await {
        if let Some(progress) = progress.as_ref().filter(|_| now > lines) {
            progress.report(format!("{now} lines")).await;
        }
        lines = now.max(lines);
    }
    let outcome = receiver.await;
    guard.disarm();
    if let Some(progress) = progress {
        progress.finish().await;
    }
    match outcome {
        Ok(Outcome::Done(edit)) => apply(session, &snapshot, edit).await,
        Ok(Outcome::Failed(reason)) => Err(failed(reason)),
        Ok(Outcome::Superseded) | Err(_) => Err(Error::request_cancelled()),
    }
}

async fn new_token(session: &Session) -> Option<ProgressToken> {
    let token = NumberOrString::String(format!("foretype-{}", session.client.next_request_id()));
    session.client.create_work_done_progress(token.clone()).await.ok().map(|()| token)
}

/// Insert the text in the editor and return it. If the user typed elsewhere meanwhile, its place has moved along.
async fn apply(session: &Session, then: &Snapshot, edit: Edit) -> Result<Option<LSPAny>> {
    let now = snapshot(session, &then.uri)?;
    let Some(bytes) = moved(then, &now, &edit) else {
        return Err(failed(format!("the text changed where the code belongs; here it is: {}", edit.text)));
    };
    let range = convert::range(&now, &bytes, session.encoding());
    let text_edit = TextEdit { range, new_text: edit.text.clone() };
    let Ok(uri) = Uri::from_str(&now.uri) else { return Err(Error::internal_error()) };
    let workspace_edit = if session.facts().versions_edits {
        let text_document = OptionalVersionedTextDocumentIdentifier { uri, version: Some(now.version) };
        let edits = vec![OneOf::Left(text_edit)];
        let changes = DocumentChanges::Edits(vec![TextDocumentEdit { text_document, edits }]);
        WorkspaceEdit { document_changes: Some(changes), ..WorkspaceEdit::default() }
    } else {
        WorkspaceEdit { changes: Some(HashMap::from([(uri, vec![text_edit])])), ..WorkspaceEdit::default() }
    };
    let answer = session.client.apply_edit(workspace_edit).await?;
    if !answer.applied {
        let reason = answer.failure_reason.unwrap_or_else(|| "it gave no reason".to_owned());
        return Err(failed(format!("the editor did not apply the code: {reason}")));
    }
    Ok(Some(json!(edit.text)))
}

/// Where the edit belongs now: unmoved if all before its end is as it was, moved if all after its start is.
fn moved(then: &Snapshot, now: &Snapshot, edit: &Edit) -> Option<std::ops::Range<usize>> {
    let same_head = then.text.bytes().zip(now.text.bytes()).take_while(|(a, b)| a == b).count();
    let (old, new) = (then.text.len_bytes(), now.text.len_bytes());
    let same_all = same_head == old && same_head == new;
    if same_all || same_head > edit.range.end || (same_head == edit.range.end && edit.range.end == old) {
        return Some(edit.range.clone());
    }
    let (old_back, new_back) = (then.text.bytes_at(old).reversed(), now.text.bytes_at(new).reversed());
    let same_tail = old_back.zip(new_back).take_while(|(a, b)| a == b).count();
    let from_end = old - edit.range.start;
    (same_tail >= from_end).then(|| new - from_end..new - (old - edit.range.end))
}

/// An error that the user reads.
fn failed(reason: String) -> Error {
    Error { code: ErrorCode::ServerError(-32803), message: reason.into(), data: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_moves_with_the_text_around_it() {
        let check = |then: &str, now: &str, at, expected: Option<usize>| {
            let (then, now) = (Snapshot::detached(None, "", then), Snapshot::detached(None, "", now));
            let edit = Edit { range: at..at, text: String::new() };
            assert_eq!(moved(&then, &now, &edit), expected.map(|at| at..at), "{now:?}");
        };
        check("abc\ndef", "abc\ndef", 4, Some(4));
        check("abc\ndef", "abc\ndefg", 4, Some(4));
        check("abc\ndef", "xxabc\ndef", 4, Some(6));
        check("abc\ndef", "abX\nYef", 4, None);
    }
}
