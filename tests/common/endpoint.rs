//! A completions endpoint on this machine: answers as vLLM and llama-server do, with what it was told to say.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

pub struct Endpoint {
    /// What `url` of the setting `remote` must be.
    pub url: String,
    /// The requests that came: their path, key and body.
    pub asked: Arc<Mutex<Vec<(String, String, Value)>>>,
}

impl Endpoint {
    /// An endpoint that writes these parts one after the other, or refuses with a status that is not 200.
    pub fn start(status: u16, parts: &'static [&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let endpoint = Self { url, asked: Arc::default() };
        let asked = endpoint.asked.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                if let Some(request) = request(&stream) {
                    asked.lock().unwrap().push(request);
                    // A client that has what it wants hangs up.
                    let _ = answer(&mut stream, status, parts);
                }
            }
        });
        endpoint
    }
}

fn request(stream: &TcpStream) -> Option<(String, String, Value)> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let path = first.split(' ').nth(1)?.to_owned();
    let (mut length, mut key) = (0, String::new());
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().ok()?,
            "authorization" => key = value.to_owned(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((path, key, serde_json::from_slice(&body).ok()?))
}

fn answer(stream: &mut TcpStream, status: u16, parts: &[&str]) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 {status} X\r\nconnection: close\r\n\r\n")?;
    if status != 200 {
        return write!(stream, "{}", json!({"error": {"message": "no such model"}}));
    }
    for part in parts {
        write!(stream, "data: {}\n\n", json!({"choices": [{"text": part, "finish_reason": null}]}))?;
        stream.flush()?;
    }
    write!(
        stream,
        "data: {}\n\ndata: [DONE]\n\n",
        json!({"choices": [{"text": "", "finish_reason": "stop"}]})
    )
}
