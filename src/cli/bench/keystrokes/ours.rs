//! Foretype itself: this program's own server, over its stdin and stdout, which are a socket as editors make them.

use std::ffi::OsString;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::{Value, json};

use crate::cli::Global;
use crate::cli::bench::keystrokes::document::{Change, Document, Place};
use crate::cli::bench::keystrokes::stream::{Came, receive};
use crate::cli::bench::keystrokes::subject::{Answer, Subject, Work};

/// Loading may fetch a model first.
const LOADING: Duration = Duration::from_secs(600);
/// An answer that needs no computing.
const ANSWER: Duration = Duration::from_secs(10);
/// JSON-RPC's code for a method that is not there.
const UNKNOWN_METHOD: i64 = -32601;

/// `triggerKind` of a request that was made by a key, and of one by typing.
#[derive(Clone, Copy)]
enum By {
    Key = 1,
    Typing = 2,
}

pub struct Ours {
    server: Child,
    socket: UnixStream,
    received: Vec<u8>,
    next: i64,
    version: i32,
    /// The request whose answer has not come.
    asked: Option<i64>,
    /// An answer that came while something else was waited for.
    early: Option<Answer>,
    counts: bool,
}

impl Ours {
    /// Start the server, of this program if no other is named, and wait until its model is loaded.
    ///
    /// # Errors
    /// When it cannot be started or says that it failed.
    pub fn start(program: Option<&Path>, global: &Global) -> anyhow::Result<Self> {
        let program = match program {
            Some(program) => program.to_owned(),
            None => std::env::current_exe().context("this program's own file is unknown")?,
        };
        let (socket, theirs) = UnixStream::pair()?;
        let output = OwnedFd::from(theirs.try_clone()?);
        let server = Command::new(&program)
            .args(flags(global))
            .arg("serve")
            .stdin(OwnedFd::from(theirs))
            .stdout(output)
            .spawn()
            .with_context(|| format!("the server of {} cannot be started", program.display()))?;
        let (received, asked, early) = (Vec::new(), None, None);
        let mut ours = Self { server, socket, received, next: 0, version: 0, asked, early, counts: true };
        let capabilities = json!({
            "general": {"positionEncodings": ["utf-8"]},
            "textDocument": {"inlineCompletion": {}},
        });
        let parameters =
            json!({"processId": std::process::id(), "rootUri": null, "capabilities": capabilities});
        ours.call("initialize", parameters, ANSWER)?;
        ours.notify("initialized", json!({}))?;
        ours.until_ready()?;
        Ok(ours)
    }

    /// Ask by key, stop after `delay`, and look how long the work held on; microseconds.
    ///
    /// # Errors
    /// When the server is lost.
    pub fn stop_after(&mut self, document: &Document, delay: Duration) -> anyhow::Result<Vec<u64>> {
        let Some(before) = self.work()? else { return Ok(Vec::new()) };
        self.ask(document, By::Key)?;
        let until = Instant::now() + delay;
        if self.wait(document, until)?.is_some() {
            return Ok(Vec::new());
        }
        self.cancel()?;
        std::thread::sleep(Duration::from_millis(100));
        Ok(self.work()?.map(|work| work.since(&before).stops).unwrap_or_default())
    }

    /// All that the server counts, by name.
    ///
    /// # Errors
    /// When the server is lost.
    pub fn counters(&mut self) -> anyhow::Result<Value> {
        let mut counters = self.call("foretype/counters", json!({}), ANSWER)?["result"].take();
        if let Some(counters) = counters.as_object_mut() {
            counters.remove("stopMicros");
        }
        Ok(counters)
    }

    fn until_ready(&mut self) -> anyhow::Result<()> {
        let until = Instant::now() + LOADING;
        while let Some(message) = self.receive(until)? {
            if message["method"] != "foretype/status" {
                continue;
            }
            match message["params"]["state"].as_str() {
                Some("ready") => return Ok(()),
                Some("failed") => anyhow::bail!("{}", message["params"]["message"]),
                _ => {}
            }
        }
        anyhow::bail!("the server does not become ready")
    }

    fn ask(&mut self, document: &Document, by: By) -> anyhow::Result<()> {
        let place = place(document.place(document.cursor));
        let parameters = json!({
            "textDocument": {"uri": document.uri},
            "position": place,
            "context": {"triggerKind": by as i32},
        });
        let superseded = self.asked.take();
        self.early = None;
        self.asked = Some(self.request("textDocument/inlineCompletion", parameters)?);
        // As editors do it: a server that writes what is typed can carry its work over to the new request.
        match superseded {
            Some(id) => self.notify("$/cancelRequest", json!({"id": id})),
            None => Ok(()),
        }
    }

    fn cancel(&mut self) -> anyhow::Result<()> {
        match self.asked.take() {
            Some(id) => self.notify("$/cancelRequest", json!({"id": id})),
            None => Ok(()),
        }
    }

    fn call(&mut self, method: &str, parameters: Value, patience: Duration) -> anyhow::Result<Value> {
        let id = self.request(method, parameters)?;
        let until = Instant::now() + patience;
        while let Some(message) = self.receive(until)? {
            if message["id"] == id && message.get("method").is_none() {
                return Ok(message);
            }
            self.early = self.answer(&message).or(self.early.take());
        }
        anyhow::bail!("the server does not answer {method}")
    }

    fn request(&mut self, method: &str, parameters: Value) -> anyhow::Result<i64> {
        self.next += 1;
        self.send(&json!({"jsonrpc": "2.0", "id": self.next, "method": method, "params": parameters}))?;
        Ok(self.next)
    }

    fn notify(&mut self, method: &str, parameters: Value) -> anyhow::Result<()> {
        self.send(&json!({"jsonrpc": "2.0", "method": method, "params": parameters}))
    }

