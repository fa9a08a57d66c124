//! The request in words as tokens: in the model's own format for instructions, else as a comment to be continued.

use std::ops::Range;

use crate::documents::Snapshot;
use crate::engine::Engine;
use crate::languages::Language;

/// Bytes of the file that are shown to the model before the place of the edit.
const NEARBY: usize = 1200;
/// Bytes of a selection or function that are shown to the model.
const SUBJECT: usize = 2400;

/// A prompt and what its answer looks like.
pub struct Asked {
    pub tokens: Vec<u32>,
    pub shape: Shape,
}

/// Where the code stands in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// The prompt opened a fence: code up to the fence that closes it.
    OpenFence,
    /// The answer goes on with the file: code up to an empty line at the outer level.
    Continuation,
}

/// A prompt for code.
pub fn for_code(
    engine: &Engine,
    snapshot: &Snapshot,
    language: &Language,
    instruction: &str,
    range: &Range<usize>,
) -> Asked {
    let start = snapshot.clamp(range.start.saturating_sub(NEARBY));
    let nearby = snapshot.slice(start, range.start);
    let nearby = if start > 0 { nearby.split_once('\n').map_or("", |(_, rest)| rest) } else { &nearby };
    let end = snapshot.clamp(range.end.min(range.start + SUBJECT));
    let selection = snapshot.slice(range.start, end);
    let Some(template) =
        engine.manifest().instruction.as_ref().map(|instruction| instruction.template.clone())
    else {
        let marker = if language.line_comment.is_empty() { "#" } else { language.line_comment };
        let text = format!("{nearby}{marker} {instruction}\n");
        return Asked { tokens: engine.tokenize(&text), shape: Shape::Continuation };
    };
    let name = language.name;
    let mut asked = String::new();
    if !selection.trim().is_empty() {
        asked.push_str(&format!("Here is some {name} code:\n```\n{}\n```\n", selection.trim_end()));
        asked.push_str(&format!("Rewrite it: {instruction}\nAnswer with the {name} code only."));
    } else {
        if !nearby.trim().is_empty() {
            asked.push_str(&format!("The file so far:\n```\n{}\n```\n", nearby.trim_end()));
        }
        asked.push_str(&format!("Write {name} code: {instruction}\nAnswer with the {name} code only."));
    }
    let mut tokens = instruct(engine, &template, &asked);
    tokens.extend(engine.tokenize(&format!("```{}\n", name.to_lowercase())));
    Asked { tokens, shape: Shape::OpenFence }
}

/// A prompt for what a doc comment says of a function.
pub fn for_comment(engine: &Engine, language: &Language, code: &str) -> Asked {
    let mut end = code.len().min(SUBJECT);
    while !code.is_char_boundary(end) {
        end -= 1;
    }
    let (name, code) = (language.name, &code[..end]);
    let tokens = match engine.manifest().instruction.as_ref() {
        Some(instruction) => {
            let question =
                format!("Say in one short sentence what this {name} function does.\n```\n{code}\n```");
            let mut tokens = instruct(engine, &instruction.template, &question);
            tokens.extend(engine.tokenize("This function"));
            tokens
        }
        None => engine.tokenize(&format!("{code}\n\n{} This function", language.line_comment)),
    };
    Asked { tokens, shape: Shape::Continuation }
}

/// The template's markers by id, its other text and the question as text.
fn instruct(engine: &Engine, template: &str, question: &str) -> Vec<u32> {
    let (before, after) = template.split_once("{instruction}").unwrap_or((template, ""));
    let mut tokens = with_markers(engine, before);
    tokens.extend(engine.tokenize(question));
    tokens.extend(with_markers(engine, after));
    tokens
}

fn with_markers(engine: &Engine, template: &str) -> Vec<u32> {
    let mut tokens = Vec::new();
    let mut rest = template;
    while !rest.is_empty() {
        match next_marker(engine, rest) {
            Some((before, marker, after)) => {
                tokens.extend(engine.tokenize(before));
                tokens.push(marker);
                rest = after;
            }
            None => {
                tokens.extend(engine.tokenize(rest));
                break;
            }
        }
    }
    tokens
}

/// The first text between `<` and `>` that is a marker of the model.
fn next_marker<'a>(engine: &Engine, text: &'a str) -> Option<(&'a str, u32, &'a str)> {
    text.match_indices('<').find_map(|(start, _)| {
        let end = start + text[start..].find('>')? + 1;
        Some((&text[..start], engine.special(&text[start..end])?, &text[end..]))
    })
}
