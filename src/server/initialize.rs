//! `initialize` and `initialized`: who the client is, what the server can.

use std::sync::Arc;

use tower_lsp::jsonrpc::{Error, Result};
use tower_lsp::ls_types::*;

use crate::config::{Layer, Source};
use crate::documents::path_of_uri;
use crate::server::session::{ClientFacts, Session};
use crate::server::{configuration, convert, execute_command, status};
use crate::worker::exit_with_process;

pub fn handle(session: &Arc<Session>, parameters: InitializeParams) -> Result<InitializeResult> {
    if let Some(process) = parameters.process_id {
        exit_with_process(process);
    }
    let facts = facts(&parameters);
    let encoding = facts.encoding;
    let options = parameters.initialization_options.map(|options| {
        // Clients that wrap their settings in the section's name mean the same.
        let inner = options.get("foretype").cloned().unwrap_or(options);
        Layer::json(Source::Client, inner)
    });
    session.begin(facts, options).map_err(|error| {
        tracing::error!("{error:#}");
        Error::internal_error()
    })?;
    Ok(InitializeResult {
        capabilities: capabilities(convert::encoding_kind(encoding)),
        server_info: Some(ServerInfo {
            name: "foretype".to_owned(),
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        }),
        offset_encoding: None,
    })
}

/// The client is ready to be spoken to.
pub async fn initialized(session: &Arc<Session>) {
    status::follow(session);
    if session.facts().has_configuration {
        configuration::pull(session).await;
    }
}

fn capabilities(position_encoding: PositionEncodingKind) -> ServerCapabilities {
    ServerCapabilities {
        position_encoding: Some(position_encoding),
        text_document_sync: Some(TextDocumentSyncCapability::Options(TextDocumentSyncOptions {
            open_close: Some(true),
            change: Some(TextDocumentSyncKind::INCREMENTAL),
            ..Default::default()
        })),
        inline_completion_provider: Some(OneOf::Right(InlineCompletionOptions::default())),
        completion_provider: Some(CompletionOptions { resolve_provider: Some(true), ..Default::default() }),
        code_action_provider: Some(CodeActionProviderCapability::Options(CodeActionOptions {
            code_action_kinds: Some(vec![CodeActionKind::REFACTOR_REWRITE]),
            ..Default::default()
        })),
        execute_command_provider: Some(ExecuteCommandOptions {
            commands: execute_command::COMMANDS.iter().map(|command| (*command).to_owned()).collect(),
            ..Default::default()
        }),
        workspace: Some(WorkspaceServerCapabilities {
            workspace_folders: Some(WorkspaceFoldersServerCapabilities {
                supported: Some(true),
                change_notifications: None,
            }),
            file_operations: None,
        }),
        ..Default::default()
    }
}

fn facts(parameters: &InitializeParams) -> ClientFacts {
    let capabilities = &parameters.capabilities;
    let general = capabilities.general.as_ref();
    let workspace = capabilities.workspace.as_ref();
    let text_document = capabilities.text_document.as_ref();
    let folders = parameters.workspace_folders.iter().flatten().map(|folder| folder.uri.as_str().to_owned());
    #[allow(deprecated)]
    let old_root = parameters.root_uri.iter().map(|uri| uri.as_str().to_owned());
    ClientFacts {
        encoding: convert::encoding(general.and_then(|general| general.position_encodings.as_deref())),
        roots: folders.chain(old_root).filter_map(|uri| path_of_uri(&uri)).collect(),
        shows_inline: text_document.is_some_and(|capabilities| capabilities.inline_completion.is_some()),
        has_configuration: workspace.and_then(|workspace| workspace.configuration).unwrap_or(false),
        versions_edits: workspace
            .and_then(|workspace| workspace.workspace_edit.as_ref())
            .and_then(|edit| edit.document_changes)
            .unwrap_or(false),
        shows_progress: capabilities
            .window
            .as_ref()
            .and_then(|window| window.work_done_progress)
            .unwrap_or(false),
    }
}
