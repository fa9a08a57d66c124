//! HumanEval-Infilling (Bavarian et al. 2022, arXiv 2207.14255): the model fills a hole in a small Python function, and
//! the function's unit tests say whether it did.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use flate2::read::GzDecoder;
use serde::{Deserialize, Serialize};

use crate::cli::eval::fill::Filler;
use crate::cli::eval::report::{Cases, Figure, Group, Report, hand_over};
use crate::cli::eval::sample::sample;
use crate::cli::eval::sandbox::{Sandbox, Trial};
use crate::cli::eval::{Common, hidden_suffix};
use crate::cli::{Global, loading};

#[derive(Args)]
pub struct Arguments {
    /// Which holes
    #[arg(long, value_enum, default_value_t = Part::SingleLine)]
    suite: Part,
    /// The benchmark's folder, or one of its files
    #[arg(long, value_name = "PATH", default_value = "evals/data/human-eval-infilling")]
    data: PathBuf,
    /// Hide the text after the holes from the model: what is lost then, it had given
    #[arg(long)]
    without_suffix: bool,
    #[command(flatten)]
    common: Common,
}

/// The benchmark's parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    SingleLine,
    MultiLine,
    RandomSpan,
}

/// One problem, as its file has it.
#[derive(Clone, Debug, Deserialize)]
struct Problem {
    task_id: String,
    entry_point: String,
    prompt: String,
    suffix: String,
    canonical_solution: String,
    test: String,
}

/// One problem and its answer, for `--cases`.
#[derive(Serialize)]
struct Case<'a> {
    task_id: &'a str,
    expected: &'a str,
    answer: &'a str,
    tokens: usize,
    finish: &'static str,
    exact: bool,
    passed: bool,
}

/// An answer whose tests still run.
struct Pending {
    problem: Problem,
    answer: String,
    tokens: usize,
    finish: &'static str,
    trial: Trial,
}

/// What was counted so far.
#[derive(Default)]
struct Counts {
    cases: usize,
    exact: usize,
    passed: usize,
}

pub fn run(global: &Global, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { suite, data, without_suffix, common } = arguments;
    let problems = sample(read(data, *suite)?, common.limit, common.seed);
    let settings = global.settings();
    let mut filler = Filler::new(loading::engine(&settings)?, &settings);
    filler.hides_suffix = *without_suffix;
    let mut sandbox = Sandbox::new()?;
    let mut cases = Cases::create(common)?;
    let mut counts = Counts::default();
    let mut pending: Option<Pending> = None;
    for problem in problems {
        let output = suite.ask(&mut filler, &problem)?;
        let answer = suite.answer(&problem, &output.text, filler.sees_suffix());
        // The tests of one answer run while the model writes the next.
        let trial = sandbox.start(&problem.program(&answer))?;
        let (tokens, finish) = (output.tokens, output.finish.name());
        let next = Pending { problem, answer, tokens, finish, trial };
        if let Some(done) = pending.replace(next) {
            counts.add(done, &mut cases)?;
        }
    }
    if let Some(done) = pending {
        counts.add(done, &mut cases)?;
    }
    let Counts { cases, exact, passed } = counts;
    let figures = vec![Figure::share("exact", exact, cases), Figure::share("pass_at_1", passed, cases)];
    let mut settings = vec![("order", filler.format().to_owned()), ("seed", common.seed.to_string())];
    if *without_suffix {
        settings.push(hidden_suffix());
    }
    let report = Report {
        suite: format!("infilling {}", suite.name()),
        model: common.model_name(filler.manifest()),
        settings,
        groups: vec![Group::part("python", cases, figures)],
    };
    hand_over(&[report], common)?;
    Ok(ExitCode::SUCCESS)
}

impl Counts {
    /// Wait for the tests and count.
    fn add(&mut self, pending: Pending, cases: &mut Cases) -> anyhow::Result<()> {
        let Pending { problem, answer, tokens, finish, trial } = pending;
        let exact = answer.trim_end() == problem.canonical_solution.trim_end();
        let passed = trial.passed()?;
        self.cases += 1;
        self.exact += usize::from(exact);
        self.passed += usize::from(passed);
        let (task_id, expected) = (problem.task_id.as_str(), problem.canonical_solution.as_str());
        cases.write(&Case { task_id, expected, answer: &answer, tokens, finish, exact, passed })
    }
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::SingleLine => "single-line",
            Self::MultiLine => "multi-line",
            Self::RandomSpan => "random-span",
        }
    }

    fn file(self) -> &'static str {
        match self {
            Self::SingleLine => "HumanEval-SingleLineInfilling.jsonl.gz",
            Self::MultiLine => "HumanEval-MultiLineInfilling.jsonl.gz",
            Self::RandomSpan => "HumanEval-RandomSpanInfillingLight.jsonl.gz",
        }
    }

    /// Holes of whole lines are shown as an editor has them: an empty line between the text before and the text after.
    fn is_lines(self) -> bool {
        self != Self::RandomSpan
    }

    fn ask(self, filler: &mut Filler, problem: &Problem) -> anyhow::Result<crate::engine::Output> {
        let suffix = if self.is_lines() { format!("\n{}", problem.suffix) } else { problem.suffix.clone() };
        let max_tokens = if self == Self::SingleLine { 96 } else { 384 };
        let next = (!filler.sees_suffix()).then(|| first_line(&problem.suffix)).flatten();
        let mut stop = |text: &str| match self {
            Self::SingleLine => text.trim_start().contains('\n'),
            // A model that can't see the suffix doesn't know where to end: it is ended where the suffix begins.
            _ => next.is_some_and(|next| text.lines().rev().skip(1).any(|line| line.trim() == next)),
        };
        filler.fill(&problem.prompt, &suffix, max_tokens, &mut stop)
    }

    /// The part of the model's text that is its answer.
    fn answer(self, problem: &Problem, text: &str, sees_suffix: bool) -> String {
        let text = match self {
            // The first line that says something, as is usual for this part.
            Self::SingleLine => {
                let blank = text.len() - text.trim_start().len();
                let end = text[blank..].find('\n').map_or(text.len(), |end| blank + end);
                let start = text[..blank].rfind('\n').map_or(0, |newline| newline + 1);
                &text[start..end]
            }
            _ if !sees_suffix => before_line(text, first_line(&problem.suffix)),
            _ => text,
        };
        if self.is_lines() { format!("{}\n", text.trim_end()) } else { text.to_owned() }
    }
}

