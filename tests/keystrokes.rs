//! `foretype bench keystrokes`: the built program types at its own server with a tiny model.
#![cfg(unix)]

mod common;

use common::program::{file, foretype, run};
use common::tiny_model::Tiny;
use serde_json::Value;

#[test]
fn a_few_keys_give_a_report_and_a_page() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("tiny.gguf");
    Tiny::default().write(&model);
    let text = (0..12).map(|n| format!("fn number_{n}() -> u32 {{\n    {n}\n}}\n\n")).collect::<String>();
    let source = file(folder.path(), "numbers.rs", &text);
    let page = folder.path().join("page.html");
    let cases = folder.path().join("cases.jsonl");
    let (code, output, errors) = run(foretype()
        .args(["--model", model.to_str().unwrap(), "bench", "keystrokes", &source])
        .args(["--keys", "12", "--auto-close", "--json", "--page", page.to_str().unwrap()])
        .args(["--cases", cases.to_str().unwrap()]));
    assert_eq!(code, 0, "{errors}");

    let report: Value = serde_json::from_str(&output).unwrap();
    let subjects = report["subjects"].as_array().unwrap();
    assert_eq!((subjects.len(), report["files"].as_u64()), (1, Some(1)), "{report}");
    let ours = &subjects[0];
    assert_eq!(ours["name"], "foretype");
    let keys = ours["keys"].as_u64().unwrap();
    assert!(keys > 5, "{report}");
    assert_eq!(ours["wait_ms"]["count"].as_u64(), Some(keys), "every key has a wait: {report}");
    assert_eq!(ours["languages"]["rust"]["keys"].as_u64(), Some(keys), "{report}");
    assert_eq!(ours["wait_hundredths"].as_array().unwrap().len(), 101, "{report}");
    let share = ours["answered_before_next"].as_f64().unwrap();
    assert!(share > 0.0 && share <= 1.0, "{report}");

    let asked = ["requests", "fromMemory", "adopted"].map(|name| report["counters"][name].as_u64().unwrap());
    assert!(asked[0] > 0 && asked.iter().sum::<u64>() <= 2 * keys, "{report}");
    let cases = std::fs::read_to_string(cases).unwrap();
    assert_eq!(cases.lines().count() as u64, keys, "{cases}");

    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("key to answer, p50") && page.matches("<svg").count() == 4, "{page}");
    assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
    assert!(!page.contains("NaN") && !page.contains("inf"), "{page}");
}

#[test]
fn what_cannot_be_typed_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let short = file(folder.path(), "short.rs", "a\n");
    let nowhere = folder.path().join("nowhere.rs");
    let cases = [(short.as_str(), "too short"), (nowhere.to_str().unwrap(), "cannot read")];
    for (place, hint) in cases {
        let (code, _, errors) = run(foretype().args(["bench", "keystrokes", place]));
        assert!(code == 1 && errors.contains(hint), "{code} {errors}");
    }
}
