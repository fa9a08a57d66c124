//! `foretype/viewFileText`: the server's text of an open document, for debugging and tests.

use tower_lsp::jsonrpc::{Error, Result};

use crate::server::protocol::ViewFileTextParams;
use crate::server::session::Session;

pub fn handle(session: &Session, parameters: &ViewFileTextParams) -> Result<String> {
    let documents = session.documents();
    let snapshot = documents.get(&parameters.uri);
    snapshot
        .map(|snapshot| snapshot.text.to_string())
        .ok_or_else(|| Error::invalid_params(format!("{} is not open", parameters.uri)))
}
