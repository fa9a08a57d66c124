//! What of a long file enters the prompt: imports, enclosing signatures, and the nearest text on both sides.
//!
//! Cuts are quantised: typing moves them only now and then, so that what a KV cache holds of the prefix stays valid.

use std::ops::Range;

use tree_sitter::Tree;

use crate::context::scope;
use crate::documents::Snapshot;
use crate::languages::Language;

/// Text on both sides of a cursor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// Imports and enclosing signatures that the cut would have lost; ends with a line ending, or is empty.
    pub head: String,
    /// Nearest text before the cursor.
    pub prefix: String,
    /// Nearest text after the cursor.
    pub suffix: String,
}

/// At most this share of the prefix's budget goes to what survives the cut.
const HEAD_SHARE: usize = 3;

/// Cut the text around `offset` to about these many bytes before and after it. With a `reach`, the cut is where it will
/// be once as many bytes more are typed, or half of the budget if that is less: what is beyond has no place yet.
#[allow(clippy::too_many_arguments)]
pub fn window(
    snapshot: &Snapshot,
    tree: Option<&Tree>,
    language: &Language,
    offset: usize,
    prefix_bytes: usize,
    suffix_bytes: usize,
    reach: usize,
) -> Window {
    let text = &snapshot.text;
    let reach = reach.min(prefix_bytes / 2);
    let suffix_end = if text.len_bytes() - offset <= suffix_bytes {
        text.len_bytes()
    } else {
        // Whole lines only, unless the very next line is too long.
        let end = text.line_to_byte(text.byte_to_line(offset + suffix_bytes));
        if end > offset { end } else { snapshot.clamp(offset + suffix_bytes) }
    };
    let suffix = snapshot.slice(offset, suffix_end);
    if offset + reach <= prefix_bytes {
        return Window { head: String::new(), prefix: snapshot.slice(0, offset), suffix };
    }
    let start = cut_point(snapshot, offset, reach, prefix_bytes);
    let head = tree.map_or_else(String::new, |tree| head(snapshot, tree, language, start, prefix_bytes));
    Window { head, prefix: snapshot.slice(start, offset), suffix }
}

/// Where the nearest text begins: a line's start that moves in steps of half the budget, so that between half of it
/// and the whole is kept.
fn cut_point(snapshot: &Snapshot, offset: usize, reach: usize, budget: usize) -> usize {
    let step = (budget / 2).max(1);
    let target = (offset + reach - budget).div_ceil(step) * step;
    let line = snapshot.text.byte_to_line(target.min(offset));
    let next_line = snapshot.text.line_to_byte(line + 1);
    if next_line <= offset { next_line } else { snapshot.clamp(target) }
}

fn head(snapshot: &Snapshot, tree: &Tree, language: &Language, start: usize, budget: usize) -> String {
    let lost = |range: &Range<usize>| range.end <= start;
    // Of the scopes around the cut, not the cursor: those do not change while somebody types.
    let signatures = scope::signatures(tree, snapshot, language, start);
    let imports = scope::imports(tree, language, start);
    let mut left = budget / HEAD_SHARE;
    let mut take = |range: Range<usize>| {
        let text = snapshot.slice(range.start, range.end);
        let fits = text.len() < left;
        left -= if fits { text.len() } else { 0 };
        fits.then_some(text)
    };
    // Signatures say most; the imports take what room is left. In the text they stand the other way round.
    let signatures: Vec<String> = signatures.into_iter().filter(lost).filter_map(&mut take).collect();
    let imports: Vec<String> = imports.into_iter().filter(lost).filter_map(&mut take).collect();
    let mut head = String::new();
    for part in imports.iter().chain(&signatures) {
        head.push_str(part.trim_end_matches(['\r', '\n']));
        head.push('\n');
    }
    head
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::SyntaxCache;
    use crate::languages;

    fn long_file(lines: usize) -> String {
        let body: String =
            (0..lines).map(|line| format!("        let value_{line:04} = {line};\n")).collect();
        format!(
            "use std::fmt;\n\nimpl Thing {{\n    fn long(&self) {{\n{body}        $0\n    }}\n}}\n\nfn after() {{}}\n"
        )
    }

    fn cut(fixture: &str, prefix: usize, suffix: usize) -> Window {
        let offset = fixture.find("$0").unwrap();
        let snapshot = Snapshot::detached(None, "rust", &fixture.replacen("$0", "", 1));
        let language = languages::of("rust", None);
        let tree = SyntaxCache::default().tree(&snapshot, language);
        window(&snapshot, tree.as_ref(), language, offset, prefix, suffix, 0)
    }

    #[test]
    fn a_short_file_is_whole() {
        let window = cut("fn a() {\n    $0\n}\n", 1000, 1000);
        assert_eq!(
            window,
            Window { head: String::new(), prefix: "fn a() {\n    ".into(), suffix: "\n}\n".into() }
        );
    }

    #[test]
    fn imports_and_signatures_survive_and_lines_stay_whole() {
        let window = cut(&long_file(200), 1000, 12);
        assert_eq!(window.head, "use std::fmt;\nimpl Thing {\n    fn long(&self) {\n");
        assert!(window.prefix.starts_with("        let value_"));
        assert!((500..=1000).contains(&window.prefix.len()), "{}", window.prefix.len());
        assert_eq!(window.suffix, "\n    }\n}\n\n");
    }

    #[test]
    fn no_budget_is_too_small_for_what_will_be_typed() {
        let text = long_file(20).replace("$0", "");
        let snapshot = Snapshot::detached(None, "rust", &text);
        let language = languages::of("rust", None);
        for offset in 0..=text.len() {
            for budget in [0, 1, 7, 100, 333] {
                for reach in [0, 1, 50, 192, 1000] {
                    let window = window(&snapshot, None, language, offset, budget, 100, reach);
                    assert!(text[..offset].ends_with(&window.prefix));
                    assert!(window.prefix.len() <= budget, "{} of {budget}", window.prefix.len());
                }
            }
        }
    }

    #[test]
    fn typing_seldom_moves_the_cut() {
        let mut starts = std::collections::BTreeSet::new();
        for typed in 0..400 {
            let file = long_file(200).replace("$0", &format!("{}$0", "x".repeat(typed)));
            let prefix = cut(&file, 1000, 100).prefix;
            starts.insert(prefix.lines().next().unwrap_or_default().to_owned());
        }
        assert!(starts.len() <= 2, "{starts:?}");
    }
}
