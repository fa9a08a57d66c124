//! The built server on its own stdin and stdout, with the real model.
#![cfg(unix)]

mod common;

use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::time::Duration;

use common::client::Client;
use common::program::foretype;
use common::real_model;
use serde_json::{Value, json};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};

fn start() -> (Client, Child) {
    real_model::files();
    let mut command = Command::from(foretype());
    command.arg("serve").stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    (Client::new(child.stdout.take().unwrap(), child.stdin.take().unwrap()), child)
}

/// As editors on libuv start it, Neovim and VS Code: over a socket; and as inetd does, with stderr on it too.
fn start_on_a_socket(with_errors: bool) -> (Client, Child) {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let (input, output) = UnixStream::from_std(ours).unwrap().into_split();
    let mut command = Command::from(foretype());
    let theirs = OwnedFd::from(theirs);
    command.args(["--log", "off", "serve"]).stdin(theirs.try_clone().unwrap()).kill_on_drop(true);
    if with_errors {
        command.stderr(theirs.try_clone().unwrap());
    }
    command.stdout(theirs);
    (Client::new(input, output), command.spawn().unwrap())
}

async fn ended(child: &mut Child) -> i32 {
    let ended = tokio::time::timeout(Duration::from_secs(60), child.wait()).await;
    ended.expect("the server stays").unwrap().code().unwrap_or(-1)
}

#[tokio::test]
async fn type_accept_generate_and_leave() {
    let (mut client, mut child) = start();
    let folder = tempfile::tempdir().unwrap();
    let uri = format!("file://{}/numbers.py", folder.path().display());
    // However busy the machine is, the model may write to the end of the line.
    client.options = json!({"budgetMs": 60000});
    client.initialize(&["utf-16"]).await;
    client.status("ready").await;

    // A whole file first, then letter by letter as they are typed.
    let mut text = (1..=9).map(|n| format!("number_{n} = {n}\n")).collect::<String>();
    client.open(&uri, "python", &text).await;
    let mut version = 1;
    for (column, letter) in "number_10 =".chars().enumerate() {
        version += 1;
        client.change(&uri, version, Some([9, column as u32, 9, column as u32]), &letter.to_string()).await;
        text.push(letter);
    }
    let answer = client.call("textDocument/inlineCompletion", Client::inline(&uri, 9, 11)).await;
    let item = answer["result"]["items"][0].clone();
    let inserted = item["insertText"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
    assert_eq!(inserted.trim(), "10", "{answer}");

    // Accept it: the editor inserts the text and runs the item's command.
    client.change(&uri, version + 1, Some([9, 11, 9, 11]), &inserted).await;
    text.push_str(&inserted);
    let accept = json!({"command": item["command"]["command"], "arguments": item["command"]["arguments"]});
    assert_eq!(client.call("workspace/executeCommand", accept).await["result"], Value::Null);
    assert_eq!(client.text(&uri).await, text);

    let end = json!({"line": 9, "character": 11 + inserted.chars().count()});
    let arguments = json!([{
        "uri": uri, "instruction": "Write a Python function that adds two numbers.",
        "range": {"start": end, "end": end},
    }]);
    let generate = json!({"command": "foretype.generate", "arguments": arguments});
    let answer = client.call("workspace/executeCommand", generate).await;
    let code = answer["result"].as_str().unwrap_or_else(|| panic!("{answer}"));
    assert!(code.contains("def ") && code.contains("return") && !code.contains("```"), "{code}");
    assert_eq!(client.edits[0]["documentChanges"][0]["edits"][0]["newText"], answer["result"]);

    client.call("shutdown", Value::Null).await;
    client.notify("exit", Value::Null).await;
    // Its stdin is still open.
    assert_eq!(ended(&mut child).await, 0);
}

#[tokio::test]
async fn a_server_goes_when_its_stream_ends_or_its_client_dies() {
    let (client, mut child) = start();
    drop(client);
    assert_eq!(ended(&mut child).await, 0);

    let mut editor = Command::new("sleep").arg("1000").kill_on_drop(true).spawn().unwrap();
    let (mut client, mut child) = start();
    let parameters = json!({"processId": editor.id(), "rootUri": null, "capabilities": {}});
    client.initialize_with(parameters).await;
    editor.kill().await.unwrap();
    // The stream stays open, as it does where a dead editor's children inherited it.
    ended(&mut child).await;
}

#[tokio::test]
async fn a_socket_carries_long_messages_both_ways() {
    // More than a socket holds at once.
    let text = "let a_line = of_a_file_that_is_long;\n".repeat(1 << 15);
    for with_errors in [false, true] {
        let (mut client, mut child) = start_on_a_socket(with_errors);
        client.initialize(&["utf-8"]).await;
        client.open("file:///long.rs", "rust", &text).await;
        assert_eq!(client.text("file:///long.rs").await, text);
        client.call("shutdown", Value::Null).await;
        client.notify("exit", Value::Null).await;
        assert_eq!(ended(&mut child).await, 0);
    }
}
