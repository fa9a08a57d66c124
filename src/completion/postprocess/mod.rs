//! From what the model wrote to what is worth showing: an ordered list of filters, one a file.

mod blank;
mod block_end;
mod brackets;
mod fences;
mod half_word;
mod last_line;
mod line_above;
mod line_end;
mod loops;
mod secrets;
mod suffix_lines;
mod suffix_start;

use crate::completion::Extent;
use crate::completion::scene::Scene;
use crate::engine::Finish;

/// One rule: what it is called in logs, and what it leaves of a text.
struct Filter {
    name: &'static str,
    apply: fn(&Written, &str) -> String,
}

/// What the filters know beside the text.
pub struct Written<'a> {
    pub scene: &'a Scene<'a>,
    pub extent: Extent,
    pub finish: Finish,
    /// The text was cut short within a word.
    pub half_word: bool,
}

/// All filters in their order. To add one, add its file and its row.
const FILTERS: &[Filter] = &[
    Filter { name: "half-word", apply: half_word::apply },
    Filter { name: "fences", apply: fences::apply },
    Filter { name: "line-end", apply: line_end::apply },
    Filter { name: "block-end", apply: block_end::apply },
    Filter { name: "loops", apply: loops::apply },
    Filter { name: "suffix-lines", apply: suffix_lines::apply },
    Filter { name: "suffix-start", apply: suffix_start::apply },
    Filter { name: "brackets", apply: brackets::apply },
    Filter { name: "line-above", apply: line_above::apply },
    Filter { name: "last-line", apply: last_line::apply },
    Filter { name: "secrets", apply: secrets::apply },
    Filter { name: "blank", apply: blank::apply },
];

/// What is left of the text, or the name of the filter that left nothing.
pub fn apply(written: &Written, text: String) -> Result<String, &'static str> {
    let mut text = text.replace("\r\n", "\n");
    if text.trim().is_empty() {
        return Err("blank");
    }
    for filter in FILTERS {
        text = (filter.apply)(written, &text);
        if text.trim().is_empty() {
            return Err(filter.name);
        }
    }
    // The file's own line ending.
    let scene = written.scene;
    let crlf = scene.above.contains("\r\n") || scene.below.contains("\r\n");
    Ok(if crlf { text.replace('\n', "\r\n") } else { text })
}

/// Edit distance of two lines, given up beyond `most`.
fn distance_within(a: &str, b: &str, most: usize) -> bool {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len().abs_diff(b.len()) > most {
        return false;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
        if row.iter().all(|distance| *distance > most) {
            return false;
        }
    }
    row[b.len()] <= most
}

/// Whether two lines say the same: at most one edit in twenty characters apart.
fn alike(a: &str, b: &str) -> bool {
    let (a, b) = (a.trim(), b.trim());
    distance_within(a, b, (a.chars().count() / 20).max(1)) && (a == b || a.len() > 3)
}

#[cfg(test)]
mod fixture {
    use super::*;
    use crate::completion::scene::fixture::with_scene;

    /// What `filter` leaves of `text`, written at the `$0` of a Rust file.
    pub fn check(filter: fn(&Written, &str) -> String, file: &str, text: &str, expected: &str) {
        check_as(filter, file, Extent::Block, Finish::Stop, text, expected);
    }

    pub fn check_as(
        filter: fn(&Written, &str) -> String,
        file: &str,
        extent: Extent,
        finish: Finish,
        text: &str,
        expected: &str,
    ) {
        let left = with_scene("rust", file, |scene| {
            filter(&Written { scene, extent, finish, half_word: true }, text)
        });
        assert_eq!(left, expected, "{file:?} + {text:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::completion::scene::fixture::with_scene;

    #[test]
    fn the_whole_list_leaves_what_fits() {
        let check = |file, extent, text: &str, expected: Result<&str, &str>| {
            let left = with_scene("rust", file, |scene| {
                apply(&Written { scene, extent, finish: Finish::Stop, half_word: false }, text.to_owned())
            });
            assert_eq!(left.as_deref().map_err(|name| *name), expected, "{file:?} + {text:?}");
        };
        check("let a = $0", Extent::Line, "b + 1;\nlet c", Ok("b + 1;"));
        check("let a = foo($0);", Extent::Line, "b, c);\n", Ok("b, c"));
        check("fn a() {\n    $0\n}\n", Extent::Block, "let b = 1;\n    b\n}", Ok("let b = 1;\n    b"));
        check("let a = $0\nlet b = 1;\n", Extent::Line, "  \n", Err("blank"));
        check("    $0\n    let b = 12;\n", Extent::Line, "let b = 12;\n", Err("suffix-lines"));
        check("a\r\n$0\r\nb", Extent::Block, "c\nd", Ok("c\r\nd"));
    }
}
