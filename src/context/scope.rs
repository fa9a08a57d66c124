//! Where a cursor stands: in code, a comment or a string; inside which scopes; before a body that is to be written.

use std::ops::Range;

use tree_sitter::{Node, Tree};

use crate::documents::Snapshot;
use crate::languages::Language;

/// What kind of text surrounds the cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Code,
    Comment,
    String,
}

/// A function's extent and its body, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Where the function begins (after the indentation of its first line).
    pub start: usize,
    /// The whole of it.
    pub range: Range<usize>,
    /// Where its body begins, if it has one.
    pub body: Option<usize>,
}

/// What kind of text the cursor stands in; code when nothing is known.
pub fn is_prose(tree: Option<&Tree>, offset: usize) -> Place {
    let Some(tree) = tree else { return Place::Code };
    let before = offset.saturating_sub(1);
    let mut node = tree.root_node().descendant_for_byte_range(before, offset);
    while let Some(current) = node {
        let kind = current.kind();
        if kind.contains("comment") && current.start_byte() < offset {
            return Place::Comment;
        }
        let is_string = kind.contains("string") || kind.contains("heredoc") || kind == "char_literal";
        if is_string
            && !kind.contains("interpolation")
            && current.start_byte() < offset
            && offset < current.end_byte()
        {
            return Place::String;
        }
        node = current.parent();
    }
    Place::Code
}

/// The innermost function around (or starting on the line of) `offset`.
pub fn function_at(tree: &Tree, snapshot: &Snapshot, language: &Language, offset: usize) -> Option<Function> {
    let line = snapshot.text.byte_to_line(offset);
    let line_start = snapshot.text.line_to_byte(line);
    let line_text = snapshot.text.line(line).to_string();
    let first_word = line_start + (line_text.len() - line_text.trim_start().len());
    let around = |offset: usize| {
        let mut node = tree.root_node().descendant_for_byte_range(offset, offset);
        while let Some(current) = node {
            if language.functions.contains(&current.kind()) {
                return Some(current);
            }
            node = current.parent();
        }
        None
    };
    let node = around(offset).or_else(|| around(first_word))?;
    let body = node.child_by_field_name("body").map(|body| body.start_byte());
    Some(Function { start: node.start_byte(), range: node.byte_range(), body })
}

/// The signatures of the scopes around `offset`, outermost first: from the start of each scope's first line to its
/// body. A signature that itself holds the cursor is left out.
pub fn signatures(tree: &Tree, snapshot: &Snapshot, language: &Language, offset: usize) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut node = tree.root_node().descendant_for_byte_range(offset, offset);
    while let Some(current) = node {
        if language.scopes.contains(&current.kind()) {
            let line = snapshot.text.byte_to_line(current.start_byte());
            let start = snapshot.text.line_to_byte(line);
            let end = body_start(current, language).unwrap_or_else(|| snapshot.text.line_to_byte(line + 1));
            // The rest of the line on which the body opens belongs to the signature.
            let end = snapshot.text.line_to_byte(snapshot.text.byte_to_line(end.max(start + 1) - 1) + 1);
            if end <= offset {
                found.push(start..end);
            }
        }
        node = current.parent();
    }
    found.reverse();
    found
}

fn body_start(node: Node, language: &Language) -> Option<usize> {
    let named = node.child_by_field_name("body");
    let mut cursor = node.walk();
    let body =
        named.or_else(|| node.children(&mut cursor).find(|child| language.blocks.contains(&child.kind())))?;
    // A body by brackets opens on the signature's last line; one by indentation begins after it.
    let opens_with_bracket = body.child(0).is_some_and(|first| matches!(first.kind(), "{" | "(" | "["));
    let before = body.prev_sibling().map_or(node.start_byte() + 1, |sibling| sibling.end_byte());
    Some(if opens_with_bracket { body.start_byte() + 1 } else { before })
}

/// Imports that end before `offset`.
pub fn imports(tree: &Tree, language: &Language, offset: usize) -> Vec<Range<usize>> {
    let mut cursor = tree.root_node().walk();
    let before = tree.root_node().children(&mut cursor).take_while(|node| node.end_byte() <= offset);
    before.filter(|node| language.imports.contains(&node.kind())).map(|node| node.byte_range()).collect()
}

/// Whether a whole body is to be written at `offset`: the line before the cursor is blank, the last line of code above
/// it opens a block, and what follows does not stand deeper than that line.
pub fn block_to_write(snapshot: &Snapshot, language: &Language, offset: usize) -> bool {
    let text = &snapshot.text;
    let (before, after) = snapshot.line_around(offset);
    if !after.trim().is_empty() {
        return false;
    }
    let line = text.byte_to_line(offset);
    let opening = if before.trim().is_empty() {
        let above = (0..line).rev().take(20).map(|line| text.line(line).to_string());
        above.into_iter().find(|line| !line.trim().is_empty())
    } else {
        None
    };
    let Some(opening) = opening else { return false };
    let code = without_comment(&opening, language);
    if !language.openers.iter().any(|opener| ends_with_word(code, opener)) {
        return false;
    }
    let below = (line + 1..text.len_lines()).take(20).map(|line| text.line(line).to_string());
    let below = below.into_iter().find(|line| !line.trim().is_empty());
    below.is_none_or(|below| indentation(&below) <= indentation(&opening))
}

