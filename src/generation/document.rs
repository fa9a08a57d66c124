//! A doc comment for a function: where it goes and how it is written. The code itself is never touched.

use anyhow::{Context, bail};
use tree_sitter::Tree;

use crate::context::function_at;
use crate::documents::Snapshot;
use crate::languages::{DocComment, Language};

/// Width that comments are wrapped to, without their indentation.
const WIDTH: usize = 88;
/// An answer this long is no short sentence any more.
const ENOUGH: usize = 240;

/// Where a comment goes, and how it looks there.
pub struct Place {
    /// Bytes.
    pub offset: usize,
    /// The function's own text.
    pub code: String,
    indentation: String,
    style: DocComment,
    line_ending: &'static str,
}

/// The place for the comment of the function at `offset`.
///
/// # Errors
/// When there is no function, or it has no body to hold a docstring.
pub fn place(tree: &Tree, snapshot: &Snapshot, language: &Language, offset: usize) -> anyhow::Result<Place> {
    let function = function_at(tree, snapshot, language, offset)
        .context("there is no function at the cursor; put it on a function's first line or inside it")?;
    let code = snapshot.slice(function.range.start, function.range.end);
    let line_of = |offset: usize| snapshot.text.line_to_byte(snapshot.text.byte_to_line(offset));
    let spaces = |line_start: usize| -> String {
        let rest = snapshot.text.byte_slice(line_start..);
        rest.chars().take_while(|character| matches!(character, ' ' | '\t')).collect()
    };
    let first = snapshot.text.line(0).to_string();
    let line_ending = if first.ends_with("\r\n") { "\r\n" } else { "\n" };
    let style = language.doc;
    if style == DocComment::Docstring {
        let body = function.body.context("the function has no body yet that could hold a docstring")?;
        let body_line = line_of(body);
        if body_line <= function.start {
            bail!("the function's body stands on its first line; a docstring needs a line of its own");
        }
        return Ok(Place { offset: body_line, code, indentation: spaces(body_line), style, line_ending });
    }
    // Attributes and decorators above belong to the function: a comment stands above them.
    let mut start = line_of(function.start);
    while start > 0 {
        let above = line_of(start - 1);
        let text = snapshot.slice(above, start);
        let text = text.trim();
        if !(text.starts_with("#[") || text.starts_with('@') && !text.starts_with("@*")) {
            break;
        }
        start = above;
    }
    Ok(Place { offset: start, code, indentation: spaces(start), style, line_ending })
}

impl Place {
    /// The comment that says this, with its line endings.
    pub fn comment(&self, sentence: &str) -> String {
        let Self { indentation, line_ending, .. } = self;
        let lines = wrap(sentence);
        let text = match self.style {
            DocComment::Lines(marker) => {
                lines.iter().map(|line| format!("{indentation}{marker} {line}")).collect()
            }
            DocComment::Block => {
                let inner = lines.iter().map(|line| format!("{indentation} * {line}"));
                let (open, close) = (format!("{indentation}/**"), format!("{indentation} */"));
                std::iter::once(open).chain(inner).chain([close]).collect::<Vec<_>>()
            }
            DocComment::Docstring if lines.len() == 1 => {
                vec![format!("{indentation}\"\"\"{}\"\"\"", lines[0])]
            }
            DocComment::Docstring => {
                let first = format!("{indentation}\"\"\"{}", lines[0]);
                let rest = lines[1..].iter().map(|line| format!("{indentation}{line}"));
                std::iter::once(first).chain(rest).chain([format!("{indentation}\"\"\"")]).collect()
            }
        };
        let mut text = text.join(line_ending);
        text.push_str(line_ending);
        text
    }
}

/// Whether the answer needs no more tokens.
pub fn is_enough(answer: &str) -> bool {
    answer.len() > ENOUGH
        || answer.contains('\n')
        || answer.trim_end().ends_with(['.', '!']) && answer.len() > 30
}

/// One sentence out of an answer that goes on from "This function".
///
/// # Errors
/// When it says nothing.
pub fn sentences(answer: &str) -> anyhow::Result<String> {
    let line = answer.trim_start().lines().next().unwrap_or_default();
    let end = line.find(". ").map_or(line.len(), |end| end + 1);
    // What would end a comment or a docstring early.
    let said = line[..end].replace("*/", "* /").replace("\"\"\"", "'''").replace(['`', '\\'], "");
    let said = said.trim().trim_end_matches('.').trim();
    if said.split_whitespace().count() < 2 {
        bail!("the model found nothing to say about this function; a larger model may");
    }
    let mut sentence: String = said.to_owned();
    if let Some(first) = sentence.get(..1) {
        sentence.replace_range(..1, &first.to_uppercase());
    }
    Ok(format!("{sentence}."))
}

fn wrap(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.len() - 1;
        if !lines[last].is_empty() && lines[last].len() + 1 + word.len() > WIDTH {
            lines.push(word.to_owned());
        } else {
            let space = if lines[last].is_empty() { "" } else { " " };
            lines[last].push_str(space);
            lines[last].push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::SyntaxCache;
    use crate::languages;

    fn documented(id: &str, text: &str, answer: &str) -> String {
        let offset = text.find("$0").unwrap();
        let snapshot = Snapshot::detached(None, id, &text.replacen("$0", "", 1));
        let language = languages::of(id, None);
        let tree = SyntaxCache::default().tree(&snapshot, language).unwrap();
        let place = place(&tree, &snapshot, language, offset).unwrap();
        let comment = place.comment(&sentences(answer).unwrap());
        snapshot.with_replaced(place.offset..place.offset, &comment).text.to_string()
    }

    #[test]
    fn each_language_has_its_own_style() {
        let check =
            |id, text, expected: &str| assert_eq!(documented(id, text, " adds two numbers. It"), expected);
        check("rust", "fn a() {\n    $0b\n}\n", "/// Adds two numbers.\nfn a() {\n    b\n}\n");
        check("rust", "#[inline]\nfn a$0() {}\n", "/// Adds two numbers.\n#[inline]\nfn a() {}\n");
        check(
            "python",
            "class A:\n    def b(self$0):\n        return 1\n",
            "class A:\n    def b(self):\n        \"\"\"Adds two numbers.\"\"\"\n        return 1\n",
        );
        check("javascript", "function a() {$0}\n", "/**\n * Adds two numbers.\n */\nfunction a() {}\n");
        check("go", "package p\n\nfunc A() {$0}\n", "package p\n\n// Adds two numbers.\nfunc A() {}\n");
        check(
            "lua",
            "function a()\n  $0return 1\nend\n",
            "--- Adds two numbers.\nfunction a()\n  return 1\nend\n",
        );
    }

    #[test]
    fn a_comment_cannot_end_itself_early_and_must_say_something() {
        assert_eq!(sentences(" parses `/* x */` well").unwrap(), "Parses /* x * / well.");
        assert!(sentences("\n").is_err());
        assert!(wrap(&"word ".repeat(60)).iter().all(|line| line.len() <= WIDTH));
    }
}
