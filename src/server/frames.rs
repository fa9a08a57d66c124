//! The client's messages on their way in. A message that is no JSON-RPC is replaced by one whose answer says so,
//! because tower-lsp takes the first such message for the end of the stream.
//!
//! Framing: LSP 3.17, "Base Protocol".

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tower_lsp::jsonrpc::{Request, Response};

/// The method that stands in for a message that could not be understood.
pub const UNREADABLE: &str = "foretype/unreadable";

/// Longer messages are not kept in memory: they are no LSP.
const LONGEST: usize = 1 << 30;

/// Hand on whole messages until the stream ends.
pub async fn relay(input: impl AsyncRead + Unpin, mut output: impl AsyncWrite + Unpin) {
    let mut input = BufReader::new(input);
    while let Some(length) = length_of_next(&mut input).await {
        let mut body = vec![0; length];
        if input.read_exact(&mut body).await.is_err() {
            return;
        }
        if !is_message(&body) {
            tracing::warn!("a message of the client is no JSON-RPC: {:.200}", String::from_utf8_lossy(&body));
            body = format!(r#"{{"jsonrpc":"2.0","id":null,"method":"{UNREADABLE}"}}"#).into_bytes();
        }
        let header = format!("Content-Length: {}\r\n\r\n", body.len());
        if output.write_all(header.as_bytes()).await.is_err() || output.write_all(&body).await.is_err() {
            return;
        }
    }
}

/// Read the header of the next message; whatever is no header is skipped. `None` at the end of the stream.
async fn length_of_next(input: &mut (impl AsyncBufReadExt + Unpin)) -> Option<usize> {
    let mut length = None;
    let mut line = Vec::new();
    loop {
        line.clear();
        if input.read_until(b'\n', &mut line).await.ok()? == 0 {
            return None;
        }
        let line = String::from_utf8_lossy(&line);
        match (line.trim(), length) {
            ("", Some(length)) => return Some(length),
            ("", None) => {}
            (field, _) => {
                // Rubbish may stand before the header on the same line.
                let lower = field.to_ascii_lowercase();
                if let Some((_, value)) = lower.rsplit_once("content-length:") {
                    length = value.trim().parse().ok().filter(|length| *length <= LONGEST);
                }
            }
        }
    }
}

/// Whether tower-lsp will understand this.
fn is_message(body: &[u8]) -> bool {
    serde_json::from_slice::<Request>(body).is_ok() || serde_json::from_slice::<Response>(body).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn relayed(input: &str) -> String {
        let mut output = Vec::new();
        relay(input.as_bytes(), &mut output).await;
        String::from_utf8(output).unwrap()
    }

    fn framed(body: &str) -> String {
        format!("Content-Length: {}\r\n\r\n{body}", body.len())
    }

    #[tokio::test]
    async fn good_messages_pass_and_bad_ones_are_replaced() {
        let request = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"a":"é"}}"#;
        let answer = r#"{"jsonrpc":"2.0","id":1,"result":null}"#;
        let stand_in = framed(r#"{"jsonrpc":"2.0","id":null,"method":"foretype/unreadable"}"#);
        for bad in
            ["{this is no JSON", "[]", "7", r#"{"id":1,"method":"x"}"#, r#"{"jsonrpc":"2.0","method":3}"#]
        {
            let input = framed(request) + &framed(bad) + &framed(answer);
            let expected = framed(request) + &stand_in + &framed(answer);
            assert_eq!(relayed(&input).await, expected, "{bad}");
        }
    }

    #[tokio::test]
    async fn headers_are_found_among_rubbish() {
        let body = r#"{"jsonrpc":"2.0","method":"exit"}"#;
        let other = format!("content-length:{}\r\nContent-Type: application/json\r\n\r\n{body}", body.len());
        let input = format!("rubbish\n\nContent-Length: many\r\n\r\n{other}");
        assert_eq!(relayed(&input).await, framed(body));
        assert_eq!(relayed(&format!("{other}Content-Length: 99\r\n\r\n{{")).await, framed(body));
        assert_eq!(relayed("").await, "");
    }
}
