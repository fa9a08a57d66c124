//! The whole server over an in-memory transport; a scripted network stands in for the model, so that every answer is known.

mod common;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::client::Client;
use common::scripted::Script;
use foretype::config::{Layer, Source};
use foretype::worker::Loader;
use proptest::prelude::*;
use serde_json::{Value, json};

const URI: &str = "file:///project/a.rs";

/// A server with this loader, and a client of it. The server's exit code comes from the handle.
fn start_with(loader: Loader) -> (Client, tokio::task::JoinHandle<u8>) {
    let (client_side, server_side) = tokio::io::duplex(1 << 16);
    let (input, output) = tokio::io::split(server_side);
    // The file of the user who runs the tests must not matter.
    let no_file = std::path::PathBuf::from("/nowhere/foretype.toml");
    let flags = Layer::json(Source::CommandLine, json!({}));
    let server =
        tokio::spawn(async move { foretype::server::run(input, output, flags, Some(no_file), loader).await });
    let (input, output) = tokio::io::split(client_side);
    let mut client = Client::new(input, output);
    // However busy the machine is, the model may write to the end.
    client.options = json!({"budgetMs": 60000});
    (client, server)
}

fn start(script: &Script) -> (Client, tokio::task::JoinHandle<u8>) {
    start_with(script.clone().loader())
}

async fn ready(script: &Script) -> Client {
    let (mut client, _) = start(script);
    client.initialize(&["utf-16"]).await;
    client.status("ready").await;
    client
}

#[tokio::test]
async fn from_initialize_to_exit_with_stdin_open() {
    let script = Script::new(&[("let total =", " first + second;\n")]);
    let (mut client, server) = start(&script);
    let answer = client.initialize(&["utf-8", "utf-16"]).await;
    let capabilities = &answer["result"]["capabilities"];
    assert_eq!(capabilities["positionEncoding"], "utf-8");
    assert_eq!(capabilities["textDocumentSync"]["change"], 2);
    assert!(capabilities["inlineCompletionProvider"].is_object());
    assert!(capabilities["completionProvider"].is_object());
    assert!(!capabilities["codeActionProvider"].is_null());
    let commands = capabilities["executeCommandProvider"]["commands"].to_string();
    for command in ["foretype.generate", "foretype.document", "foretype.accept", "foretype.restart"] {
        assert!(commands.contains(command), "{command} is not in {commands}");
    }
    client.status("ready").await;
    client.open(URI, "rust", "fn add() {\n    let total = \n}\n").await;
    let answer = client.call("textDocument/inlineCompletion", Client::inline(URI, 1, 16)).await;
    let item = &answer["result"]["items"][0];
    assert_eq!(item["insertText"], "first + second;");
    assert_eq!(item["range"]["start"], json!({"line": 1, "character": 16}));
    assert_eq!(item["range"]["end"], json!({"line": 1, "character": 16}));
    assert_eq!(item["command"]["command"], "foretype.accept");
    let accepted = json!({"command": "foretype.accept", "arguments": item["command"]["arguments"]});
    assert_eq!(client.call("workspace/executeCommand", accepted).await["result"], Value::Null);
    let answer = client.call("shutdown", Value::Null).await;
    assert!(answer.get("error").is_none() && answer["result"].is_null(), "{answer}");
    client.notify("exit", Value::Null).await;
    // The client's side of the stream is still open.
    assert_eq!(server.await.unwrap(), 0);
}

#[tokio::test]
async fn an_exit_without_shutdown_is_a_failure_and_a_closed_stream_ends_the_server() {
    let script = Script::new(&[]);
    let (mut client, server) = start(&script);
    client.initialize(&[]).await;
    client.notify("exit", Value::Null).await;
    assert_eq!(server.await.unwrap(), 1);
    // Nobody waits for the answer of `shutdown`; it comes all the same.
    let (mut client, server) = start(&script);
    client.initialize(&[]).await;
    let id = client.request("shutdown", Value::Null).await;
    client.notify("exit", Value::Null).await;
    assert!(client.answer(id).await["result"].is_null());
    assert_eq!(server.await.unwrap(), 0);

    let (mut client, server) = start(&script);
    client.initialize(&[]).await;
    drop(client);
    server.await.unwrap();
}

