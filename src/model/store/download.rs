//! One file over HTTP: resumed where it broke off, checked by its hash, renamed into place when it is whole.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use sha2::{Digest, Sha256};
use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig};

use crate::model::store::{Listener, Progress};

/// Tries after a connection that broke off.
const TRIES: usize = 4;

/// Fetch `url` to `path`, unless a file of this hash stands there already.
///
/// # Errors
/// When the server says no, the connection breaks too often, or the hash is another.
pub fn fetch(url: &str, path: &Path, sha256: &str, listener: Listener) -> anyhow::Result<()> {
    let part = part_of(path);
    let mut last = None;
    for attempt in 0..TRIES {
        if attempt > 0 {
            std::thread::sleep(Duration::from_millis(300 * attempt as u64));
        }
        match resume(url, &part, listener) {
            Ok(()) => {
                if sha256_of(&part)? == sha256 {
                    return fs::rename(&part, path)
                        .with_context(|| format!("cannot write {}", path.display()));
                }
                // What was there from an earlier try may be of another file: begin anew, once.
                fs::remove_file(&part)?;
                last = Some(anyhow::anyhow!("what came has another hash than expected; try again later"));
                if attempt > 0 {
                    break;
                }
            }
            Err(Failure::Final(error)) => return Err(error),
            Err(Failure::Broken(error)) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| anyhow::anyhow!("the download failed")))
}

enum Failure {
    /// Another try will not help.
    Final(anyhow::Error),
    /// The connection broke; what came is kept.
    Broken(anyhow::Error),
}

fn resume(url: &str, part: &Path, listener: Listener) -> Result<(), Failure> {
    let broken = |error: anyhow::Error| Failure::Broken(error);
    let have = fs::metadata(part).map_or(0, |metadata| metadata.len());
    let mut request = agent().get(url);
    if have > 0 {
        request = request.header("Range", format!("bytes={have}-"));
    }
    let mut response = request.call().map_err(|error| broken(network(error)))?;
    let status = response.status().as_u16();
    let resumed = status == 206;
    match status {
        200 | 206 => {}
        // Nothing is left to fetch.
        416 if have > 0 => return Ok(()),
        404 | 410 | 401 | 403 => {
            return Err(Failure::Final(anyhow::anyhow!(
                "the server answered {status}: the file is not there any more"
            )));
        }
        _ => return Err(broken(anyhow::anyhow!("the server answered {status}; try again later"))),
    }
    let length = response.body().content_length().unwrap_or(0);
    let mut done = if resumed { have } else { 0 };
    let total = done + length;
    let mut options = OpenOptions::new();
    options.create(true).write(true).append(resumed).truncate(!resumed);
    let open = options.open(part).with_context(|| format!("cannot write {}", part.display()));
    let mut file = open.map_err(Failure::Final)?;
    let mut reader = response.body_mut().as_reader();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = reader.read(&mut buffer).map_err(|error| broken(error.into()))?;
        if count == 0 {
            break;
        }
        file.write_all(&buffer[..count]).map_err(|error| Failure::Final(error.into()))?;
        done += count as u64;
        listener(Progress { done, total });
    }
    if done < total {
        return Err(broken(anyhow::anyhow!("the connection broke after {done} of {total} bytes")));
    }
    Ok(())
}

/// An agent that trusts what the machine trusts and uses its proxies.
fn agent() -> Agent {
    let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
    let config = Agent::config_builder()
        .tls_config(tls)
        .http_status_as_error(false)
        .timeout_connect(Some(Duration::from_secs(20)))
        .timeout_recv_response(Some(Duration::from_secs(60)));
    config.build().into()
}

fn network(error: ureq::Error) -> anyhow::Error {
    anyhow::anyhow!("the network failed ({error}); check the connection and the proxy settings")
}

/// Where an unfinished download stands.
pub fn part_of(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    path.with_file_name(name)
}

/// SHA-256 of a file, in lower-case hexadecimal.
///
/// # Errors
/// When it cannot be read.
pub fn sha256_of(path: &Path) -> anyhow::Result<String> {
    let mut file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        hasher.update(&buffer[..count]);
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Check a file's hash and size.
///
/// # Errors
/// When they are others.
pub fn check(path: &Path, size: u64, sha256: &str) -> anyhow::Result<()> {
    if fs::metadata(path)?.len() != size || sha256_of(path)? != sha256 {
        bail!("{} is not what the manifest says", path.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;

    /// A server that breaks off each answer after `most` bytes; gives its address and the ranges that were asked for.
    fn serve(body: Vec<u8>, most: usize, status: u16) -> (String, std::sync::mpsc::Receiver<Option<usize>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/file", listener.local_addr().unwrap());
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut range = None;
                for line in BufReader::new(stream.try_clone().unwrap()).lines() {
                    let line = line.unwrap().to_lowercase();
                    if let Some(start) = line.strip_prefix("range: bytes=") {
                        range = start.trim_end_matches('-').parse().ok();
                    }
                    if line.is_empty() {
                        break;
                    }
                }
                let rest = &body[range.unwrap_or(0)..];
                let status = if status == 200 && range.is_some() { 206 } else { status };
                let head = format!(
                    "HTTP/1.1 {status} x\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    rest.len()
                );
                stream.write_all(head.as_bytes()).unwrap();
                stream.write_all(&rest[..rest.len().min(most)]).unwrap();
                if sender.send(range).is_err() {
                    break;
                }
            }
        });
        (address, receiver)
    }

    fn hash(bytes: &[u8]) -> String {
        Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn a_broken_download_is_resumed() {
        let body: Vec<u8> = (0..100_000u32).map(|n| (n * 31 % 251) as u8).collect();
        let (url, ranges) = serve(body.clone(), 40_000, 200);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut last = 0;
        fetch(&url, &path, &hash(&body), &mut |progress| last = progress.done).unwrap();
        assert_eq!(fs::read(&path).unwrap(), body);
        assert_eq!(last, 100_000);
        let asked: Vec<_> = ranges.try_iter().collect();
        assert!(asked.len() >= 3 && asked[0].is_none() && asked[1].is_some(), "{asked:?}");
        assert!(!part_of(&path).exists());
    }

    #[test]
    fn a_wrong_hash_and_a_missing_file_are_errors_that_leave_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let (url, _ranges) = serve(b"not it".to_vec(), 100, 200);
        let error = fetch(&url, &path, &hash(b"it"), &mut |_| ()).unwrap_err().to_string();
        assert!(error.contains("another hash"), "{error}");
        let (url, _ranges) = serve(Vec::new(), 0, 404);
        let error = fetch(&url, &path, &hash(b"it"), &mut |_| ()).unwrap_err().to_string();
        assert!(error.contains("404"), "{error}");
        assert!(!path.exists() && !part_of(&path).exists());
    }

    #[test]
    fn no_server_is_one_clear_line() {
        let folder = tempfile::tempdir().unwrap();
        let error =
            fetch("http://127.0.0.1:9/x", &folder.path().join("x"), "", &mut |_| ()).unwrap_err().to_string();
        assert!(error.contains("check the connection") && !error.contains('\n'), "{error}");
    }
}
