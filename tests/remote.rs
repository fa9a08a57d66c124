//! The setting `remote`: the built program asks an endpoint in place of its own model.
#![cfg(unix)]

mod common;

use std::process::Stdio;

use common::client::Client;
use common::endpoint::Endpoint;
use common::program::{file, foretype, run};
use serde_json::json;

const SOURCE: &str = "fn add(a: i32, b: i32) -> i32 {\n    a + \n}\n";

/// A configuration that names this endpoint.
fn config(folder: &std::path::Path, url: &str, model: &str, more: &str) -> String {
    file(folder, "config.toml", &format!("[remote]\nurl = \"{url}\"\nmodel = \"{model}\"\n{more}"))
}

#[test]
fn a_known_model_is_prompted_with_its_markers_and_the_answer_is_filtered() {
    let endpoint = Endpoint::start(200, &["b", "\n}\n\nfn", " more"]);
    let folder = tempfile::tempdir().unwrap();
    let place = format!("{}:2:9", file(folder.path(), "a.rs", SOURCE));
    let more = "apiKeyEnv = \"FORETYPE_TEST_KEY\"\n";
    let config = config(folder.path(), &endpoint.url, "Qwen/Qwen2.5-Coder-7B", more);
    let mut command = foretype();
    command.args(["--config", &config, "complete", &place]).env("FORETYPE_TEST_KEY", "secret");
    assert_eq!(run(&mut command), (0, "b\n".to_owned(), String::new()));
    let asked = endpoint.asked.lock().unwrap().clone();
    let [(path, key, body)] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!((path.as_str(), key.as_str()), ("/v1/completions", "Bearer secret"));
    let prompt = body["prompt"].as_str().unwrap();
    let (prefix, suffix) = prompt.split_once("<|fim_suffix|>").unwrap_or_else(|| panic!("{prompt}"));
    assert!(prefix.starts_with("<|fim_prefix|>") || prefix.contains("<|file_sep|>a.rs\n"), "{prompt}");
    assert!(prefix.trim_end().ends_with("    a +"), "{prompt}");
    assert_eq!(suffix, "\n}\n<|fim_middle|>");
    assert_eq!((&body["model"], &body["stream"]), (&json!("Qwen/Qwen2.5-Coder-7B"), &json!(true)));
    // Without the key, nothing is asked.
    let (code, output, errors) = run(foretype().args(["--config", &config, "complete", &place]));
    assert_eq!((code, output.as_str()), (1, ""));
    assert!(errors.contains("FORETYPE_TEST_KEY") && errors.lines().count() == 1, "{errors}");
}

#[test]
fn an_unknown_model_goes_on_from_the_text_and_writes_code() {
    let endpoint = Endpoint::start(200, &["def half(n):\n", "    return n / 2\n", "\n\n\nprint()"]);
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), &endpoint.url, "someone/something", "");
    let place = format!("{}:2:9", file(folder.path(), "a.rs", SOURCE));
    let (code, _, errors) = run(foretype().args(["--config", &config, "complete", &place]));
    assert_eq!(code, 0, "{errors}");
    let command = ["--config", &config, "generate", "half of a number", "--language", "python"];
    let (code, output, errors) = run(foretype().args(command));
    assert_eq!((code, output.as_str()), (0, "def half(n):\n    return n / 2\n"), "{errors}");
    let asked = endpoint.asked.lock().unwrap();
    assert_eq!(asked[0].2["prompt"], "fn add(a: i32, b: i32) -> i32 {\n    a +");
    assert_eq!(asked[1].2["prompt"], "# half of a number\n");
}

#[test]
fn a_remote_that_refuses_or_is_not_there_is_told_in_one_line() {
    let refusing = Endpoint::start(404, &[]);
    let folder = tempfile::tempdir().unwrap();
    let place = format!("{}:2:9", file(folder.path(), "a.rs", SOURCE));
    for (url, hint) in
        [(refusing.url.as_str(), "no such model"), ("http://127.0.0.1:9/v1", "setting `remote`")]
    {
        let config = config(folder.path(), url, "x", "");
        let (code, output, errors) = run(foretype().args(["--config", &config, "complete", &place]));
        assert_eq!((code, output.as_str()), (1, ""));
        assert!(errors.contains(hint) && errors.lines().count() == 1, "{errors}");
    }
}

#[tokio::test]
async fn the_server_asks_it_and_says_so() {
    let endpoint = Endpoint::start(200, &["b", "\n}\n"]);
    let mut command = tokio::process::Command::from(foretype());
    command.arg("serve").stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut client = Client::new(child.stdout.take().unwrap(), child.stdin.take().unwrap());
    let remote = |url: &str| json!({"url": url, "model": "qwen2.5-coder:1.5b"});
    client.settings = json!({"remote": remote(&endpoint.url), "budgetMs": 60000});
    client.initialize(&["utf-16"]).await;
    assert_eq!(client.status("ready").await["params"]["model"], "qwen2.5-coder:1.5b");
    client.open("file:///project/a.rs", "rust", SOURCE).await;
    assert_eq!(client.ghost("file:///project/a.rs", 1, 8).await.as_deref(), Some("b"));
    // One that cannot be reached is told to the user, once.
    client.settings = json!({"remote": remote("http://127.0.0.1:9/v1")});
    client.notify("workspace/didChangeConfiguration", json!({"settings": null})).await;
    for version in 2..5 {
        client.change("file:///project/a.rs", version, Some([0, 0, 0, 0]), "x").await;
        client.ghost("file:///project/a.rs", 1, 8).await;
    }
    let told = |message: &serde_json::Value| {
        message["method"] == "window/showMessage"
            && message["params"]["message"].to_string().contains("127.0.0.1:9")
    };
    client.heard(told).await;
    client.text("file:///project/a.rs").await;
    assert_eq!(client.notifications.iter().filter(|message| told(message)).count(), 1);
}
