//! `foretype eval`: every suite runs to its end and says what it found, in every form.

mod common;

use std::path::Path;

use common::program::{foretype, run};
use common::real_model;
use common::tiny_model::Tiny;
use serde_json::Value;

/// A reserve of one language with one file: lines that anyone can foretell.
fn reserve(folder: &Path) -> String {
    let package = folder.join("reserve/python/numbers-1.0");
    std::fs::create_dir_all(&package).unwrap();
    let lines = |range: std::ops::Range<u32>| {
        range.map(|n| format!("number_{n} = make({n}, 0)\n")).collect::<String>()
    };
    let functions = "def twice(value):\n    result = value * 2\n    return result\n\n\n".repeat(4);
    std::fs::write(package.join("numbers.py"), format!("{}{functions}{}", lines(1..60), lines(60..120)))
        .unwrap();
    folder.join("reserve").to_str().unwrap().to_owned()
}

fn tiny(folder: &Path) -> String {
    let path = folder.join("tiny.gguf");
    Tiny::default().write(&path);
    path.to_str().unwrap().to_owned()
}

fn objects(output: &str) -> Vec<Value> {
    output.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{output}"))).collect()
}

#[test]
fn infilling_is_told_as_object_row_page_and_cases() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/evals/data/human-eval-infilling");
    let model = tiny(folder.path());
    for suite in ["single-line", "multi-line", "random-span"] {
        let (code, output, errors) = run(foretype().args([
            "--model",
            &model,
            "eval",
            "infilling",
            "--suite",
            suite,
            "--data",
            data,
            "--limit",
            "2",
            "--json",
            "--csv",
            &path("results.csv"),
            "--html",
            &path("page.html"),
            "--cases",
            &path("cases.jsonl"),
            "--name",
            "nobody",
        ]));
        assert_eq!(code, 0, "{errors}");
        let report = &objects(&output)[0];
        assert_eq!(
            (&report["model"], &report["suite"]),
            (&"nobody".into(), &format!("infilling {suite}").into())
        );
        let group = &report["groups"][0];
        assert_eq!((group["cases"].as_u64(), group["exact"].as_f64()), (Some(2), Some(0.0)), "{report}");
        assert!(group["pass_at_1"].is_f64(), "{report}");
        let cases = objects(&std::fs::read_to_string(path("cases.jsonl")).unwrap());
        assert!(cases.len() == 2 && cases.iter().all(|case| case["passed"].is_boolean()), "{cases:?}");
    }
    let rows = std::fs::read_to_string(path("results.csv")).unwrap();
    assert_eq!(rows.lines().count(), 1 + 3, "{rows}");
    let page = std::fs::read_to_string(path("page.html")).unwrap();
    assert!(page.contains("infilling random-span") && page.contains("<svg"), "{page}");
}

#[test]
fn holes_and_perplexity_run_over_a_reserve() {
    let folder = tempfile::tempdir().unwrap();
    let (model, data) = (tiny(folder.path()), reserve(folder.path()));
    let eval = |arguments: &[&str]| {
        let (code, output, errors) = run(foretype()
            .args(["--model", &model, "eval"])
            .args(arguments)
            .args(["--data", &data, "--json"]));
        assert_eq!(code, 0, "{errors}");
        objects(&output)
    };
    let reports = eval(&["holes", "--limit", "2"]);
    let suites: Vec<&str> = reports.iter().filter_map(|report| report["suite"].as_str()).collect();
    assert_eq!(suites, ["holes line", "holes rest", "holes block", "holes argument"]);
    for report in &reports {
        let mean = &report["groups"][1];
        assert_eq!((mean["name"].as_str(), mean["cases"].as_u64()), (Some("mean"), Some(2)), "{report}");
        assert!(mean["similarity"].as_f64().is_some_and(|value| value < 0.9), "{report}");
    }
    // Weights drawn at random know nothing: all bytes are about as likely.
    let reports = eval(&["perplexity", "--tokens", "64", "--limit", "2"]);
    let perplexity = reports[0]["groups"][0]["perplexity"].as_f64().unwrap();
    assert!((20.0..2000.0).contains(&perplexity), "{perplexity}");
}

#[test]
fn the_real_model_saves_its_user_keys() {
    real_model::files();
    let folder = tempfile::tempdir().unwrap();
    let data = reserve(folder.path());
    let (code, output, errors) =
        run(foretype().args(["eval", "typing", "--data", &data, "--characters", "150", "--json"]));
    assert_eq!(code, 0, "{errors}");
    let python = &objects(&output)[0]["groups"][0];
    let value = |name: &str| python[name].as_f64().unwrap();
    assert!(value("saved") > 0.2 && value("saved") < 1.0, "{python}");
    assert!(value("shown_per_accept") >= 1.0, "{python}");
}

#[test]
fn what_is_missing_is_said_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let model = tiny(folder.path());
    for (suite, hint) in [("infilling", "evals/data/human-eval-infilling"), ("holes", "evals/fetch.py")] {
        let arguments = ["--model", &model, "eval", suite, "--data", "/no/such/folder"];
        let (code, output, errors) = run(foretype().args(arguments));
        assert_eq!((code, output.as_str(), errors.lines().count()), (1, "", 1), "{errors}");
        assert!(errors.contains(hint), "{errors}");
    }
}