#[tokio::test]
async fn typing_along_is_answered_from_memory() {
    let script = Script::new(&[("let total =", " first + second;\n")]);
    let mut client = ready(&script).await;
    client.open(URI, "rust", "let total = ").await;
    assert_eq!(client.ghost(URI, 0, 12).await.as_deref(), Some("first + second;"));
    let before = client.call("foretype/counters", json!({})).await["result"]["requests"].clone();
    for (version, letter) in "first + s".chars().enumerate() {
        let column = 12 + version as u32;
        client.change(URI, 2 + version as i32, Some([0, column, 0, column]), &letter.to_string()).await;
        let rest = &"first + second;"[version + 1..];
        assert_eq!(client.ghost(URI, 0, column + 1).await.as_deref(), Some(rest));
    }
    let after = client.call("foretype/counters", json!({})).await["result"]["requests"].clone();
    assert_eq!(after, before, "the model was asked again");
}

#[tokio::test]
async fn a_cancelled_request_stops_the_decode_within_a_token() {
    let endless = "x".repeat(300);
    let script = Script::new(&[("let a =", &endless)]).held_after(3);
    let mut client = ready(&script).await;
    client.open(URI, "rust", "let a = ").await;
    let id = client.request("textDocument/inlineCompletion", Client::inline(URI, 0, 8)).await;
    script.written(3).await;
    client.notify("$/cancelRequest", json!({"id": id})).await;
    let answer = client.answer(id).await;
    assert_eq!(answer["error"]["code"], -32800);
    script.release();
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert!(script.steps.load(Ordering::SeqCst) <= 4, "the decode went on");
}

#[tokio::test]
async fn a_superseded_request_is_answered_at_once_and_without_an_error() {
    let endless = "x".repeat(300);
    let script = Script::new(&[("let a =", &endless), ("let b =", " 1;\n")]).held_after(3);
    let mut client = ready(&script).await;
    client.open(URI, "rust", "let a = \nlet b = ").await;
    let old = client.request("textDocument/inlineCompletion", Client::inline(URI, 0, 8)).await;
    script.written(3).await;
    let new = client.request("textDocument/inlineCompletion", Client::inline(URI, 1, 8)).await;
    let answer = client.answer(old).await;
    assert!(answer.get("error").is_none() && answer["result"].is_null(), "{answer}");
    script.release();
    assert_eq!(client.answer(new).await["result"]["items"][0]["insertText"], "1;");
}

#[tokio::test]
async fn a_hundred_requests_and_changes_are_each_answered_once() {
    let script = Script::new(&[("let a =", " 12345;\n")]).slow(Duration::from_millis(1));
    let mut client = ready(&script).await;
    client.open(URI, "rust", "let a = ").await;
    let mut ids = Vec::new();
    let mut text = String::from("let a = ");
    for round in 0..100u32 {
        let filler = ["y", "é", "🦀", "\n"][round as usize % 4];
        client.change(URI, round as i32 + 2, Some([0, 0, 0, 0]), filler).await;
        text.insert_str(0, filler);
        let request = match round % 5 {
            0 => client.request("foretype/viewFileText", json!({"uri": URI})).await,
            1 => {
                let id = client.request("textDocument/inlineCompletion", Client::inline(URI, 9, 9)).await;
                client.notify("$/cancelRequest", json!({"id": id})).await;
                id
            }
            2 => client.request("textDocument/completion", Client::inline(URI, 0, 0)).await,
            _ => client.request("textDocument/inlineCompletion", Client::inline(URI, round / 4, 3)).await,
        };
        ids.push(request);
    }
    for id in &ids {
        let answer = client.answer(*id).await;
        let code = answer["error"]["code"].as_i64();
        assert!(code.is_none() || code == Some(-32800), "{answer}");
    }
    assert_eq!(client.text(URI).await, text);
    assert!(ids.iter().all(|id| client.times_answered(*id) == 1));
}

