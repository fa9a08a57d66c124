//! `didOpen`, `didChange`, `didClose`: applied in the order in which they come, without waiting for anything.

use tower_lsp::ls_types::{
    DidChangeTextDocumentParams, DidCloseTextDocumentParams, DidOpenTextDocumentParams,
    TextDocumentContentChangeEvent,
};

use crate::documents::Change;
use crate::server::convert;
use crate::server::session::Session;

pub fn opened(session: &Session, parameters: DidOpenTextDocumentParams) {
    let document = parameters.text_document;
    session.documents().open(document.uri.as_str(), &document.language_id, document.version, &document.text);
}

pub fn changed(session: &Session, parameters: DidChangeTextDocumentParams) {
    let document = parameters.text_document;
    let changes: Vec<Change> = parameters.content_changes.into_iter().map(change).collect();
    let uri = document.uri.as_str();
    if !session.documents().change(uri, document.version, &changes, session.encoding()) {
        tracing::warn!("a change of {uri} came, which is not open");
        return;
    }
    let snapshot = session.documents().get(uri).cloned();
    if let (Some(worker), Some(snapshot)) = (session.worker(), snapshot) {
        worker.changed(&snapshot);
    }
}

pub fn closed(session: &Session, parameters: &DidCloseTextDocumentParams) {
    let uri = parameters.text_document.uri.as_str();
    session.documents().close(uri);
    session.reuse().forget(uri);
}

fn change(event: TextDocumentContentChangeEvent) -> Change {
    let range = event.range.map(|range| (convert::position(range.start), convert::position(range.end)));
    Change { range, text: event.text }
}
