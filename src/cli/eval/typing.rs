//! A user is simulated who types real code through the real server, and takes a suggestion when its first line is right.

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use crate::cli::Global;
use crate::cli::eval::Common;
use crate::cli::eval::editor::{At, Editor};
use crate::cli::eval::report::{Cases, Figure, Group, Report, hand_over};
use crate::cli::eval::reserve::{Data, Part, SourceFile};
use crate::cli::eval::sample::{Seeded, sample};
use crate::model::store;

/// Passages of each language, without `--limit`.
const PASSAGES: usize = 2;
/// Shorter files have no room for a passage with something around it.
const LINES: usize = 40;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    data: Data,
    /// Characters that are typed of each passage, to the end of a line
    #[arg(long, default_value_t = 400, value_name = "N")]
    characters: usize,
    #[command(flatten)]
    common: Common,
}

/// A part of a file that is typed anew.
struct Passage<'a> {
    file: &'a SourceFile,
    range: std::ops::Range<usize>,
}

/// What the typing of one passage came to, in keys.
#[derive(Debug, Default, Serialize)]
struct Tally {
    /// Keys that the text takes without any help.
    keys: usize,
    /// Of these, those that came with suggestions, less the keys that took them.
    saved: usize,
    shown: usize,
    accepted: usize,
}

pub fn run(global: &Global, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { data, characters, common } = arguments;
    let parts = data.read()?;
    let (manifest, _) = store::find(&global.settings().model)?;
    let mut editor = Editor::start(&global.flags())?;
    let mut cases = Cases::create(common)?;
    let mut groups = Vec::new();
    for part in &parts {
        let mut sum = Tally::default();
        for passage in passages(part, *characters, common) {
            let tally = type_it(&mut editor, part, &passage)?;
            let path = passage.file.path.display().to_string();
            cases.write(&serde_json::json!({"language": part.name, "path": path, "tally": tally}))?;
            sum.keys += tally.keys;
            sum.saved += tally.saved;
            sum.shown += tally.shown;
            sum.accepted += tally.accepted;
        }
        let per_accept = sum.shown as f64 / sum.accepted.max(1) as f64;
        let figures = vec![
            Figure::share("saved", sum.saved, sum.keys),
            Figure { name: "shown_per_accept", value: per_accept },
        ];
        groups.push(Group::part(&part.name, sum.keys, figures));
    }
    groups.push(Group::mean(&groups));
    let report = Report {
        suite: "typing".to_owned(),
        model: common.model_name(&manifest),
        settings: vec![("seed", common.seed.to_string()), ("characters", characters.to_string())],
        groups,
    };
    hand_over(&[report], common)?;
    Ok(ExitCode::SUCCESS)
}

/// Seeded passages: one a file, somewhere between a fifth and a half of it.
fn passages<'a>(part: &'a Part, characters: usize, common: &Common) -> Vec<Passage<'a>> {
    let long = part.files.iter().filter(|file| file.text.lines().count() >= LINES);
    let files = sample(long.collect(), Some(common.limit.unwrap_or(PASSAGES)), common.seed);
    let mut seeded = Seeded::new(common.seed);
    let passage = |file: &'a SourceFile| {
        let lines: Vec<&str> = file.text.split_inclusive('\n').collect();
        let first = lines.len() / 5 + seeded.below(lines.len() * 3 / 10);
        let start: usize = lines[..first].iter().map(|line| line.len()).sum();
        let mut end = start;
        for line in &lines[first..] {
            if end - start >= characters {
                break;
            }
            end += line.len();
        }
        // The last line's end stays: it is typed on a line of its own, not in front of the next one.
        Passage { file, range: start..start + file.text[start..end].trim_end().len() }
    };
    files.into_iter().map(passage).collect()
}

fn type_it(editor: &mut Editor, part: &Part, passage: &Passage) -> anyhow::Result<Tally> {
    let Passage { file, range } = passage;
    let text = &file.text[range.clone()];
    let name = file.path.file_name().unwrap_or_default().to_string_lossy();
    let uri =
        format!("file:///typed/{}", name.replace(|c: char| !c.is_ascii_alphanumeric() && c != '.', "_"));
    let mut document = format!("{}{}", &file.text[..range.start], &file.text[range.end..]);
    editor.open(&uri, &part.name, &document)?;
    let mut tally = Tally { keys: keys(text), ..Tally::default() };
    let (mut typed, mut last) = (0, None::<String>);
    while typed < text.len() {
        let rest = &text[typed..];
        let offset = range.start + typed;
        let at = At::of(&document, offset);
        let ghost = editor.ghost(&uri, at)?.filter(|ghost| !ghost.trim().is_empty());
        // What is left of a suggestion after typing along with it is the same one.
        tally.shown += usize::from(ghost.is_some() && ghost != last);
        let taken = ghost.as_deref().map_or(0, |ghost| right(ghost, rest));
        let step = if keys(&rest[..taken]) > 1 {
            tally.accepted += 1;
            tally.saved += keys(&rest[..taken]) - 1;
            last = None;
            editor.accepted(&uri, &rest[..taken])?;
            taken
        } else {
            let step = one_key(rest);
            last = ghost.and_then(|ghost| ghost.strip_prefix(&rest[..step]).map(str::to_owned));
            step
        };
        editor.insert(&uri, at, &rest[..step])?;
        document.insert_str(offset, &rest[..step]);
        typed += step;
    }
    editor.close(&uri)?;
    Ok(tally)
}

/// Bytes of the suggestion that are right, in whole lines of it; 0 if its first line that says something is not.
fn right(ghost: &str, rest: &str) -> usize {
    let (mut end, mut says_something) = (0, false);
    for line in ghost.split_inclusive('\n') {
        if !rest[end..].starts_with(line) {
            // The last line may lack its end, or the suggestion may have one that the text lacks.
            let bare = line.trim_end();
            if !bare.is_empty() && rest[end..].starts_with(bare) {
                end += bare.len();
                says_something = true;
            }
            break;
        }
        end += line.len();
        says_something |= !line.trim().is_empty();
    }
    if says_something { end } else { 0 }
}

/// Bytes that one key brings: a character, and the indentation after a line end, as editors give it.
fn one_key(text: &str) -> usize {
    let first = text.chars().next().map_or(0, char::len_utf8);
    if text.starts_with('\n') {
        first + text[first..].len() - text[first..].trim_start_matches([' ', '\t']).len()
    } else {
        first
    }
}

/// Keys that a text takes.
fn keys(text: &str) -> usize {
    let (mut count, mut at) = (0, 0);
    while at < text.len() {
        at += one_key(&text[at..]);
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suggestion_is_right_by_whole_lines() {
        let rest = "b = 2 * a\n    return b\n\ndef c():\n";
        let check =
            |ghost: &str, expected: &str| assert_eq!(&rest[..right(ghost, rest)], expected, "{ghost:?}");
        check("b = 2 * a", "b = 2 * a");
        check("b = 2 * a\n    return b", "b = 2 * a\n    return b");
        check("b = 2 * a\n    return c", "b = 2 * a\n");
        check("b = 2", "b = 2");
        check("b = 3", "");
        check("", "");
        assert_eq!(right("\n    return b", "\n    return b\n"), 13);
        assert_eq!(right("\n    return c", "\n    return b\n"), 0);
    }

    #[test]
    fn indentation_takes_no_keys() {
        assert_eq!(keys("a\n        b"), 3);
        assert_eq!(keys("ä = 1"), 5);
        assert_eq!(one_key("\n\n    a"), 1);
    }
}
