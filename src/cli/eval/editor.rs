//! An editor for measurements: it speaks to a real server over its streams, one message after the other.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, bail};
use serde_json::{Value, json};

/// A server and what it reads and writes.
pub struct Editor {
    server: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    next_id: i64,
    version: i64,
}

/// A place in a document: line, and byte in the line, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    pub line: usize,
    pub byte: usize,
}

impl At {
    /// The place of this byte of the text.
    pub fn of(text: &str, offset: usize) -> Self {
        let before = &text[..offset];
        let line = before.matches('\n').count();
        Self { line, byte: before.len() - before.rfind('\n').map_or(0, |newline| newline + 1) }
    }

    fn json(self) -> Value {
        json!({"line": self.line, "character": self.byte})
    }
}

impl Editor {
    /// Start the server with these flags and wait until its model is loaded.
    ///
    /// # Errors
    /// When it doesn't start, or has no model.
    pub fn start(flags: &[String]) -> anyhow::Result<Self> {
        let program = std::env::current_exe()?;
        let mut command = Command::new(program);
        command.args(flags).arg("serve").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut server = command.spawn().context("the server doesn't start")?;
        let input = server.stdin.take().context("the server has no input")?;
        let output = BufReader::new(server.stdout.take().context("the server has no output")?);
        let mut editor = Self { server, input, output, next_id: 0, version: 1 };
        let capabilities = json!({
            "general": {"positionEncodings": ["utf-8"]},
            "textDocument": {"inlineCompletion": {}},
        });
        let parameters = json!({"processId": null, "rootUri": null, "capabilities": capabilities});
        editor.call("initialize", parameters)?;
        editor.notify("initialized", json!({}))?;
        loop {
            let message = editor.read()?;
            if message["method"] == "foretype/status" {
                match message["params"]["state"].as_str() {
                    Some("ready") => return Ok(editor),
                    Some("failed") => bail!("the server has no model: {}", message["params"]["message"]),
                    _ => {}
                }
            }
        }
    }

    /// Open a document.
    ///
    /// # Errors
    /// When the server has gone.
    pub fn open(&mut self, uri: &str, language: &str, text: &str) -> anyhow::Result<()> {
        let document = json!({"uri": uri, "languageId": language, "version": self.version, "text": text});
        self.notify("textDocument/didOpen", json!({"textDocument": document}))
    }

    /// Close a document.
    ///
    /// # Errors
    /// When the server has gone.
    pub fn close(&mut self, uri: &str) -> anyhow::Result<()> {
        self.notify("textDocument/didClose", json!({"textDocument": {"uri": uri}}))
    }

    /// Insert text.
    ///
    /// # Errors
    /// When the server has gone.
    pub fn insert(&mut self, uri: &str, at: At, text: &str) -> anyhow::Result<()> {
        self.version += 1;
        let change = json!({"range": {"start": at.json(), "end": at.json()}, "text": text});
        let document = json!({"uri": uri, "version": self.version});
        let parameters = json!({"textDocument": document, "contentChanges": [change]});
        self.notify("textDocument/didChange", parameters)
    }

    /// The ghost text that appears here by itself.
    ///
    /// # Errors
    /// When the server has gone, or answers with an error.
    pub fn ghost(&mut self, uri: &str, at: At) -> anyhow::Result<Option<String>> {
        let parameters = json!({
            "textDocument": {"uri": uri},
            "position": at.json(),
            "context": {"triggerKind": 2},
        });
        let answer = self.call("textDocument/inlineCompletion", parameters)?;
        if let Some(error) = answer.get("error") {
            bail!("the server answers with an error: {error}");
        }
        Ok(answer["result"]["items"][0]["insertText"].as_str().map(str::to_owned))
    }

    /// Tell that a suggestion was taken.
    ///
    /// # Errors
    /// When the server has gone.
    pub fn accepted(&mut self, uri: &str, text: &str) -> anyhow::Result<()> {
        let arguments = json!([{"uri": uri, "text": text}]);
        self.call("workspace/executeCommand", json!({"command": "foretype.accept", "arguments": arguments}))?;
        Ok(())
    }

    fn notify(&mut self, method: &str, parameters: Value) -> anyhow::Result<()> {
        self.write(&json!({"jsonrpc": "2.0", "method": method, "params": parameters}))
    }

    /// Send a request and wait for its answer.
    fn call(&mut self, method: &str, parameters: Value) -> anyhow::Result<Value> {
        self.next_id += 1;
        let id = self.next_id;
        self.write(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": parameters}))?;
        loop {
            let message = self.read()?;
            if message["id"] == id && message.get("method").is_none() {
                return Ok(message);
            }
            // What the server asks of its editor gets nothing here.
            if let (Some(id), Some(_)) = (message.get("id"), message.get("method")) {
                self.write(&json!({"jsonrpc": "2.0", "id": id, "result": null}))?;
            }
        }
    }

    fn write(&mut self, message: &Value) -> anyhow::Result<()> {
        let body = message.to_string();
        write!(self.input, "Content-Length: {}\r\n\r\n{body}", body.len())?;
        self.input.flush().context("the server has gone")
    }

    fn read(&mut self) -> anyhow::Result<Value> {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if self.output.read_line(&mut line)? == 0 {
                bail!("the server has gone");
            }
            match line.trim() {
                "" => break,
                header => {
                    if let Some(number) = header.strip_prefix("Content-Length: ") {
                        length = number.parse()?;
                    }
                }
            }
        }
        let mut body = vec![0; length];
        self.output.read_exact(&mut body)?;
        Ok(serde_json::from_slice(&body)?)
    }
}

impl Drop for Editor {
    fn drop(&mut self) {
        let ended = self.call("shutdown", Value::Null).and_then(|_| self.notify("exit", Value::Null));
        if ended.is_err() {
            let _ = self.server.kill();
        }
        let _ = self.server.wait();
    }
}
