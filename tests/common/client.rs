//! An LSP client over any pair of streams: sends what it is told, answers what the server asks, keeps everything it heard.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};

/// Longer than anything a test waits for.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Client {
    input: BufReader<Box<dyn AsyncRead + Unpin + Send>>,
    output: Box<dyn AsyncWrite + Unpin + Send>,
    next_id: i64,
    /// Answers by request, each with how often it came.
    answers: HashMap<i64, Vec<Value>>,
    pub notifications: Vec<Value>,
    /// Edits that the server asked to apply.
    pub edits: Vec<Value>,
    /// The section `foretype` of this editor's settings.
    pub settings: Value,
    /// Settings that `initialize` sends along.
    pub options: Value,
}

impl Client {
    pub fn new(
        input: impl AsyncRead + Unpin + Send + 'static,
        output: impl AsyncWrite + Unpin + Send + 'static,
    ) -> Self {
        Self {
            input: BufReader::new(Box::new(input)),
            output: Box::new(output),
            next_id: 0,
            answers: HashMap::new(),
            notifications: Vec::new(),
            edits: Vec::new(),
            settings: Value::Null,
            options: Value::Null,
        }
    }

    pub async fn send(&mut self, message: Value) {
        self.send_raw(&message.to_string()).await;
    }

    pub async fn send_raw(&mut self, body: &str) {
        let framed = format!("Content-Length: {}\r\n\r\n{body}", body.len());
        self.output.write_all(framed.as_bytes()).await.unwrap();
        self.output.flush().await.unwrap();
    }

    pub async fn notify(&mut self, method: &str, params: Value) {
        self.send(json!({"jsonrpc": "2.0", "method": method, "params": params})).await;
    }

    /// Send a request without waiting; its id.
    pub async fn request(&mut self, method: &str, params: Value) -> i64 {
        self.next_id += 1;
        let id = self.next_id;
        self.send(json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})).await;
        id
    }

    /// Send a request and wait for its whole answer.
    pub async fn call(&mut self, method: &str, params: Value) -> Value {
        let id = self.request(method, params).await;
        self.answer(id).await
    }

    /// Wait for the answer of a request.
    pub async fn answer(&mut self, id: i64) -> Value {
        while !self.answers.contains_key(&id) {
            self.hear().await;
        }
        self.answers[&id][0].clone()
    }

    /// How often a request was answered so far.
    pub fn times_answered(&self, id: i64) -> usize {
        self.answers.get(&id).map_or(0, Vec::len)
    }

    /// Wait until the server has told a status.
    pub async fn status(&mut self, state: &str) -> Value {
        self.heard(|message| message["method"] == "foretype/status" && message["params"]["state"] == state)
            .await
    }

    /// Wait for a notification; those that came before count.
    pub async fn heard(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            if let Some(found) = self.notifications.iter().find(|message| wanted(message)) {
                return found.clone();
            }
            self.hear().await;
        }
    }

    async fn hear(&mut self) {
        let message = tokio::time::timeout(PATIENCE, self.read()).await.expect("the server fell silent");
        let message = message.expect("the server hung up");
        match (message.get("method").and_then(Value::as_str), message.get("id")) {
            (Some(method), Some(id)) => {
                let result = match method {
                    "workspace/configuration" => {
                        json!([self.settings.clone()])
                    }
                    "workspace/applyEdit" => {
                        self.edits.push(message["params"]["edit"].clone());
                        json!({"applied": true})
                    }
                    _ => Value::Null,
                };
                self.send(json!({"jsonrpc": "2.0", "id": id, "result": result})).await;
            }
            (Some(_), None) => self.notifications.push(message),
            (None, _) => {
                let id = message["id"].as_i64().unwrap_or(-1);
                self.answers.entry(id).or_default().push(message);
            }
        }
    }

    async fn read(&mut self) -> Option<Value> {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if self.input.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            match line.trim() {
                "" => break,
                header => {
                    if let Some(number) = header.strip_prefix("Content-Length: ") {
                        length = number.parse().unwrap();
                    }
                }
            }
        }
        let mut body = vec![0; length];
        self.input.read_exact(&mut body).await.ok()?;
        Some(serde_json::from_slice(&body).unwrap())
    }

    /// Wait until the server closes its stream.
    pub async fn closed(&mut self) {
        while tokio::time::timeout(PATIENCE, self.read()).await.expect("the server stays").is_some() {}
    }

    /// The usual beginning; the answer to `initialize`.
    pub async fn initialize(&mut self, encodings: &[&str]) -> Value {
        let capabilities = json!({
            "general": {"positionEncodings": encodings},
            "workspace": {"applyEdit": true, "configuration": true, "workspaceEdit": {"documentChanges": true}},
            "window": {"workDoneProgress": true},
            "textDocument": {"inlineCompletion": {}},
        });
        let options = self.options.clone();
        let params = json!({
            "processId": null, "rootUri": null, "capabilities": capabilities, "initializationOptions": options,
        });
        self.initialize_with(params).await
    }

    pub async fn initialize_with(&mut self, params: Value) -> Value {
        let answer = self.call("initialize", params).await;
        self.notify("initialized", json!({})).await;
        answer
    }

    pub async fn open(&mut self, uri: &str, language: &str, text: &str) {
        let document = json!({"uri": uri, "languageId": language, "version": 1, "text": text});
        self.notify("textDocument/didOpen", json!({"textDocument": document})).await;
    }

    /// One change at one range, `[line, column, line, column]`; the whole text without it.
    pub async fn change(&mut self, uri: &str, version: i32, range: Option<[u32; 4]>, text: &str) {
        self.changes(uri, version, &[(range, text.to_owned())]).await;
    }

    /// Several changes in one notification; each is of the text that the one before it left.
    pub async fn changes(&mut self, uri: &str, version: i32, changes: &[(Option<[u32; 4]>, String)]) {
        let change = |(range, text): &(Option<[u32; 4]>, String)| match range {
            Some([start_line, start, end_line, end]) => json!({"text": text, "range": {
                "start": {"line": start_line, "character": start},
                "end": {"line": end_line, "character": end},
            }}),
            None => json!({"text": text}),
        };
        let document = json!({"uri": uri, "version": version});
        let changes: Vec<Value> = changes.iter().map(change).collect();
        self.notify("textDocument/didChange", json!({"textDocument": document, "contentChanges": changes}))
            .await;
    }

    /// Parameters of a request for ghost text.
    pub fn inline(uri: &str, line: u32, character: u32) -> Value {
        json!({
            "textDocument": {"uri": uri},
            "position": {"line": line, "character": character},
            "context": {"triggerKind": 2},
        })
    }

    /// Ask for ghost text; the first item's text.
    pub async fn ghost(&mut self, uri: &str, line: u32, character: u32) -> Option<String> {
        let answer = self.call("textDocument/inlineCompletion", Self::inline(uri, line, character)).await;
        assert!(answer.get("error").is_none(), "{answer}");
        answer["result"]["items"][0]["insertText"].as_str().map(str::to_owned)
    }

    /// The server's text of a document.
    pub async fn text(&mut self, uri: &str) -> String {
        let answer = self.call("foretype/viewFileText", json!({"uri": uri})).await;
        answer["result"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }
}
