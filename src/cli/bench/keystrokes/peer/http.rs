//! As much HTTP as the peer's server needs: one request a connection, its answer taken in as it comes.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::Value;

use crate::cli::bench::keystrokes::stream::{Came, receive};

/// Connecting and sending are local.
const PROMPT: Duration = Duration::from_secs(5);

/// A request that was sent.
pub struct Exchange {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Exchange {
    /// Send a request; `body` makes it a POST.
    ///
    /// # Errors
    /// When nobody takes it.
    pub fn begin(address: SocketAddr, path: &str, body: Option<&Value>) -> anyhow::Result<Self> {
        let mut stream = TcpStream::connect_timeout(&address, PROMPT)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(PROMPT))?;
        let method = if body.is_some() { "POST" } else { "GET" };
        let body = body.map(Value::to_string).unwrap_or_default();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all((head + &body).as_bytes())?;
        Ok(Self { stream, received: Vec::new() })
    }

    /// Take in what comes until then. The status and the body, once both are whole.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn advance(&mut self, until: Instant) -> anyhow::Result<Option<(u16, Value)>> {
        loop {
            let came = receive(&mut self.stream, &mut self.received, until)?;
            let whole = parse(&self.received, came == Came::End)?;
            if whole.is_some() || came == Came::Nothing {
                return Ok(whole);
            }
            anyhow::ensure!(came != Came::End, "the peer's server broke off");
        }
    }

    /// Wait for the answer.
    ///
    /// # Errors
    /// When it does not come until then.
    pub fn finish(mut self, until: Instant) -> anyhow::Result<(u16, Value)> {
        self.advance(until)?.context("the peer's server does not answer")
    }
}

fn parse(received: &[u8], ended: bool) -> anyhow::Result<Option<(u16, Value)>> {
    let Some(head) = received.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { return Ok(None) };
    let header = String::from_utf8_lossy(&received[..head]);
    let status = header.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no HTTP answer")?;
    let length = header.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let body = &received[head + 4..];
    let body = match length {
        Some(length) if body.len() >= length => &body[..length],
        None if ended => body,
        _ => return Ok(None),
    };
    // Pages of errors need not be JSON.
    Ok(Some((status, serde_json::from_slice(body).unwrap_or(Value::Null))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_answer_is_whole_by_its_length_or_by_its_end() {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n{\"a\":1}";
        assert_eq!(parse(answer, false).unwrap(), Some((200, json!({"a": 1}))));
        assert_eq!(parse(&answer[..answer.len() - 1], false).unwrap(), None);
        let answer = b"HTTP/1.1 503 Busy\r\n\r\nwait";
        assert_eq!(parse(answer, false).unwrap(), None);
        assert_eq!(parse(answer, true).unwrap(), Some((503, Value::Null)));
    }
}