#[tokio::test]
async fn code_is_generated_applied_as_one_edit_and_returned() {
    let script = Script::new(&[("```rust\n", "fn double(n: i32) -> i32 {\n    n * 2\n}\n```\nDone.")]);
    let mut client = ready(&script).await;
    client.open(URI, "rust", "// here\n\n").await;
    let range = json!({"start": {"line": 1, "character": 0}, "end": {"line": 1, "character": 0}});
    let arguments = json!([{"uri": URI, "instruction": "a function that doubles", "range": range}]);
    let command = json!({"command": "foretype.generate", "arguments": arguments});
    let answer = client.call("workspace/executeCommand", command).await;
    let code = answer["result"].as_str().unwrap_or_else(|| panic!("{answer}"));
    assert!(code.contains("n * 2\n}") && !code.contains("```") && !code.contains("Done"), "{code:?}");
    assert_eq!(client.edits.len(), 1);
    let edit = &client.edits[0]["documentChanges"][0];
    assert_eq!(edit["edits"][0]["newText"], answer["result"]);
    assert_eq!(edit["edits"][0]["range"], range);
    assert_eq!(edit["textDocument"]["version"], 1);
    let begun =
        |message: &Value| message["method"] == "$/progress" && message["params"]["value"]["kind"] == "end";
    client.heard(begun).await;
}

#[tokio::test]
async fn wrong_arguments_get_one_clear_line_and_the_server_lives() {
    let script = Script::new(&[("let a =", " 1;\n")]);
    let mut client = ready(&script).await;
    for (method, params, hint) in [
        ("workspace/executeCommand", json!({"command": "foretype.nonsense"}), "foretype.generate"),
        ("workspace/executeCommand", json!({"command": "foretype.generate"}), "argument"),
        (
            "workspace/executeCommand",
            json!({"command": "foretype.generate", "arguments": [{"uri": "file:///no", "instruction": "x"}]}),
            "not open",
        ),
        ("textDocument/inlineCompletion", json!({"textDocument": 3}), ""),
        ("foretype/viewFileText", json!({"uri": "file:///no"}), "not open"),
        ("no/such/method", json!({}), ""),
    ] {
        let answer = client.call(method, params).await;
        let message = answer["error"]["message"].as_str().unwrap_or_else(|| panic!("{method}: {answer}"));
        assert!(message.contains(hint) && !message.contains('\n'), "{method}: {message}");
    }
    client.send_raw("{this is no JSON").await;
    client.change("file:///never/opened.rs", 1, None, "x").await;
    client.open(URI, "rust", "let a = ").await;
    // Outside the file: the nearest place inside.
    assert_eq!(client.ghost(URI, 900, 900).await.as_deref(), Some("1;"));
    assert_eq!(client.ghost("file:///not/open.rs", 0, 0).await, None);
}

#[tokio::test]
async fn a_client_without_ghost_text_gets_the_same_in_its_menu() {
    let script = Script::new(&[("let total =", " first + second;\n")]);
    let (mut client, _) = start(&script);
    let capabilities = json!({"general": {"positionEncodings": ["utf-32", "utf-8"]}});
    let params = json!({"processId": null, "rootUri": null, "capabilities": capabilities});
    let answer = client.initialize_with(params).await;
    assert_eq!(answer["result"]["capabilities"]["positionEncoding"], "utf-32");
    client.status("ready").await;
    client.open(URI, "rust", "/* 🦀 */ let total = ").await;
    let answer = client.call("textDocument/completion", Client::inline(URI, 0, 20)).await;
    let list = &answer["result"];
    let item = if list.is_array() { &list[0] } else { &list["items"][0] };
    assert_eq!(item["textEdit"]["newText"], "first + second;", "{answer}");
    let resolved = client.call("completionItem/resolve", item.clone()).await;
    assert_eq!(resolved["result"]["label"], item["label"]);
}

