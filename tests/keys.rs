//! What happens between keys, over the whole server: decodes are joined or stopped, and idle time is used.

mod common;

use std::sync::atomic::Ordering;
use std::time::Duration;

use common::client::Client;
use common::scripted::Script;
use foretype::config::{Layer, Source};
use foretype::model::manifest::FimOrder;
use serde_json::{Value, json};

const URI: &str = "file:///project/a.rs";

/// A client whose server takes all the time that it needs, however busy the machine is.
async fn ready(script: &Script) -> Client {
    ready_with(script, json!({"budgetMs": 60000})).await
}

async fn ready_with(script: &Script, options: Value) -> Client {
    let (client_side, server_side) = tokio::io::duplex(1 << 16);
    let (input, output) = tokio::io::split(server_side);
    let no_file = std::path::PathBuf::from("/nowhere/foretype.toml");
    let flags = Layer::json(Source::CommandLine, json!({}));
    let loader = script.clone().loader();
    tokio::spawn(async move { foretype::server::run(input, output, flags, Some(no_file), loader).await });
    let (input, output) = tokio::io::split(client_side);
    let mut client = Client::new(input, output);
    client.options = options;
    client.initialize(&["utf-16"]).await;
    client.status("ready").await;
    client
}

async fn counters(client: &mut Client) -> Value {
    client.call("foretype/counters", json!({})).await["result"].clone()
}

