//! Wire types that the library has not, or that clients fill less strictly than the specification says.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tower_lsp::ls_types::notification::Notification;
use tower_lsp::ls_types::{Command, Position, Range};

/// A document by its URI, as the client spells it.
#[derive(Debug, Deserialize)]
pub struct DocumentId {
    pub uri: String,
}

/// `textDocument/inlineCompletion` (LSP 3.18).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InlineCompletionParams {
    pub text_document: DocumentId,
    pub position: Position,
    #[serde(default)]
    pub context: InlineCompletionContext,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InlineCompletionContext {
    /// 1: invoked, 2: automatic.
    pub trigger_kind: Option<i32>,
    pub selected_completion_info: Option<SelectedCompletionInfo>,
}

/// The entry selected in the editor's menu: a suggestion must extend it.
#[derive(Debug, Deserialize)]
pub struct SelectedCompletionInfo {
    pub range: Range,
    pub text: String,
}

#[derive(Debug, Serialize)]
pub struct InlineCompletionList {
    pub items: Vec<InlineCompletionItem>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InlineCompletionItem {
    pub insert_text: String,
    pub range: Range,
    pub command: Command,
}

/// `textDocument/didShowCompletion`, in copilot-language-server's shape.
#[derive(Debug, Deserialize)]
pub struct DidShowCompletionParams {
    pub item: Value,
}

/// `textDocument/didPartiallyAcceptCompletion`, in copilot-language-server's shape.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DidPartiallyAcceptCompletionParams {
    pub item: Value,
    /// UTF-16 units from the start of the item's text.
    pub accepted_length: u32,
}

/// `foretype/viewFileText`.
#[derive(Debug, Deserialize)]
pub struct ViewFileTextParams {
    pub uri: String,
}

/// `foretype/status`, to the client.
pub enum StatusNotification {}

impl Notification for StatusNotification {
    type Params = StatusParams;
    const METHOD: &'static str = "foretype/status";
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatusParams {
    /// "loading", "ready", "busy", "disabled" or "failed".
    pub state: String,
    pub message: String,
    pub model: String,
    /// Share of the loading that is done, from 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<f32>,
}

/// Arguments of `foretype.generate`.
#[derive(Debug, Deserialize)]
pub struct GenerateArguments {
    pub uri: String,
    pub instruction: String,
    pub range: Option<Range>,
}

/// Arguments of `foretype.document`.
#[derive(Debug, Deserialize)]
pub struct DocumentArguments {
    pub uri: String,
    pub position: Position,
}
