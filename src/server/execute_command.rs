//! `workspace/executeCommand`: which command, and its arguments.

use serde::de::DeserializeOwned;
use serde_json::Value;
use tower_lsp::jsonrpc::{Error, Result};
use tower_lsp::ls_types::{ExecuteCommandParams, LSPAny};

use crate::generation::Request;
use crate::server::protocol::{DocumentArguments, GenerateArguments};
use crate::server::session::Session;
use crate::server::{accept, convert, generate};

/// All commands, as the server announces them.
pub const COMMANDS: &[&str] =
    &["foretype.generate", "foretype.document", accept::COMMAND, "foretype.restart"];

pub async fn handle(session: &Session, parameters: ExecuteCommandParams) -> Result<Option<LSPAny>> {
    let token = parameters.work_done_progress_params.work_done_token;
    let mut arguments = parameters.arguments.into_iter();
    match parameters.command.as_str() {
        "foretype.generate" => {
            let GenerateArguments { uri, instruction, range } = parse(arguments.next())?;
            if instruction.trim().is_empty() {
                return Err(Error::invalid_params("the instruction is empty; say what the code should do"));
            }
            let snapshot = generate::snapshot(session, &uri)?;
            let range = range.map(|range| convert::bytes(&snapshot, range, session.encoding()));
            let end = snapshot.text.len_bytes();
            let request = Request::Generate { instruction, range: range.unwrap_or(end..end) };
            generate::handle(session, snapshot, request, token).await
        }
        "foretype.document" => {
            let DocumentArguments { uri, position } = parse(arguments.next())?;
            let snapshot = generate::snapshot(session, &uri)?;
            let offset = snapshot.offset_of(convert::position(position), session.encoding());
            generate::handle(session, snapshot, Request::Document { offset }, token).await
        }
        accept::COMMAND => {
            accept::accepted(session, arguments.next().as_ref());
            Ok(None)
        }
        "foretype.restart" => {
            session.restart();
            Ok(None)
        }
        other => {
            Err(Error::invalid_params(format!("there is no command {other}; known: {}", COMMANDS.join(", "))))
        }
    }
}

fn parse<T: DeserializeOwned>(argument: Option<Value>) -> Result<T> {
    serde_json::from_value(argument.unwrap_or_default())
        .map_err(|error| Error::invalid_params(format!("the command's argument is not understood: {error}")))
}