fn without_comment<'a>(line: &'a str, language: &Language) -> &'a str {
    let marker = language.line_comment;
    let code = match (marker.is_empty(), line.find(marker)) {
        (false, Some(comment)) => &line[..comment],
        _ => line,
    };
    code.trim_end()
}

fn ends_with_word(line: &str, opener: &str) -> bool {
    let Some(rest) = line.strip_suffix(opener) else { return false };
    let is_word = opener.starts_with(|character: char| character.is_alphabetic());
    !is_word || !rest.ends_with(|character: char| character.is_alphanumeric() || character == '_')
}

/// Width of the white space that a line begins with; a tab counts four.
pub fn indentation(line: &str) -> usize {
    line.chars().take_while(|c| matches!(c, ' ' | '\t')).map(|c| if c == '\t' { 4 } else { 1 }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::SyntaxCache;
    use crate::languages;

    fn fixture(id: &str, text: &str) -> (Snapshot, Option<Tree>, &'static Language, usize) {
        let offset = text.find("$0").expect("a cursor");
        let snapshot = Snapshot::detached(None, id, &text.replacen("$0", "", 1));
        let language = languages::of(id, None);
        let tree = SyntaxCache::default().tree(&snapshot, language);
        (snapshot, tree, language, offset)
    }

    #[test]
    fn comments_and_strings_are_known() {
        let check = |id, text, expected| {
            let (_, tree, _, offset) = fixture(id, text);
            assert_eq!(is_prose(tree.as_ref(), offset), expected, "{text}");
        };
        check("rust", "fn a() { // some $0\n}", Place::Comment);
        check("rust", "let a = \"some $0 text\";", Place::String);
        check("rust", "let a = \"text\"$0;", Place::Code);
        check("python", "# a comment$0\n", Place::Comment);
        check("javascript", "const a = 1$0;", Place::Code);
        check("", "# text $0", Place::Code);
    }

    #[test]
    fn a_body_to_write_is_seen() {
        let check = |id, text, expected| {
            let (snapshot, _, language, offset) = fixture(id, text);
            assert_eq!(block_to_write(&snapshot, language, offset), expected, "{text}");
        };
        check("rust", "fn a() {\n    $0\n}\n", true);
        check("rust", "fn a() { // why\n    $0\n}\n", true);
        check("rust", "fn a() {\n    $0\n    let b = 1;\n}\n", false);
        check("rust", "fn a() {\n    let b = 1;\n    $0\n}\n", false);
        check("rust", "fn a() {$0", false);
        check("python", "def a():\n    $0", true);
        check("python", "def a():\n    $0\ndef b():\n    pass\n", true);
        check("ruby", "items.each do\n  $0\nend", true);
        check("ruby", "redo\n  $0\nend", false);
        check("lua", "if a then\n  $0\nend", true);
        check("", "text {\n  $0", false);
    }

    #[test]
    fn enclosing_signatures_and_imports_are_found() {
        let text = "use a::b;\n\nimpl Foo {\n    fn bar(\n        x: u8,\n    ) -> u8 {\n        let y = 1;\n        $0\n    }\n}\n";
        let (snapshot, tree, language, offset) = fixture("rust", text);
        let tree = tree.unwrap();
        let texts = |ranges: Vec<Range<usize>>| {
            ranges.into_iter().map(|range| snapshot.slice(range.start, range.end)).collect::<Vec<_>>()
        };
        let signatures = texts(signatures(&tree, &snapshot, language, offset));
        assert_eq!(signatures, ["impl Foo {\n", "    fn bar(\n        x: u8,\n    ) -> u8 {\n"]);
        assert_eq!(texts(imports(&tree, language, offset)), ["use a::b;"]);

        let (snapshot, tree, language, offset) =
            fixture("python", "class A:\n    def b(self):\n        x = 1\n        $0\n");
        let signatures = super::signatures(tree.as_ref().unwrap(), &snapshot, language, offset.min(30));
        assert_eq!(snapshot.slice(signatures[0].start, signatures[0].end), "class A:\n");
    }

    #[test]
    fn the_function_of_a_line_is_found() {
        let check = |id, text, expected: Option<&str>| {
            let (snapshot, tree, language, offset) = fixture(id, text);
            let found = function_at(tree.as_ref().unwrap(), &snapshot, language, offset);
            assert_eq!(
                found.map(|f| snapshot.slice(f.range.start, f.range.end)).as_deref(),
                expected,
                "{text}"
            );
        };
        check("rust", "impl A {\n  $0  fn b() {}\n}", Some("fn b() {}"));
        check("rust", "fn a() {\n    $01\n}\n", Some("fn a() {\n    1\n}"));
        check("rust", "struct A;$0\n", None);
        check("python", "def a(b):\n    return $0b\n", Some("def a(b):\n    return b"));
        check("go", "package a\nfunc b() int {\n\treturn $01\n}\n", Some("func b() int {\n\treturn 1\n}"));
    }
}