impl Problem {
    fn program(&self, answer: &str) -> String {
        let Self { prompt, suffix, test, entry_point, .. } = self;
        format!("{prompt}{answer}{suffix}\n{test}\ncheck({entry_point})\n")
    }
}

/// The first line that is not blank, trimmed.
fn first_line(text: &str) -> Option<&str> {
    text.lines().map(str::trim).find(|line| !line.is_empty())
}

/// The text before the line that is `wanted` but for white space around it.
fn before_line<'a>(text: &'a str, wanted: Option<&str>) -> &'a str {
    let mut end = 0;
    for line in text.split_inclusive('\n') {
        if Some(line.trim()) == wanted {
            return &text[..end];
        }
        end += line.len();
    }
    text
}

fn read(data: &Path, part: Part) -> anyhow::Result<Vec<Problem>> {
    let path = if data.is_dir() { data.join(part.file()) } else { data.to_owned() };
    let hint = "the benchmark's files are in evals/data/human-eval-infilling of Foretype's repository";
    let file = File::open(&path).with_context(|| format!("cannot read {}; {hint}", path.display()))?;
    let packed = path.extension().is_some_and(|extension| extension == "gz");
    let input: Box<dyn Read> = if packed { Box::new(GzDecoder::new(file)) } else { Box::new(file) };
    let mut problems = Vec::new();
    for line in BufReader::new(input).lines() {
        let line = line.with_context(|| format!("{} is damaged", path.display()))?;
        let problem: Problem = serde_json::from_str(&line)
            .with_context(|| format!("{} is not that benchmark", path.display()))?;
        problems.push(problem);
    }
    if problems.is_empty() {
        bail!("{} has no problems", path.display());
    }
    Ok(problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(prompt: &str, suffix: &str, solution: &str) -> Problem {
        Problem {
            task_id: "test/0".to_owned(),
            entry_point: "double".to_owned(),
            prompt: prompt.to_owned(),
            suffix: suffix.to_owned(),
            canonical_solution: solution.to_owned(),
            test: "def check(candidate):\n    assert candidate(2) == 4\n".to_owned(),
        }
    }

    #[test]
    fn a_line_is_the_first_that_says_something() {
        let problem = problem("", "    return b\n", "");
        let check = |text: &str, expected: &str| {
            assert_eq!(Part::SingleLine.answer(&problem, text, true), expected, "{text:?}");
        };
        check("    b = 2 * a", "    b = 2 * a\n");
        check("    b = 2 * a\n    return b\n", "    b = 2 * a\n");
        check("\n\n    b = 2 * a\n    c", "    b = 2 * a\n");
        check("", "\n");
    }

    #[test]
    fn a_model_that_sees_no_suffix_is_ended_where_it_begins() {
        let problem = problem("", "\n    return b\n", "");
        let text = "    b = 2\n    b *= a\n\n    return b\n\ndef c():\n";
        assert_eq!(Part::MultiLine.answer(&problem, text, false), "    b = 2\n    b *= a\n");
        assert_eq!(Part::MultiLine.answer(&problem, text, true), format!("{}\n", text.trim_end()));
        assert_eq!(Part::RandomSpan.answer(&problem, " * a\n", true), " * a\n");
    }

    #[test]
    fn answers_are_judged_by_the_tests_and_by_their_text() {
        let problem = problem("def double(a):\n", "    return b\n", "    b = 2 * a\n");
        let mut sandbox = Sandbox::new().unwrap();
        let mut counts = Counts::default();
        for answer in ["    b = 2 * a\n", "    b = a + a\n", "    b = a\n", "  b = a * 2\n"] {
            let trial = sandbox.start(&problem.program(answer)).unwrap();
            let pending = Pending {
                problem: problem.clone(),
                answer: answer.to_owned(),
                tokens: 1,
                finish: "end",
                trial,
            };
            counts.add(pending, &mut Cases::none()).unwrap();
        }
        assert_eq!((counts.cases, counts.exact, counts.passed), (4, 1, 2));
    }

    #[test]
    fn the_canonical_solutions_pass() {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("evals/data/human-eval-infilling");
        let mut sandbox = Sandbox::new().unwrap();
        for part in [Part::SingleLine, Part::MultiLine, Part::RandomSpan] {
            for problem in sample(read(&data, part).unwrap(), Some(12), 3) {
                let answer = part.answer(&problem, &problem.canonical_solution, true);
                assert!(
                    sandbox.start(&problem.program(&answer)).unwrap().passed().unwrap(),
                    "{}",
                    problem.task_id
                );
            }
        }
    }
}
