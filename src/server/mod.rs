//! The only module that knows LSP: one file per method.

mod accept;
mod code_action;
mod completion;
mod configuration;
mod convert;
mod counters;
mod documents;
mod execute_command;
mod exit;
mod frames;
mod generate;
mod initialize;
mod inline_completion;
mod protocol;
mod session;
mod standard;
mod status;
mod suggest;
mod view_file_text;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tower_lsp::jsonrpc::{Error, Result};
use tower_lsp::ls_types::*;
use tower_lsp::{LanguageServer, LspService, Server};

use crate::config::Layer;
use crate::engine::Engine;
use crate::model::store;
use crate::worker::Loader;

use session::Session;

/// Handlers that may wait at the same time. With few of them, slow requests would hold up `didChange` and
/// `$/cancelRequest` behind them.
const CONCURRENCY: usize = 64;

/// Bytes of messages that wait to be taken in.
const RELAYED: usize = 1 << 16;

/// Time for handlers to hand in their last answers once the client leaves.
const GRACE: Duration = Duration::from_millis(100);

/// Run on stdin and stdout, with models from the store.
///
/// # Errors
/// When the runtime cannot be started.
pub fn serve(flags: Layer, user_file: Option<PathBuf>) -> anyhow::Result<ExitCode> {
    let loader: Loader = Box::new(|settings, progress| {
        let mut download = |at: store::Progress| {
            if at.total > 0 {
                progress(at.done as f32 / at.total as f32);
            }
        };
        if let Some(remote) = &settings.remote {
            return Engine::remote(remote);
        }
        let files = store::ensure(&settings.model, &mut download)?;
        let mut engine = Engine::load(&files, settings.device, settings.threads, progress)?;
        engine.measure()?;
        Ok(engine)
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let served = async { run(standard::input(), standard::output(), flags, user_file, loader).await };
    let code = runtime.block_on(served);
    // A read from a terminal or a file cannot be taken back: the runtime would wait for it.
    runtime.shutdown_background();
    std::process::exit(i32::from(code))
}

/// Run over any pair of streams until the client says `exit` or its stream ends; 0, or 1 for an exit without shutdown.
pub async fn run(
    input: impl AsyncRead + Unpin,
    output: impl AsyncWrite,
    flags: Layer,
    user_file: Option<PathBuf>,
    loader: Loader,
) -> u8 {
    let mut made = None;
    let (service, socket) = LspService::build(|client| {
        let session = Arc::new(Session::new(client, flags, user_file, loader));
        made = Some(session.clone());
        Backend { session }
    })
    .custom_method("textDocument/inlineCompletion", Backend::inline_completion)
    .custom_method("textDocument/didShowCompletion", Backend::did_show_completion)
    .custom_method("textDocument/didPartiallyAcceptCompletion", Backend::did_partially_accept_completion)
    .custom_method("foretype/viewFileText", Backend::view_file_text)
    .custom_method("foretype/counters", Backend::counters)
    .custom_method(frames::UNREADABLE, Backend::unreadable)
    .finish();
    let (service, exit) = exit::watch(service);
    let (readable, relay) = tokio::io::duplex(RELAYED);
    // Handlers may wait for answers of a client that is gone: neither an exit nor the end of its stream waits for them.
    let client_left = async {
        tokio::select! {
            () = exit.requested() => {}
            () = frames::relay(input, relay) => {}
        }
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        () = Server::new(readable, output, socket).concurrency_level(CONCURRENCY).serve(service) => {}
        () = client_left => {}
    }
    match made {
        Some(session) => {
            session.stop();
            u8::from(exit.was_requested() && !session.was_shut_down())
        }
        None => 1,
    }
}

/// What tower-lsp calls. Each method hands on to its file.
struct Backend {
    session: Arc<Session>,
}

impl Backend {
    async fn inline_completion(
        &self,
        parameters: protocol::InlineCompletionParams,
    ) -> Result<Option<protocol::InlineCompletionList>> {
        inline_completion::handle(&self.session, parameters).await
    }

    async fn did_show_completion(&self, parameters: protocol::DidShowCompletionParams) {
        accept::shown(&self.session, &parameters);
    }

    async fn did_partially_accept_completion(
        &self,
        parameters: protocol::DidPartiallyAcceptCompletionParams,
    ) {
        accept::partially_accepted(&self.session, &parameters);
    }

    async fn counters(&self, _: LSPAny) -> Result<LSPAny> {
        Ok(counters::handle(&self.session))
    }

    async fn unreadable(&self) -> Result<()> {
        Err(Error {
            message: "this message is no JSON-RPC 2.0; it was ignored".into(),
            ..Error::parse_error()
        })
    }

    async fn view_file_text(&self, parameters: protocol::ViewFileTextParams) -> Result<String> {
        view_file_text::handle(&self.session, &parameters)
    }
}

impl LanguageServer for Backend {
    async fn initialize(&self, parameters: InitializeParams) -> Result<InitializeResult> {
        initialize::handle(&self.session, parameters)
    }

    async fn initialized(&self, _: InitializedParams) {
        initialize::initialized(&self.session).await;
    }

    async fn shutdown(&self) -> Result<()> {
        self.session.shut_down();
        Ok(())
    }

    async fn did_open(&self, parameters: DidOpenTextDocumentParams) {
        documents::opened(&self.session, parameters);
    }

    async fn did_change(&self, parameters: DidChangeTextDocumentParams) {
        documents::changed(&self.session, parameters);
    }

    async fn did_close(&self, parameters: DidCloseTextDocumentParams) {
        documents::closed(&self.session, &parameters);
    }

    async fn did_save(&self, _: DidSaveTextDocumentParams) {}

    async fn did_change_configuration(&self, parameters: DidChangeConfigurationParams) {
        configuration::changed(&self.session, parameters).await;
    }

    async fn completion(&self, parameters: CompletionParams) -> Result<Option<CompletionResponse>> {
        completion::handle(&self.session, parameters).await
    }

    async fn completion_resolve(&self, item: CompletionItem) -> Result<CompletionItem> {
        Ok(item)
    }

    async fn code_action(&self, parameters: CodeActionParams) -> Result<Option<CodeActionResponse>> {
        Ok(code_action::handle(&self.session, &parameters))
    }

    async fn execute_command(&self, parameters: ExecuteCommandParams) -> Result<Option<LSPAny>> {
        execute_command::handle(&self.session, parameters).await
    }
}