/// Wait until the inference thread has been asked so often.
async fn asked(client: &mut Client, requests: u64) {
    while counters(client).await["requests"].as_u64() < Some(requests) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Wait until something was done in idle time, and nothing is any more.
async fn idle(client: &mut Client, sum: &str) {
    loop {
        let counters = counters(client).await;
        if counters[sum].as_u64() > Some(0) && counters["busy"] == false {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn text_of(answer: &Value) -> &Value {
    &answer["result"]["items"][0]["insertText"]
}

#[tokio::test]
async fn a_decode_that_is_typed_along_goes_on_and_answers() {
    let script = Script::new(&[("let a =", " first(second);\n")]).held_after(3);
    let mut client = ready(&script).await;
    client.open(URI, "rust", "let a = ").await;
    let old = client.request("textDocument/inlineCompletion", Client::inline(URI, 0, 8)).await;
    script.written(3).await;
    // As editors do it: the key, the old request taken back, a new one.
    client.change(URI, 2, Some([0, 8, 0, 8]), "f").await;
    client.notify("$/cancelRequest", json!({"id": old})).await;
    let new = client.request("textDocument/inlineCompletion", Client::inline(URI, 0, 9)).await;
    asked(&mut client, 2).await;
    script.release();
    assert_eq!(*text_of(&client.answer(new).await), "irst(second);");
    assert_eq!(client.times_answered(old), 1);
    let counters = counters(&mut client).await;
    assert_eq!((&counters["adopted"], &counters["interrupts"]), (&json!(1), &json!(0)), "{counters}");
}

#[tokio::test]
async fn a_decode_whose_text_is_not_typed_stops_at_once() {
    let endless = " x".to_owned() + &"x".repeat(300);
    let script = Script::new(&[("let a = y", "es;\n"), ("let a =", &endless)]).held_after(4);
    let mut client = ready(&script).await;
    client.open(URI, "rust", "let a = ").await;
    let old = client.request("textDocument/inlineCompletion", Client::inline(URI, 0, 8)).await;
    script.written(4).await;
    client.change(URI, 2, Some([0, 8, 0, 8]), "y").await;
    assert!(client.answer(old).await["result"].is_null());
    script.release();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(script.steps.load(Ordering::SeqCst) <= 5, "the decode went on");
    assert_eq!(client.ghost(URI, 0, 9).await.as_deref(), Some("es;"));
}

#[tokio::test]
async fn typed_ahead_of_a_decode_that_turns_away_is_asked_anew() {
    let script = Script::new(&[("let a = fo", "ur;\n"), ("let a =", " first;\n")]).held_after(1);
    let mut client = ready(&script).await;
    client.open(URI, "rust", "let a = ").await;
    let old = client.request("textDocument/inlineCompletion", Client::inline(URI, 0, 8)).await;
    script.written(1).await;
    client.change(URI, 2, Some([0, 8, 0, 8]), "fo").await;
    client.notify("$/cancelRequest", json!({"id": old})).await;
    let new = client.request("textDocument/inlineCompletion", Client::inline(URI, 0, 10)).await;
    asked(&mut client, 2).await;
    script.release();
    assert_eq!(*text_of(&client.answer(new).await), "ur;");
}

#[tokio::test]
async fn what_follows_an_accepted_suggestion_is_there_already() {
    let script = Script::new(&[("= first;", "\nsecond(third);\n"), ("let a =", " first;\n")]);
    let mut client = ready(&script).await;
    client.open(URI, "rust", "let a = ").await;
    assert_eq!(client.ghost(URI, 0, 8).await.as_deref(), Some("first;"));
    idle(&mut client, "idleWrittenTokens").await;
    let before = counters(&mut client).await;
    client.change(URI, 2, Some([0, 8, 0, 8]), "first;").await;
    assert_eq!(client.ghost(URI, 0, 14).await.as_deref(), Some("\nsecond(third);"));
    let after = counters(&mut client).await;
    assert_eq!(before["requests"], after["requests"], "{after}");
}

#[tokio::test]
async fn an_answer_cut_short_is_written_on_in_idle_time() {
    let script = Script::new(&[("fn a() {\n", "    b();\n    c();\n    d();\n    e();\n}\n")]);
    let mut client = ready_with(&script.slow(Duration::from_millis(6)), json!({"budgetMs": 400})).await;
    client.open(URI, "rust", "fn a() {\n    ").await;
    let first = client.ghost(URI, 1, 4).await.unwrap();
    assert!(!first.contains("e();"), "{first:?}");
    let mut whole = first;
    for _ in 0..200 {
        whole = client.ghost(URI, 1, 4).await.unwrap();
        if whole.contains("e();") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(whole, "b();\n    c();\n    d();\n    e();\n}");
}

#[tokio::test]
async fn a_cursor_at_rest_is_prepared_for() {
    let script = Script::new(&[("let a =", " first;\n")]);
    let mut client = ready(&script).await;
    client.open(URI, "rust", "let a = ").await;
    let at = json!({"line": 0, "character": 8});
    let params = json!({
        "textDocument": {"uri": URI}, "range": {"start": at, "end": at}, "context": {"diagnostics": []}
    });
    client.call("textDocument/codeAction", params).await;
    idle(&mut client, "idleReadTokens").await;
    assert_eq!(client.ghost(URI, 0, 8).await.as_deref(), Some("first;"));
    let counters = counters(&mut client).await;
    assert_eq!(counters["readTokens"], 1, "{counters}");
}

#[tokio::test]
async fn who_asks_by_a_key_may_choose() {
    let mut script = Script::new(&[("let a = s", "econd;\n"), ("let a =", " first;\n")]);
    script.second_best = Some(('f', 's'));
    script.fills_in = Some(FimOrder::SuffixPrefixMiddle);
    let mut client = ready(&script).await;
    client.open(URI, "rust", "let a = ").await;
    // One is known; the others are written when they are asked for, and then known too.
    assert_eq!(client.ghost(URI, 0, 8).await.as_deref(), Some("first;"));
    let mut params = Client::inline(URI, 0, 8);
    params["context"] = json!({"triggerKind": 1});
    for _ in 0..2 {
        let answer = client.call("textDocument/inlineCompletion", params.clone()).await;
        let items = answer["result"]["items"].as_array().unwrap();
        let texts: Vec<&Value> = items.iter().map(|item| &item["insertText"]).collect();
        assert_eq!(texts, ["first;", "second;"]);
    }
    assert_eq!(counters(&mut client).await["requests"], 2);
    // Of several, those that agree with what is typed stay.
    client.change(URI, 2, Some([0, 8, 0, 8]), "s").await;
    assert_eq!(client.ghost(URI, 0, 9).await.as_deref(), Some("econd;"));
    assert_eq!(counters(&mut client).await["requests"], 2);
}

#[tokio::test]
async fn a_key_costs_a_token_in_either_order_of_the_parts() {
    for order in [FimOrder::PrefixSuffixMiddle, FimOrder::SuffixPrefixMiddle] {
        let mut script = Script::new(&[]);
        script.fills_in = Some(order);
        let mut client = ready(&script).await;
        client.open(URI, "rust", "fn a() {\n    \n}\n").await;
        client.ghost(URI, 1, 4).await;
        for (key, letter) in "let b =".chars().enumerate() {
            let column = 4 + key as u32;
            let before = counters(&mut client).await["readTokens"].as_u64().unwrap();
            client.change(URI, 2 + key as i32, Some([1, column, 1, column]), &letter.to_string()).await;
            client.ghost(URI, 1, column + 1).await;
            let read = counters(&mut client).await["readTokens"].as_u64().unwrap() - before;
            assert_eq!(read, 1, "{order:?}: {read} tokens were read for {letter:?}");
        }
    }
}

#[tokio::test]
async fn closers_that_the_editor_adds_cost_no_more_than_what_is_typed() {
    for order in [FimOrder::PrefixSuffixMiddle, FimOrder::SuffixPrefixMiddle] {
        let mut script = Script::new(&[]);
        script.fills_in = Some(order);
        let mut client = ready(&script).await;
        client.open(URI, "rust", "fn a() {\n    \n}\n").await;
        client.ghost(URI, 1, 4).await;
        // The keys, each with what the editor writes behind the cursor; an empty one is gone over.
        let keys = [("b", ""), ("(", ")"), ("[", "]"), ("c", ""), ("", ""), (",", ""), ("d", "")];
        let mut column = 4;
        for (number, (key, behind)) in keys.into_iter().enumerate() {
            let before = counters(&mut client).await["readTokens"].as_u64().unwrap();
            if !key.is_empty() {
                let text = format!("{key}{behind}");
                client.change(URI, 2 + number as i32, Some([1, column, 1, column]), &text).await;
            }
            column += 1;
            client.ghost(URI, 1, column).await;
            let read = counters(&mut client).await["readTokens"].as_u64().unwrap() - before;
            assert!(read <= 1, "{order:?}: {read} tokens were read for {key:?} {behind:?}");
        }
    }
}
