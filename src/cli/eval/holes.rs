//! Holes cut in real packages, filled as the product fills them: prompt, stop and filters are those of the editor.

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use crate::cli::eval::places::{Kind, places};
use crate::cli::eval::report::{Cases, Figure, Group, Report, hand_over};
use crate::cli::eval::reserve::{Data, Part, SourceFile};
use crate::cli::eval::sample::{Seeded, sample};
use crate::cli::eval::similarity::{common_prefix, edit_similarity};
use crate::cli::eval::{Common, hidden_suffix};
use crate::cli::{Global, loading};
use crate::completion::{self, Attempt, Desk, Extent, Trigger, Wish};
use crate::config::Settings;
use crate::documents::Snapshot;
use crate::engine::Engine;
use crate::interrupt::Interrupt;

/// Holes of each kind in each language, without `--limit`.
const PER_KIND: usize = 25;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    data: Data,
    /// Kinds of holes; all without it
    #[arg(long, value_enum, value_delimiter = ',')]
    kind: Vec<Kind>,
    /// End the files where the holes begin: what is lost then, the text after them had given
    #[arg(long)]
    without_suffix: bool,
    #[command(flatten)]
    common: Common,
}

/// One hole and its answer, for `--cases`.
#[derive(Serialize)]
struct Case<'a> {
    language: &'a str,
    kind: &'static str,
    path: String,
    before: &'a str,
    expected: &'a str,
    answer: &'a str,
    raw: &'a str,
    dropped_by: Option<&'static str>,
    exact: bool,
}

/// A place in a file.
pub struct Hole<'a> {
    file: &'a SourceFile,
    range: std::ops::Range<usize>,
    /// The file ends where it begins.
    is_last: bool,
}

impl Hole<'_> {
    /// The package that it is in.
    pub fn package(&self) -> &str {
        &self.file.package
    }

    /// What was cut out.
    pub fn expected(&self) -> &str {
        &self.file.text[self.range.clone()]
    }

    /// What the product would write there, asked by a key.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn fill(
        &self,
        part: &Part,
        kind: Kind,
        engine: &mut Engine,
        settings: &Settings,
    ) -> anyhow::Result<Attempt> {
        let (snapshot, offset) = self.cut(part);
        let extent = if kind == Kind::Block { Extent::Block } else { Extent::Line };
        let max_tokens = Some(if kind == Kind::Block { 160 } else { 64 });
        let wish = Wish { trigger: Trigger::Explicit, extent, max_tokens, unhurried: true, selected: None };
        let (mut desk, interrupt) = (Desk::default(), Interrupt::new());
        completion::complete(&snapshot, offset, &wish, engine, &mut desk, settings, &interrupt)
    }

    /// The file without it, and where it was.
    pub fn cut(&self, part: &Part) -> (Snapshot, usize) {
        let Hole { file, range, is_last } = self;
        let after = if *is_last { "" } else { &file.text[range.end..] };
        let cut = format!("{}{after}", &file.text[..range.start]);
        (Snapshot::detached(Some(&file.path), &part.name, &cut), range.start)
    }
}

/// What answers of one kind in one language add up to.
#[derive(Default)]
struct Score {
    cases: usize,
    exact: usize,
    first_line: usize,
    similarity: f64,
    saved: usize,
    characters: usize,
}

pub fn run(global: &Global, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { data, kind, without_suffix, common } = arguments;
    let parts = data.read()?;
    let kinds = if kind.is_empty() { Kind::ALL } else { kind };
    let settings = global.settings();
    let mut engine = loading::engine(&settings)?;
    let mut cases = Cases::create(common)?;
    let mut reports = Vec::new();
    for kind in kinds {
        let mut groups = Vec::new();
        for part in &parts {
            let mut score = Score::default();
            for hole in chosen(part, *kind, common) {
                let hole = Hole { is_last: *without_suffix, ..hole };
                fill(&hole, part, *kind, &mut engine, &settings, &mut score, &mut cases)?;
            }
            groups.push(Group::part(&part.name, score.cases, score.figures()));
        }
        groups.push(Group::mean(&groups));
        let model = common.model_name(engine.manifest());
        let mut settings = vec![("seed", common.seed.to_string())];
        if *without_suffix {
            settings.push(hidden_suffix());
        }
        reports.push(Report { suite: format!("holes {}", kind.name()), model, settings, groups });
    }
    hand_over(&reports, common)?;
    Ok(ExitCode::SUCCESS)
}

/// A seeded choice of the holes of one kind in one language.
pub fn chosen<'a>(part: &'a Part, kind: Kind, common: &Common) -> Vec<Hole<'a>> {
    let mut seeded = Seeded::new(common.seed);
    let all = part.files.iter().flat_map(|file| {
        let ranges = places(&file.text, part.language, kind, &mut seeded);
        ranges.into_iter().map(move |range| Hole { file, range, is_last: false })
    });
    sample(all.collect(), Some(common.limit.unwrap_or(PER_KIND)), common.seed)
}

fn fill(
    hole: &Hole,
    part: &Part,
    kind: Kind,
    engine: &mut Engine,
    settings: &Settings,
    score: &mut Score,
    cases: &mut Cases,
) -> anyhow::Result<()> {
    let Hole { file, range, .. } = hole;
    let expected = hole.expected();
    let attempt = hole.fill(part, kind, engine, settings)?;
    let answer = attempt.suggestion.map(|suggestion| suggestion.text).unwrap_or_default();
    let exact = score.add(expected, &answer);
    let before = file.text[..range.start].rsplit('\n').next().unwrap_or_default();
    cases.write(&Case {
        language: &part.name,
        kind: kind.name(),
        path: file.path.display().to_string(),
        before,
        expected,
        answer: &answer,
        raw: &attempt.raw_text,
        dropped_by: attempt.dropped_by,
        exact,
    })
}

impl Score {
    /// Count an answer; whether it is exact.
    fn add(&mut self, expected: &str, answer: &str) -> bool {
        let (expected, answer) = (expected.trim_end(), answer.trim_end());
        let exact = answer == expected;
        let first = |text: &str| text.lines().next().unwrap_or_default().trim_end().to_owned();
        self.cases += 1;
        self.exact += usize::from(exact);
        self.first_line += usize::from(first(answer) == first(expected));
        self.similarity += edit_similarity(answer, expected);
        self.saved += common_prefix(answer, expected);
        self.characters += expected.chars().count();
        exact
    }

    fn figures(&self) -> Vec<Figure> {
        vec![
            Figure::share("exact", self.exact, self.cases),
            Figure { name: "similarity", value: self.similarity / self.cases.max(1) as f64 },
            Figure::share("first_line", self.first_line, self.cases),
            Figure::share("saved", self.saved, self.characters),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_counts_exact_answers_first_lines_and_characters() {
        let mut score = Score::default();
        assert!(score.add("a(b)\n    c()", "a(b)\n    c()\n"));
        assert!(!score.add("a(b)\n    c()", "a(b)"));
        assert!(!score.add("abcd", ""));
        assert!(!score.add("abcd", "abxx"));
        let value = |name| score.figures().into_iter().find(|figure| figure.name == name).unwrap().value;
        assert_eq!((score.cases, value("exact"), value("first_line")), (4, 0.25, 0.5));
        assert_eq!(value("saved"), f64::from(12 + 4 + 2) / f64::from(12 + 12 + 4 + 4));
    }
}