#[tokio::test]
async fn a_model_that_cannot_be_loaded_is_told_and_a_restart_mends_it() {
    let script = Script::new(&[("let a =", " 1;\n")]);
    let mut tries = 0;
    let loader: Loader = Box::new(move |_, _| {
        tries += 1;
        anyhow::ensure!(tries > 1, "the file is broken; fetch it anew");
        Ok(script.engine())
    });
    let (mut client, _) = start_with(loader);
    client.initialize(&[]).await;
    let status = client.status("failed").await;
    assert_eq!(status["params"]["message"], "the file is broken; fetch it anew");
    client.open(URI, "rust", "let a = ").await;
    assert_eq!(client.ghost(URI, 0, 8).await, None);
    let arguments = json!([{"uri": URI, "instruction": "x"}]);
    let command = json!({"command": "foretype.generate", "arguments": arguments});
    let answer = client.call("workspace/executeCommand", command).await;
    assert!(answer["error"]["message"].as_str().is_some_and(|text| text.contains("no model")), "{answer}");
    client.call("workspace/executeCommand", json!({"command": "foretype.restart"})).await;
    client.status("ready").await;
    assert_eq!(client.ghost(URI, 0, 8).await.as_deref(), Some("1;"));
}

#[tokio::test]
async fn the_model_is_loaded_once_and_with_the_editors_settings() {
    let script = Script::new(&[("let a =", " 1;\n")]);
    let loads = Arc::<Mutex<Vec<_>>>::default();
    let (seen, engines) = (loads.clone(), script.clone());
    let loader: Loader = Box::new(move |settings, progress| {
        seen.lock().unwrap().push(settings.threads);
        progress(1.0);
        Ok(engines.engine())
    });
    let (mut client, _) = start_with(loader);
    client.settings = json!({"threads": 3});
    client.initialize(&["utf-16"]).await;
    // A request that comes before the model is there waits for it.
    client.open(URI, "rust", "let a = ").await;
    assert_eq!(client.ghost(URI, 0, 8).await.as_deref(), Some("1;"));
    assert_eq!(*loads.lock().unwrap(), [Some(3)]);
    client.settings = json!({"threads": 2});
    client.notify("workspace/didChangeConfiguration", json!({"settings": null})).await;
    while loads.lock().unwrap().len() < 2 {
        client.text(URI).await;
    }
    assert_eq!(client.ghost(URI, 0, 8).await.as_deref(), Some("1;"));
    assert_eq!(*loads.lock().unwrap(), [Some(3), Some(2)]);
}

