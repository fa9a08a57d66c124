//! `textDocument/completion`: the same suggestion as an entry of the menu, for editors without ghost text.

use tower_lsp::jsonrpc::Result;
use tower_lsp::ls_types::*;

use crate::completion::{Suggestion, Trigger, Wish};
use crate::documents::Snapshot;
use crate::server::convert;
use crate::server::session::Session;
use crate::server::suggest::suggest;

/// Characters of a label; the rest is in the documentation.
const LABEL: usize = 60;

pub async fn handle(session: &Session, parameters: CompletionParams) -> Result<Option<CompletionResponse>> {
    // Menus of editors with ghost text wait for every server: ours would hold them up and say the same twice.
    if session.facts().shows_inline {
        return Ok(None);
    }
    let at = parameters.text_document_position;
    let wish = |_: &_| Wish { trigger: Trigger::Automatic, ..Wish::default() };
    let Some(suggested) = suggest(session, at.text_document.uri.as_str(), at.position, wish).await else {
        return Ok(None);
    };
    let item = |suggestion| item(session, &suggested.snapshot, suggestion, at.position);
    let items = suggested.suggestions.iter().map(item).collect();
    let list = CompletionList { is_incomplete: true, items };
    Ok(Some(CompletionResponse::List(list)))
}

fn item(
    session: &Session,
    snapshot: &Snapshot,
    suggestion: &Suggestion,
    position: Position,
) -> CompletionItem {
    // Menus keep only entries that begin with the word before the cursor: the entry replaces that word by itself.
    let (before, _) = snapshot.line_around(suggestion.range.start);
    let word_start = before
        .char_indices()
        .rev()
        .take_while(|(_, character)| character.is_alphanumeric() || *character == '_')
        .last()
        .map_or(before.len(), |(index, _)| index);
    let word = &before[word_start..];
    let bytes = suggestion.range.start - word.len()..suggestion.range.end;
    let mut range = convert::range(snapshot, &bytes, session.encoding());
    range.end = range.end.max(position);
    let text = format!("{word}{}", suggestion.text);
    let first_line = text.trim_start().lines().next().unwrap_or_default();
    let label: String = match first_line.char_indices().nth(LABEL) {
        Some((end, _)) => format!("{}…", &first_line[..end]),
        None => first_line.to_owned(),
    };
    let language = &snapshot.language_id;
    CompletionItem {
        label,
        kind: Some(CompletionItemKind::SNIPPET),
        detail: Some("Foretype".to_owned()),
        documentation: Some(Documentation::MarkupContent(MarkupContent {
            kind: MarkupKind::Markdown,
            value: format!("```{language}\n{text}\n```"),
        })),
        filter_text: Some(if word.is_empty() { first_line.to_owned() } else { text.clone() }),
        // After what the language's own server offers.
        sort_text: Some("\u{10ffff}foretype".to_owned()),
        insert_text_format: Some(InsertTextFormat::PLAIN_TEXT),
        insert_text_mode: Some(InsertTextMode::AS_IS),
        text_edit: Some(CompletionTextEdit::Edit(TextEdit { range, new_text: text })),
        ..CompletionItem::default()
    }
}
