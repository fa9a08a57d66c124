//! results.csv: one row per date, model and suite, so that models can be compared over time.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;

use crate::cli::eval::report::{Figure, Report};

/// Columns of figures, in their order; a suite fills some of them.
pub const FIGURES: &[&str] =
    &["exact", "pass_at_1", "similarity", "first_line", "saved", "shown_per_accept", "perplexity"];

/// A row of results.csv.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub date: String,
    pub model: String,
    pub suite: String,
    /// What else it depends on, "order SPM, seed 1".
    pub settings: String,
    pub cases: usize,
    pub figures: Vec<Figure>,
}

impl Row {
    /// The row of a report, dated today: the figures of its last group, which stands for all.
    pub fn of(report: &Report) -> Option<Self> {
        let group = report.groups.last()?;
        Some(Self {
            date: today(),
            model: report.model.clone(),
            suite: report.suite.clone(),
            settings: report.settings_text(),
            cases: report.groups.iter().filter(|group| group.is_part).map(|group| group.cases).sum(),
            figures: group.figures.clone(),
        })
    }

    fn line(&self) -> String {
        let mut fields = vec![
            self.date.clone(),
            self.model.clone(),
            self.suite.clone(),
            self.settings.replace(',', ";"),
            self.cases.to_string(),
        ];
        for name in FIGURES {
            let figure = self.figures.iter().find(|figure| figure.name == *name);
            fields.push(figure.map(|figure| format!("{:.4}", figure.value)).unwrap_or_default());
        }
        // Names have no commas, quotes or line ends; one that has loses them.
        fields.iter().map(|field| field.replace([',', '"', '\n'], " ")).collect::<Vec<_>>().join(",")
    }

    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split(',');
        let mut text = || fields.next().map(str::to_owned);
        let (date, model, suite, settings) = (text()?, text()?, text()?, text()?);
        let cases = text()?.parse().ok()?;
        let figures = FIGURES.iter().zip(fields);
        let figures =
            figures.filter_map(|(name, value)| Some(Figure { name, value: value.parse().ok()? })).collect();
        Some(Self { date, model, suite, settings, cases, figures })
    }
}

/// Add rows to the file, which is made if it is not there.
///
/// # Errors
/// When it cannot be written.
pub fn append(path: &Path, rows: &[Row]) -> anyhow::Result<()> {
    let is_new = !path.exists();
    let file = fs::OpenOptions::new().create(true).append(true).open(path);
    let mut file = file.with_context(|| format!("cannot write {}", path.display()))?;
    if is_new {
        writeln!(file, "date,model,suite,settings,cases,{}", FIGURES.join(","))?;
    }
    for row in rows {
        writeln!(file, "{}", row.line())?;
    }
    Ok(())
}

/// The rows of the file; none where there is no file.
pub fn read(path: &Path) -> Vec<Row> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().skip(1).filter_map(Row::parse).collect()
}

fn today() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (year, month, day) = civil((seconds / 86_400) as i64);
    format!("{year:04}-{month:02}-{day:02}")
}

/// Days since 1970 to year, month and day of the Gregorian calendar: Howard Hinnant's `civil_from_days`.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(11_016), (2000, 2, 29));
        assert_eq!(civil(20_453), (2025, 12, 31));
    }

    #[test]
    fn rows_are_appended_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.csv");
        let row = |model: &str, figures| Row {
            date: "2025-01-02".to_owned(),
            model: model.to_owned(),
            suite: "holes rest".to_owned(),
            settings: "seed 1".to_owned(),
            cases: 3,
            figures,
        };
        let first = row("a", vec![Figure { name: "exact", value: 0.25 }]);
        let second = row("b", vec![Figure { name: "perplexity", value: 3.5 }]);
        append(&path, std::slice::from_ref(&first)).unwrap();
        append(&path, std::slice::from_ref(&second)).unwrap();
        assert_eq!(read(&path), [first, second]);
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 3);
    }
}