#[tokio::test]
async fn a_panic_in_the_model_is_survived() {
    let mut script = Script::new(&[("let a =", " 1;\n")]);
    script.panics_after = Some("boom =".to_owned());
    let mut client = ready(&script).await;
    client.open(URI, "rust", "let boom = \nlet a = ").await;
    assert_eq!(client.ghost(URI, 0, 11).await, None);
    let mut found = None;
    for _ in 0..100 {
        found = client.ghost(URI, 1, 8).await;
        if found.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(found.as_deref(), Some("1;"));
}

#[tokio::test]
async fn unknown_settings_are_named_once_and_a_language_can_be_switched_off() {
    let script = Script::new(&[("let a =", " 1;\n")]);
    let (mut client, _) = start(&script);
    client.settings = json!({"modle": "x", "languages": {"rust": false}});
    client.initialize(&[]).await;
    client.status("ready").await;
    let named = |message: &Value| {
        message["method"] == "window/showMessage"
            && message["params"]["message"].as_str().is_some_and(|text| text.contains("modle"))
    };
    client.heard(named).await;
    client.open(URI, "rust", "let a = ").await;
    assert_eq!(client.ghost(URI, 0, 8).await, None);
    client.settings = json!({"modle": "x"});
    client.notify("workspace/didChangeConfiguration", json!({"settings": null})).await;
    let mut found = None;
    for _ in 0..100 {
        found = client.ghost(URI, 0, 8).await;
        if found.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(found.as_deref(), Some("1;"));
    assert_eq!(client.notifications.iter().filter(|message| named(message)).count(), 1);
}

#[tokio::test]
async fn nothing_is_suggested_in_a_file_of_secrets() {
    let script = Script::new(&[("KEY=", "12345\n")]);
    let mut client = ready(&script).await;
    client.open("file:///project/.env", "shellscript", "KEY=").await;
    assert_eq!(client.ghost("file:///project/.env", 0, 4).await, None);
    let arguments = json!([{"uri": "file:///project/.env", "instruction": "another key"}]);
    let command = json!({"command": "foretype.generate", "arguments": arguments});
    let answer = client.call("workspace/executeCommand", command).await;
    assert!(answer["error"]["message"].as_str().is_some_and(|text| text.contains("secrets")), "{answer}");
    assert_eq!(script.steps.load(Ordering::SeqCst), 0);
}

/// The same edit on a plain string; columns are counted as the encoding says, lines end at LF, CRLF or CR.
fn naive_offset(text: &str, line: u32, column: u32, encoding: &str) -> usize {
    let bytes = text.as_bytes();
    let (mut at, mut passed) = (0, 0);
    while passed < line && at < bytes.len() {
        let ends = bytes[at] == b'\n' || (bytes[at] == b'\r' && bytes.get(at + 1) != Some(&b'\n'));
        at += 1;
        passed += u32::from(ends);
    }
    if passed < line {
        return text.len();
    }
    let mut units = 0;
    for (index, character) in text[at..].char_indices() {
        units += match encoding {
            "utf-8" => character.len_utf8(),
            "utf-16" => character.len_utf16(),
            _ => 1,
        };
        if matches!(character, '\n' | '\r') || units > column as usize {
            return at + index;
        }
    }
    text.len()
}

fn texts() -> impl Strategy<Value = String> {
    let part =
        prop_oneof![Just("a"), Just("é"), Just("🦀"), Just("\n"), Just("\r\n"), Just("\r"), Just("word ")];
    proptest::collection::vec(part, 0..10).prop_map(|parts| parts.concat())
}

/// Changes of one notification: mostly of a range, now and then of the whole text.
fn changes() -> impl Strategy<Value = Vec<(Option<[u32; 4]>, String)>> {
    let range = (0u32..6, 0u32..10, 0u32..6, 0u32..10).prop_map(|(a, b, c, d)| [a, b, c, d]);
    proptest::collection::vec((proptest::option::weighted(0.95, range), texts()), 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_edits_keep_the_servers_text_equal(
        start_text in texts(),
        notifications in proptest::collection::vec(changes(), 0..10),
        encoding in prop_oneof![Just("utf-8"), Just("utf-16"), Just("utf-32")],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (mut client, _) = start(&Script::new(&[]));
            client.initialize(&[encoding]).await;
            client.open(URI, "rust", &start_text).await;
            let mut naive = start_text;
            for (version, changes) in notifications.iter().enumerate() {
                for (range, text) in changes {
                    let [a, b, c, d] = range.unwrap_or([0, 0, u32::MAX, 0]);
                    let (start, end) = (naive_offset(&naive, a, b, encoding), naive_offset(&naive, c, d, encoding));
                    naive.replace_range(start.min(end)..start.max(end), text);
                }
                client.changes(URI, version as i32 + 2, changes).await;
                assert_eq!(client.text(URI).await, naive);
            }
        });
    }
}
