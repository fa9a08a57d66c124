//! What a suite found: groups of cases and their figures, as a table or an object.

use std::io::Write;

use anyhow::Context;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::cli::eval::history::Row;
use crate::cli::eval::{Common, history, page};

/// The result of one suite with one model.
#[derive(Debug)]
pub struct Report {
    /// "infilling single-line", "holes"…
    pub suite: String,
    pub model: String,
    /// What else it depends on: order of the prompt, seed…
    pub settings: Vec<(&'static str, String)>,
    /// By language or kind; what stands for all of them comes last.
    pub groups: Vec<Group>,
}

/// Some cases and their figures.
#[derive(Debug)]
pub struct Group {
    pub name: String,
    pub cases: usize,
    /// Has cases of its own; a mean of others has none.
    pub is_part: bool,
    pub figures: Vec<Figure>,
}

impl Group {
    /// Some cases.
    pub fn part(name: &str, cases: usize, figures: Vec<Figure>) -> Self {
        Self { name: name.to_owned(), cases, is_part: true, figures }
    }

    /// The mean of groups, each counted once.
    pub fn mean(groups: &[Self]) -> Self {
        let filled: Vec<&Self> = groups.iter().filter(|group| group.cases > 0).collect();
        let first = filled.first().map(|group| group.figures.as_slice()).unwrap_or_default();
        let mean = |(index, figure): (usize, &Figure)| {
            let sum: f64 = filled.iter().map(|group| group.figures[index].value).sum();
            Figure { value: sum / filled.len() as f64, ..*figure }
        };
        let figures = first.iter().enumerate().map(mean).collect();
        let cases = groups.iter().map(|group| group.cases).sum();
        Self { name: "mean".to_owned(), cases, is_part: false, figures }
    }
}

/// One figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    /// As results.csv calls it.
    pub name: &'static str,
    pub value: f64,
}

impl Figure {
    /// A share from 0 to 1 is shown as a percentage.
    pub fn share(name: &'static str, part: usize, whole: usize) -> Self {
        Self { name, value: part as f64 / whole.max(1) as f64 }
    }

    /// For people.
    pub fn text(&self) -> String {
        match self.name {
            name if is_share(name) => format!("{:.1} %", self.value * 100.0),
            _ => format!("{:.2}", self.value),
        }
    }
}

/// Whether a figure is a share from 0 to 1.
pub fn is_share(name: &str) -> bool {
    !matches!(name, "perplexity" | "shown_per_accept" | "ms")
}

impl Report {
    /// What the result depends on, in a line.
    pub fn settings_text(&self) -> String {
        let settings = self.settings.iter().map(|(key, value)| format!("{key} {value}"));
        settings.collect::<Vec<_>>().join("; ")
    }

    /// The report as an object.
    pub fn json(&self) -> Value {
        let groups = self.groups.iter().map(|group| {
            let mut object = Map::from_iter([
                ("name".to_owned(), json!(group.name)),
                ("cases".to_owned(), json!(group.cases)),
            ]);
            object.extend(group.figures.iter().map(|figure| (figure.name.to_owned(), json!(figure.value))));
            Value::Object(object)
        });
        let mut report = json!({"suite": self.suite, "model": self.model});
        for (key, value) in &self.settings {
            report[*key] = json!(value);
        }
        report["groups"] = groups.collect();
        report
    }

    /// The report as lines for people.
    pub fn table(&self) -> String {
        let mut text = format!("{}: {} ({})\n", self.suite, self.model, self.settings_text());
        let names: Vec<&str> = self
            .groups
            .last()
            .into_iter()
            .flat_map(|group| &group.figures)
            .map(|figure| figure.name)
            .collect();
        text += &format!("{:14}{:>7}", "", "cases");
        for name in &names {
            text += &format!("{:>18}", name.replace('_', " "));
        }
        text.push('\n');
        for group in &self.groups {
            text += &format!("{:14}{:>7}", group.name, group.cases);
            for name in &names {
                let figure = group.figures.iter().find(|figure| figure.name == *name);
                text += &format!("{:>18}", figure.map(Figure::text).unwrap_or_default());
            }
            text.push('\n');
        }
        text
    }
}

/// Print the reports, and write them where the flags say.
///
/// # Errors
/// When a file cannot be written, or stdout is closed.
pub fn hand_over(reports: &[Report], common: &Common) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    for report in reports {
        if common.json {
            writeln!(out, "{}", report.json())?;
        } else {
            writeln!(out, "{}", report.table())?;
        }
    }
    let rows: Vec<Row> = reports.iter().filter_map(Row::of).collect();
    if let Some(path) = &common.csv {
        history::append(path, &rows)?;
    }
    if let Some(path) = &common.html {
        let rows = common.csv.as_deref().map_or(rows, history::read);
        std::fs::write(path, page::page(reports, &rows))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Writes cases, one object a line, where the flags ask for it.
pub struct Cases(Option<std::io::BufWriter<std::fs::File>>);

impl Cases {
    /// Open the file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn create(common: &Common) -> anyhow::Result<Self> {
        let create = |path| {
            let file = std::fs::File::create(path).with_context(|| format!("cannot write {path:?}"))?;
            anyhow::Ok(std::io::BufWriter::new(file))
        };
        Ok(Self(common.cases.as_ref().map(create).transpose()?))
    }

    /// Nothing is written.
    #[cfg(test)]
    pub fn none() -> Self {
        Self(None)
    }

    /// Write one case.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn write(&mut self, case: &impl Serialize) -> anyhow::Result<()> {
        if let Some(file) = &mut self.0 {
            serde_json::to_writer(&mut *file, case)?;
            file.write_all(b"\n")?;
        }
        Ok(())
    }
}
