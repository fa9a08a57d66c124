//! Models from a hub: fetched through `HF_ENDPOINT`, kept in the hub's cache, pinned, used, removed.

mod common;

use std::process::Command;

use common::hub::Hub;
use common::program::{file, foretype, run};
use common::tiny_model::Tiny;

const MODEL: &str = "smollm2-360m";
const REPOSITORY: &str = "HuggingFaceTB/SmolLM2-360M-Instruct-GGUF";
const FILE: &str = "smollm2-360m-instruct-q8_0.gguf";

fn weights(width: usize) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.gguf");
    Tiny { width, ..Tiny::default() }.write(&path);
    std::fs::read(path).unwrap()
}

#[test]
fn a_model_is_fetched_pinned_used_and_removed() {
    let hub = Hub::start();
    hub.put(REPOSITORY, FILE, weights(Tiny::default().width));
    let home = tempfile::tempdir().unwrap();
    let foretype = |arguments: &[&str]| -> (i32, String, String) {
        let mut command: Command = foretype();
        command.env("HF_ENDPOINT", &hub.endpoint).env("HF_HOME", home.path().join("hub"));
        command.env("FORETYPE_HOME", home.path().join("foretype")).args(arguments);
        run(&mut command)
    };
    let place = file(home.path(), "a.rs", "fn main() {\n    let a = \n}\n") + ":2:13";

    let (code, _, errors) = foretype(&["--model", MODEL, "complete", &place]);
    assert_eq!(code, 1);
    assert!(errors.contains("foretype models pull smollm2-360m"), "{errors}");
    assert!(hub.asked.lock().unwrap().is_empty(), "something was fetched though nobody asked for it");

    let (code, _, errors) = foretype(&["models", "pull", MODEL]);
    assert_eq!(code, 0, "{errors}");
    let (code, output, errors) = foretype(&["models", "verify", MODEL]);
    assert_eq!(code, 0, "{output}{errors}");
    let (code, output, errors) = foretype(&["--model", MODEL, "complete", "--json", &place]);
    assert_eq!(code, 0, "{errors}");
    let answer: serde_json::Value = serde_json::from_str(&output).unwrap();
    assert!(answer["prompt_tokens"].as_u64().is_some_and(|count| count > 0), "{output}");
    let (_, listed, _) = foretype(&["models", "list"]);
    let line = listed.lines().find(|line| line.starts_with(MODEL)).unwrap();
    assert!(line.contains("on this machine"), "{line}");

    // Another file under the same name is refused, now and the next time.
    assert_eq!(foretype(&["models", "remove", MODEL]).0, 0);
    hub.put(REPOSITORY, FILE, weights(Tiny::default().width * 2));
    for _ in 0..2 {
        let (code, _, errors) = foretype(&["models", "pull", MODEL]);
        assert!(code == 1 && errors.contains("is not what came first"), "{code} {errors}");
    }
}

#[test]
fn a_hub_without_the_file_and_no_hub_at_all_get_one_line() {
    let hub = Hub::start();
    let home = tempfile::tempdir().unwrap();
    for endpoint in [hub.endpoint.as_str(), "http://127.0.0.1:9"] {
        let mut command = foretype();
        command.env("HF_ENDPOINT", endpoint).env("HF_HOME", home.path()).env("FORETYPE_HOME", home.path());
        let (code, _, errors) = run(command.args(["models", "pull", MODEL]));
        assert_eq!(code, 1, "{errors}");
        let last = errors.trim_end().lines().last().unwrap_or_default();
        assert!(last.contains(FILE) && last.contains("HF_ENDPOINT"), "{errors}");
    }
}
