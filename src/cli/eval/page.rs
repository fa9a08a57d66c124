//! The HTML page of results: one file, its plots drawn as SVG inside it.

use crate::cli::eval::history::Row;
use crate::cli::eval::report::{Figure, Report, is_share};

const COLOURS: &[&str] = &["#3566c8", "#d9772b", "#3a9a5b", "#a0489a", "#b8a02c", "#5b8f99", "#8c5a3c"];
const LABEL_WIDTH: usize = 250;
const PLOT_WIDTH: usize = 420;
const BAR: usize = 14;

const HEAD: &str = "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Foretype: results</title>\n<style>\
    body{font:15px/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}\
    table{border-collapse:collapse;margin:.5rem 0 1.5rem}td,th{padding:.15rem .7rem;text-align:right;border-bottom:1px solid #ddd}\
    td:first-child,th:first-child{text-align:left}svg{display:block;margin:.5rem 0}text{font:12px system-ui,sans-serif;fill:#222}\
    .note{color:#666}</style>\n<h1>Foretype: results</h1>\n";

/// The page of these reports, and of all rows that were written before.
pub fn page(reports: &[Report], rows: &[Row]) -> String {
    let mut html = HEAD.to_owned();
    for report in reports {
        html += &format!("<h2>{}: {}</h2>\n", escape(&report.suite), escape(&report.model));
        html += &format!("<p class=\"note\">{}</p>\n", escape(&report.settings_text()));
        let groups: Vec<Bars> = report
            .groups
            .iter()
            .map(|group| Bars { label: group.name.clone(), cases: group.cases, figures: &group.figures })
            .collect();
        html += &plots(&groups);
        html += &table("", &groups);
    }
    let mut suites: Vec<&str> = Vec::new();
    for row in rows {
        if !suites.contains(&row.suite.as_str()) {
            suites.push(&row.suite);
        }
    }
    if !suites.is_empty() {
        html += "<h2>All models</h2>\n";
    }
    for suite in suites {
        html += &format!("<h3>{}</h3>\n", escape(suite));
        let models: Vec<Bars> = rows
            .iter()
            .filter(|row| row.suite == suite)
            .map(|row| {
                let label = format!("{} ({})", row.model, row.date);
                Bars { label, cases: row.cases, figures: &row.figures }
            })
            .collect();
        html += &plots(&models);
        html += &table("model", &models);
    }
    html + "</html>\n"
}

/// What one label of a plot has to show.
struct Bars<'a> {
    label: String,
    cases: usize,
    figures: &'a [Figure],
}

/// All shares in one plot with an axis to 100 %, every other figure in a plot of its own.
fn plots(groups: &[Bars]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for figure in groups.iter().flat_map(|group| group.figures) {
        if !names.contains(&figure.name) {
            names.push(figure.name);
        }
    }
    let (shares, others): (Vec<&str>, Vec<&str>) = names.into_iter().partition(|name| is_share(name));
    let mut html = if shares.is_empty() { String::new() } else { plot(groups, &shares, 1.0) };
    for name in others {
        let values = groups.iter().flat_map(|group| group.figures).filter(|figure| figure.name == name);
        let most = values.map(|figure| figure.value).fold(0.0, f64::max);
        html += &plot(groups, &[name], if most > 0.0 { most * 1.1 } else { 1.0 });
    }
    html
}

/// Horizontal bars, one colour a figure.
fn plot(groups: &[Bars], names: &[&str], most: f64) -> String {
    let (mut body, mut y) = (String::new(), BAR + 12);
    for (index, name) in names.iter().enumerate() {
        let (x, colour) = (LABEL_WIDTH + index * 110, COLOURS[index % COLOURS.len()]);
        body += &format!("<rect x=\"{x}\" y=\"2\" width=\"10\" height=\"10\" fill=\"{colour}\"/>");
        body += &format!("<text x=\"{}\" y=\"12\">{}</text>", x + 14, escape(&name.replace('_', " ")));
    }
    for group in groups {
        let middle = y + names.len() * BAR / 2 + 4;
        body += &format!(
            "<text x=\"{}\" y=\"{middle}\" text-anchor=\"end\">{}</text>",
            LABEL_WIDTH - 8,
            escape(&group.label)
        );
        for (index, name) in names.iter().enumerate() {
            let Some(figure) = group.figures.iter().find(|figure| figure.name == *name) else { continue };
            let width = (figure.value / most).clamp(0.0, 1.0) * PLOT_WIDTH as f64;
            let (top, colour) = (y + index * BAR, COLOURS[index % COLOURS.len()]);
            let height = BAR - 2;
            body += &format!(
                "<rect x=\"{LABEL_WIDTH}\" y=\"{top}\" width=\"{width:.1}\" height=\"{height}\" fill=\"{colour}\"/>"
            );
            let (x, base) = (LABEL_WIDTH as f64 + width + 5.0, top + 11);
            body += &format!("<text x=\"{x:.1}\" y=\"{base}\">{}</text>", figure.text());
        }
        y += names.len() * BAR + 8;
    }
    let width = LABEL_WIDTH + PLOT_WIDTH + 70;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{y}\" role=\"img\">{body}</svg>\n"
    )
}

fn table(first: &str, groups: &[Bars]) -> String {
    let names: Vec<&str> =
        groups.first().into_iter().flat_map(|group| group.figures).map(|figure| figure.name).collect();
    let mut html = format!("<table><tr><th>{first}</th><th>cases</th>");
    for name in &names {
        html += &format!("<th>{}</th>", escape(&name.replace('_', " ")));
    }
    html += "</tr>\n";
    for group in groups {
        html += &format!("<tr><td>{}</td><td>{}</td>", escape(&group.label), group.cases);
        for name in &names {
            let figure = group.figures.iter().find(|figure| figure.name == *name);
            html += &format!("<td>{}</td>", figure.map(Figure::text).unwrap_or_default());
        }
        html += "</tr>\n";
    }
    html + "</table>\n"
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::eval::report::Group;

    #[test]
    fn a_page_shows_every_figure_of_reports_and_rows() {
        let figures = vec![Figure::share("exact", 1, 4), Figure { name: "perplexity", value: 3.5 }];
        let report = Report {
            suite: "holes <rest>".to_owned(),
            model: "a&b".to_owned(),
            settings: vec![("seed", "1".to_owned())],
            groups: vec![Group::part("python", 4, figures)],
        };
        let row = Row::of(&report).unwrap();
        let html = page(&[report], &[Row { model: "other".to_owned(), ..row.clone() }, row]);
        for expected in ["holes &lt;rest&gt;", "a&amp;b", "25.0 %", "3.50", "other (", "seed 1"] {
            assert!(html.contains(expected), "{expected}: {html}");
        }
        // Two plots of the report and two of its suite's rows.
        assert_eq!(html.matches("<svg").count(), 4);
        assert!(!html.contains("<rest>"));
    }
}
