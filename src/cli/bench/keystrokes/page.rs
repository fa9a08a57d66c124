//! The report as one page: a table and plots, all inline.

use std::fmt::Write;

use crate::cli::bench::keystrokes::figures::Figures;
use crate::cli::bench::keystrokes::table::{rows, show};

const COLOURS: [&str; 2] = ["#0b6fa4", "#c4572e"];
const WIDTH: f64 = 620.0;
const HEIGHT: f64 = 260.0;
/// Room for the axes' figures.
const LEFT: f64 = 56.0;
const BOTTOM: f64 = 34.0;

/// The whole page. `about` says what was measured.
pub fn page(about: &str, figures: &[Figures]) -> String {
    let plots = [
        distribution("Key to answer, ms (logarithmic)", figures, |figures| &figures.wait_hundredths),
        distribution("Tokens per key (logarithmic)", figures, |figures| &figures.token_hundredths),
        bars("Answered before the next key, %, by language", figures, |figures, language| {
            Some(100.0 * figures.languages.get(language)?.answered_before_next)
        }),
        bars("Characters saved, %, by language", figures, |figures, language| {
            Some(100.0 * figures.languages.get(language)?.characters_saved)
        }),
    ];
    let legend: String = figures
        .iter()
        .zip(COLOURS)
        .map(|(figures, colour)| format!("<span style=\"color:{colour}\">■</span> {} &nbsp; ", figures.name))
        .collect();
    format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Foretype: keystrokes</title>\n\
         <style>body{{font:15px/1.5 system-ui,sans-serif;max-width:46em;margin:2em auto;padding:0 1em}}\
         table{{border-collapse:collapse}}td,th{{padding:.15em .8em;text-align:right;border-bottom:1px solid #ddd}}\
         td:first-child,th:first-child{{text-align:left}}svg{{max-width:100%}}text{{font:11px system-ui,sans-serif}}\
         </style>\n<h1>Keystrokes</h1>\n<p>{}</p>\n{}\n<p>{legend}</p>\n{}\n</html>\n",
        escape(about),
        table(figures),
        plots.concat()
    )
}

fn table(figures: &[Figures]) -> String {
    let mut html = String::from("<table><tr><th></th>");
    for figures in figures {
        let _ = write!(html, "<th>{}</th>", figures.name);
    }
    html += "<th>ratio</th><th>goal</th></tr>\n";
    for row in rows(figures) {
        let _ = write!(html, "<tr><td>{}</td>", row.name);
        for value in &row.values {
            let _ = write!(html, "<td>{}</td>", show(*value, row.decimals));
        }
        let ratio = if row.ratio.is_some() { show(row.ratio, 3) } else { String::new() };
        let _ = writeln!(html, "<td>{ratio}</td><td>{}</td></tr>", row.goal);
    }
    html + "</table>"
}

/// Which share of the keys stays under a value.
fn distribution(title: &str, figures: &[Figures], of: fn(&Figures) -> &[f64]) -> String {
    // Logarithms need a smallest value; what is below counts as it.
    let (low, mut high) = (0.1_f64, 1.0_f64);
    for figures in figures {
        high = of(figures).iter().copied().fold(high, f64::max);
    }
    let high = 10f64.powf(high.log10().ceil());
    let x = |value: f64| LEFT + WIDTH * (value.max(low) / low).log10() / (high / low).log10();
    let y = |share: f64| HEIGHT * (1.0 - share) + 10.0;
    let mut plot = String::new();
    let mut tick = low;
    while tick <= high * 1.001 {
        let _ = write!(
            plot,
            "{}{}",
            line(x(tick), y(0.0), x(tick), y(1.0)),
            label(x(tick), y(0.0), &tick.to_string())
        );
        tick *= 10.0;
    }
    for quarter in 0..=4 {
        let share = f64::from(quarter) / 4.0;
        let text = format!("{} %", quarter * 25);
        let _ = write!(plot, "{}{}", line(x(low), y(share), x(high), y(share)), left(y(share), &text));
    }
    for (figures, colour) in figures.iter().zip(COLOURS) {
        let values = of(figures).iter().enumerate();
        let points: String = values
            .map(|(hundredth, value)| format!("{:.1},{:.1} ", x(*value), y(hundredth as f64 / 100.0)))
            .collect();
        let _ = write!(
            plot,
            "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"
        );
    }
    svg(title, &plot)
}

/// A value from 0 to 100 for each language.
fn bars(title: &str, figures: &[Figures], of: fn(&Figures, &str) -> Option<f64>) -> String {
    let languages: Vec<&str> =
        figures.first().map(|figures| figures.languages.keys().copied().collect()).unwrap_or_default();
    let y = |value: f64| HEIGHT * (1.0 - value / 100.0) + 10.0;
    let mut plot = String::new();
    for quarter in 0..=4 {
        let value = f64::from(quarter) * 25.0;
        let _ = write!(
            plot,
            "{}{}",
            line(LEFT, y(value), LEFT + WIDTH, y(value)),
            left(y(value), &value.to_string())
        );
    }
    let step = WIDTH / languages.len().max(1) as f64;
    let width = 0.8 * step / figures.len().max(1) as f64;
    for (place, language) in languages.iter().enumerate() {
        let start = LEFT + step * (place as f64 + 0.1);
        plot += &label(start + 0.4 * step, y(0.0), language);
        for (number, (figures, colour)) in figures.iter().zip(COLOURS).enumerate() {
            let value = of(figures, language).unwrap_or(0.0);
            let _ = write!(
                plot,
                "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{:.1}\" fill=\"{colour}\"/>",
                start + width * number as f64,
                y(value),
                y(0.0) - y(value)
            );
        }
    }
    svg(title, &plot)
}

fn svg(title: &str, plot: &str) -> String {
    let (width, height) = (LEFT + WIDTH + 24.0, HEIGHT + BOTTOM);
    let title = escape(title);
    format!(
        "<h2>{title}</h2>\n<svg viewBox=\"0 0 {width} {height}\" width=\"{width}\" role=\"img\" aria-label=\"{title}\">{plot}</svg>\n"
    )
}

fn line(x1: f64, y1: f64, x2: f64, y2: f64) -> String {
    format!("<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"#ddd\"/>")
}

fn label(x: f64, y: f64, text: &str) -> String {
    format!("<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>", y + 16.0, escape(text))
}

fn left(y: f64, text: &str) -> String {
    format!("<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>", LEFT - 6.0, y + 4.0, escape(text))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