    fn send(&mut self, message: &Value) -> anyhow::Result<()> {
        let body = message.to_string();
        let framed = format!("Content-Length: {}\r\n\r\n{body}", body.len());
        self.socket.write_all(framed.as_bytes()).context("the server is gone")
    }

    /// The next message, or nothing until then. Requests of the server are answered here.
    fn receive(&mut self, until: Instant) -> anyhow::Result<Option<Value>> {
        loop {
            if let Some(message) = next_message(&mut self.received)? {
                if message.get("method").is_some()
                    && let Some(id) = message.get("id")
                {
                    self.send(&json!({"jsonrpc": "2.0", "id": id, "result": null}))?;
                    continue;
                }
                return Ok(Some(message));
            }
            match receive(&mut self.socket, &mut self.received, until)? {
                Came::Bytes => {}
                Came::Nothing if Instant::now() < until => {}
                Came::Nothing => return Ok(None),
                Came::End => anyhow::bail!("the server is gone"),
            }
        }
    }

    /// The message as the newest request's answer, if it is that.
    fn answer(&mut self, message: &Value) -> Option<Answer> {
        self.asked.take_if(|id| message["id"] == *id && message.get("method").is_none())?;
        let text = message["result"]["items"][0]["insertText"].as_str().map(str::to_owned);
        Some(Answer { at: Instant::now(), text })
    }
}

impl Subject for Ours {
    fn name(&self) -> &'static str {
        "foretype"
    }

    fn process(&self) -> u32 {
        self.server.id()
    }

    fn open(&mut self, document: &Document) -> anyhow::Result<()> {
        self.version = 1;
        let opened = json!({
            "uri": document.uri, "languageId": document.language, "version": 1, "text": document.text,
        });
        self.notify("textDocument/didOpen", json!({"textDocument": opened}))
    }

    fn stroke(&mut self, document: &Document, change: Option<&Change>) -> anyhow::Result<()> {
        if let Some(change) = change {
            self.version += 1;
            let range = json!({"start": place(change.start), "end": place(change.end)});
            let parameters = json!({
                "textDocument": {"uri": document.uri, "version": self.version},
                "contentChanges": [{"range": range, "text": change.text}],
            });
            self.notify("textDocument/didChange", parameters)?;
        }
        self.ask(document, By::Typing)
    }

    fn wait(&mut self, _: &Document, until: Instant) -> anyhow::Result<Option<Answer>> {
        if let Some(answer) = self.early.take() {
            return Ok(Some(answer));
        }
        while let Some(message) = self.receive(until)? {
            if let Some(answer) = self.answer(&message) {
                return Ok(Some(answer));
            }
        }
        Ok(None)
    }

    fn work(&mut self) -> anyhow::Result<Option<Work>> {
        if !self.counts {
            return Ok(None);
        }
        let answer = self.call("foretype/counters", json!({}), ANSWER)?;
        if answer["error"]["code"] == UNKNOWN_METHOD {
            self.counts = false;
            return Ok(None);
        }
        let counters = &answer["result"];
        let number = |key: &str| counters[key].as_u64().unwrap_or_default();
        let stops = counters["stopMicros"].as_array();
        Ok(Some(Work {
            read: number("readTokens"),
            written: number("writtenTokens"),
            idle_read: number("idleReadTokens"),
            idle_written: number("idleWrittenTokens"),
            interrupts: number("interrupts"),
            stops: stops.map(|stops| stops.iter().filter_map(Value::as_u64).collect()).unwrap_or_default(),
        }))
    }

    fn close(&mut self, document: &Document) -> anyhow::Result<()> {
        self.cancel()?;
        self.notify("textDocument/didClose", json!({"textDocument": {"uri": document.uri}}))
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn place(place: Place) -> Value {
    json!({"line": place.line, "character": place.column})
}

/// The global flags as they were given, for the server.
fn flags(global: &Global) -> Vec<OsString> {
    let mut flags: Vec<OsString> = Vec::new();
    let mut add = |name: &str, value: OsString| flags.extend([name.into(), value]);
    let Global { model, device, threads, config, log } = global;
    if let Some(model) = model {
        add("--model", model.into());
    }
    if let Some(device) = device.and_then(|device| serde_json::to_value(device).ok()) {
        add("--device", device.as_str().unwrap_or("auto").into());
    }
    if let Some(threads) = threads {
        add("--threads", threads.to_string().into());
    }
    if let Some(config) = config {
        add("--config", config.into());
    }
    if let Some(log) = log {
        add("--log", log.into());
    }
    flags
}

/// Takes a whole message from what was received.
fn next_message(received: &mut Vec<u8>) -> anyhow::Result<Option<Value>> {
    let Some(head) = received.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { return Ok(None) };
    let header = String::from_utf8_lossy(&received[..head]);
    let length = header.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    let length: usize =
        length.and_then(|length| length.trim().parse().ok()).context("a message without length")?;
    let end = head + 4 + length;
    if received.len() < end {
        return Ok(None);
    }
    let message = serde_json::from_slice(&received[head + 4..end])?;
    received.drain(..end);
    Ok(Some(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_taken_one_by_one_and_only_whole() {
        let one = "Content-Length: 2\r\n\r\n{}";
        let mut received = format!("{one}Content-Length: 7\r\n\r\n{{\"a\":").into_bytes();
        assert_eq!(next_message(&mut received).unwrap(), Some(json!({})));
        assert_eq!(next_message(&mut received).unwrap(), None);
        received.extend_from_slice(b"1}");
        assert_eq!(next_message(&mut received).unwrap(), Some(json!({"a": 1})));
        assert!(received.is_empty());
    }
}
