//! What Foretype knows of programming languages: one row of one table each.

mod table;

use std::path::Path;

pub use table::LANGUAGES;

/// All facts about one language.
#[derive(Debug)]
pub struct Language {
    /// Name for people and prompts ("Rust", "C++").
    pub name: &'static str,
    /// Ids that editors send (LSP's and file types of editors); the first is the canonical one.
    pub ids: &'static [&'static str],
    /// File name endings without the dot, or whole file names.
    pub files: &'static [&'static str],
    /// Line comment marker ("//"), empty if there is none.
    pub line_comment: &'static str,
    /// How a doc comment is written.
    pub doc: DocComment,
    /// The grammar, for languages that have one here.
    pub grammar: Option<fn() -> tree_sitter::Language>,
    /// Kinds of nodes that are imports and survive a cut of the prefix.
    pub imports: &'static [&'static str],
    /// Kinds of nodes whose signature survives a cut of the prefix: functions, classes, modules.
    pub scopes: &'static [&'static str],
    /// Those scopes that are functions: what `document` documents.
    pub functions: &'static [&'static str],
    /// Kinds of nodes that are a body between brackets or by indentation.
    pub blocks: &'static [&'static str],
    /// Endings of a line after which a block begins.
    pub openers: &'static [&'static str],
}

/// How a doc comment is written, and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DocComment {
    /// Lines above that begin with this marker.
    Lines(&'static str),
    /// A `/** … */` block above.
    Block,
    /// A string in triple quotes as the first statement of the body.
    Docstring,
}

/// The language of an id, else of a path, else plain text without a grammar.
pub fn of(language_id: &str, path: Option<&Path>) -> &'static Language {
    by_id(language_id).or_else(|| path.and_then(by_path)).unwrap_or(&table::PLAIN)
}

/// The language of an id, in whatever case.
pub fn by_id(id: &str) -> Option<&'static Language> {
    LANGUAGES.iter().find(|language| language.ids.iter().any(|known| known.eq_ignore_ascii_case(id)))
}

/// The language of a file's name.
pub fn by_path(path: &Path) -> Option<&'static Language> {
    let name = path.file_name()?.to_str()?;
    let ending = path.extension().and_then(|extension| extension.to_str());
    LANGUAGES.iter().find(|language| language.files.iter().any(|file| *file == name || Some(*file) == ending))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_grammar_loads_and_knows_the_kinds_that_its_row_names() {
        for language in LANGUAGES {
            let Some(grammar) = language.grammar else { continue };
            let grammar = grammar();
            tree_sitter::Parser::new()
                .set_language(&grammar)
                .unwrap_or_else(|error| panic!("{}: {error}", language.name));
            for kind in [language.imports, language.scopes, language.functions, language.blocks].concat() {
                assert_ne!(grammar.id_for_node_kind(kind, true), 0, "{} has no node {kind}", language.name);
            }
            assert!(
                language.functions.iter().all(|kind| language.scopes.contains(kind)),
                "{}",
                language.name
            );
        }
    }

    #[test]
    fn ids_and_files_belong_to_one_language() {
        let mut seen = HashSet::new();
        for language in LANGUAGES {
            for id in language.ids {
                assert!(seen.insert(("id", *id)), "the id {id} stands twice");
            }
            for file in language.files {
                assert!(seen.insert(("file", *file)), "the file {file} stands twice");
            }
        }
    }

    #[test]
    fn the_id_wins_over_the_path_and_unknown_is_plain() {
        let check = |id, path: &str, expected| assert_eq!(of(id, Some(Path::new(path))).name, expected);
        check("rust", "a.py", "Rust");
        check("", "a.py", "Python");
        check("sh", "x", "Shell");
        check("Klingon", "a.klingon", "plain text");
        check("typescriptreact", "a.ts", "TSX");
        check("", "/x/Makefile", "Makefile");
    }
}
