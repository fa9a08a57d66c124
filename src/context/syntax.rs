//! Syntax trees of recently seen documents, reparsed incrementally.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ropey::Rope;
use tree_sitter::{InputEdit, ParseOptions, ParseState, Parser, Point, Tree};

use crate::documents::Snapshot;
use crate::languages::Language;

/// Documents whose trees are kept.
const KEPT: usize = 8;
/// Larger texts are not parsed.
const LARGEST: usize = 2 << 20;

/// Syntax trees of recently seen documents. Lives on the inference thread.
#[derive(Default)]
pub struct SyntaxCache {
    /// The latest last.
    parsed: Vec<Parsed>,
    /// A parse that takes longer is given up, and the next one begins anew; `None`: each is waited for.
    pub patience: Option<Duration>,
}

struct Parsed {
    uri: Arc<str>,
    language: &'static str,
    text: Rope,
    tree: Tree,
}

impl SyntaxCache {
    /// The tree of this snapshot, parsed from the last one of the same document where that helps. `None` for a
    /// language without grammar, a text too large, or a parse that takes too long.
    pub fn tree(&mut self, snapshot: &Snapshot, language: &Language) -> Option<Tree> {
        let grammar = language.grammar?;
        if snapshot.text.len_bytes() > LARGEST {
            return None;
        }
        let mut parser = Parser::new();
        parser.set_language(&grammar()).ok()?;
        let known = self.parsed.iter().position(|parsed| parsed.uri == snapshot.uri);
        let known =
            known.map(|index| self.parsed.remove(index)).filter(|parsed| parsed.language == language.name);
        let old = known.map(|mut parsed| {
            let edit = difference(&parsed.text, &snapshot.text);
            edit.iter().for_each(|edit| parsed.tree.edit(edit));
            parsed.tree
        });
        let tree = parse(&mut parser, &snapshot.text, old.as_ref(), self.patience)?;
        if self.parsed.len() >= KEPT {
            self.parsed.remove(0);
        }
        let (uri, text) = (snapshot.uri.clone(), snapshot.text.clone());
        self.parsed.push(Parsed { uri, language: language.name, text, tree: tree.clone() });
        Some(tree)
    }
}

fn parse(parser: &mut Parser, text: &Rope, old: Option<&Tree>, patience: Option<Duration>) -> Option<Tree> {
    let started = Instant::now();
    let mut give_up = |_: &ParseState| match patience.is_some_and(|patience| started.elapsed() > patience) {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    };
    let mut read = |offset: usize, _: Point| {
        if offset >= text.len_bytes() {
            return &[][..];
        }
        let (chunk, start, _, _) = text.chunk_at_byte(offset);
        &chunk.as_bytes()[offset - start..]
    };
    parser.parse_with_options(&mut read, old, Some(ParseOptions::new().progress_callback(&mut give_up)))
}

/// The one edit that makes the new text of the old: what stands between their common beginning and common end.
fn difference(old: &Rope, new: &Rope) -> Option<InputEdit> {
    let shared = old.bytes().zip(new.bytes()).take_while(|(a, b)| a == b).count();
    let (old_len, new_len) = (old.len_bytes(), new.len_bytes());
    if shared == old_len && shared == new_len {
        return None;
    }
    // An edit begins between characters.
    let start = old.char_to_byte(old.byte_to_char(shared)).min(new.char_to_byte(new.byte_to_char(shared)));
    let most = old_len.min(new_len) - start;
    let (old_back, new_back) = (old.bytes_at(old_len).reversed(), new.bytes_at(new_len).reversed());
    let ending = old_back.zip(new_back).take(most).take_while(|(a, b)| a == b).count();
    let (old_end, new_end) = (old_len - ending, new_len - ending);
    Some(InputEdit {
        start_byte: start,
        old_end_byte: old_end,
        new_end_byte: new_end,
        start_position: point(old, start),
        old_end_position: point(old, old_end),
        new_end_position: point(new, new_end),
    })
}

/// Tree-sitter counts lines by LF alone.
fn point(text: &Rope, offset: usize) -> Point {
    let mut row = 0;
    let mut line_start = 0;
    for (chunk, start) in chunks_before(text, offset) {
        for (index, _) in chunk.match_indices('\n') {
            if start + index < offset {
                row += 1;
                line_start = start + index + 1;
            }
        }
    }
    Point { row, column: offset - line_start }
}

fn chunks_before(text: &Rope, offset: usize) -> impl Iterator<Item = (&str, usize)> {
    text.chunks()
        .scan(0, |position, chunk| {
            let start = *position;
            *position += chunk.len();
            Some((chunk, start))
        })
        .take_while(move |(_, start)| *start < offset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::languages;
    use proptest::prelude::*;

    fn snapshot(id: &str, text: &str) -> Snapshot {
        Snapshot::detached(None, id, text)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn an_incremental_tree_equals_a_fresh_one(
            language in prop_oneof![Just("rust"), Just("python"), Just("typescript"), Just("json")],
            edits in proptest::collection::vec((0usize..400, 0usize..30, "[a-z(){}\\[\\]:;=\n \"é🦀]{0,12}"), 1..8),
        ) {
            let mut text = "fn a(b: u8) {\n    let c = [1, 2];\n}\ndef f(x):\n    return {\"y\": x}\n".repeat(3);
            let mut cache = SyntaxCache::default();
            let row = languages::of(language, None);
            cache.tree(&snapshot(language, &text), row);
            for (at, length, insert) in edits {
                let boundary = |offset: usize| (0..=offset.min(text.len())).rev().find(|o| text.is_char_boundary(*o)).unwrap();
                let (start, end) = (boundary(at), boundary(at + length));
                text.replace_range(start..end, &insert);
                let incremental = cache.tree(&snapshot(language, &text), row).unwrap();
                let fresh = SyntaxCache::default().tree(&snapshot(language, &text), row).unwrap();
                prop_assert_eq!(incremental.root_node().end_byte(), fresh.root_node().end_byte());
                if !fresh.root_node().has_error() {
                    prop_assert_eq!(incremental.root_node().to_sexp(), fresh.root_node().to_sexp());
                }
            }
        }
    }

    #[test]
    fn old_documents_are_forgotten_and_plain_text_has_no_tree() {
        let mut cache = SyntaxCache::default();
        for index in 0..20 {
            let path = format!("/a/{index}.rs");
            let document = Snapshot::detached(Some(std::path::Path::new(&path)), "rust", "fn a() {}");
            assert!(cache.tree(&document, languages::of("rust", None)).is_some());
        }
        assert_eq!(cache.parsed.len(), KEPT);
        assert!(cache.tree(&snapshot("", "text"), languages::of("", None)).is_none());
    }
}
