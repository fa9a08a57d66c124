//! A model hub on this machine: answers as huggingface.co does, from memory.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Files by path, as in `/owner/name/resolve/main/file`.
type Files = Arc<Mutex<HashMap<String, Vec<u8>>>>;

pub struct Hub {
    /// What `HF_ENDPOINT` must be.
    pub endpoint: String,
    files: Files,
    /// The paths that were asked for.
    pub asked: Arc<Mutex<Vec<String>>>,
}

impl Hub {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (files, asked) = (Files::default(), Arc::default());
        let hub = Self { endpoint, files: Arc::clone(&files), asked: Arc::clone(&asked) };
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (files, asked) = (files.clone(), asked.clone());
                // A client that hangs up early is no failure of the hub.
                std::thread::spawn(move || answer(&stream.unwrap(), &files, &asked));
            }
        });
        hub
    }

    pub fn put(&self, repository: &str, file: &str, bytes: Vec<u8>) {
        self.files.lock().unwrap().insert(format!("/{repository}/resolve/main/{file}"), bytes);
    }
}

fn answer(mut stream: &TcpStream, files: &Files, asked: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut request = String::new();
        if reader.read_line(&mut request)? == 0 {
            return Ok(());
        }
        let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut range = None;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            let header = header.trim().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(bounds) = header.strip_prefix("range: bytes=") {
                let (start, end) = bounds.split_once('-').unwrap();
                range = Some((start.parse::<usize>().unwrap(), end.parse::<usize>().ok()));
            }
        }
        asked.lock().unwrap().push(path.clone());
        let Some(bytes) = files.lock().unwrap().get(&path).cloned() else {
            stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")?;
            continue;
        };
        let (start, end) = range.unwrap_or((0, None));
        let end = end.unwrap_or(bytes.len() - 1).min(bytes.len() - 1);
        let etag = bytes.iter().fold(7u64, |hash, byte| hash.wrapping_mul(31).wrapping_add(u64::from(*byte)));
        write!(
            stream,
            "HTTP/1.1 206 Partial Content\r\nx-repo-commit: main0123\r\netag: \"{etag:x}\"\r\n\
             Content-Range: bytes {start}-{end}/{}\r\nContent-Length: {}\r\n\r\n",
            bytes.len(),
            end + 1 - start
        )?;
        stream.write_all(&bytes[start..=end])?;
    }
}
