//! The llama-server process: started with the flags that llama.vim recommends, on a port of its own.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::{Value, json};

use crate::cli::bench::keystrokes::peer::http::Exchange;

const LOADING: Duration = Duration::from_secs(120);

pub struct Server {
    child: Child,
    address: SocketAddr,
    fills: bool,
}

impl Server {
    /// Start it and wait until the weights are loaded.
    ///
    /// # Errors
    /// When it does not start or does not become ready.
    pub fn start(program: &Path, weights: &Path, threads: usize) -> anyhow::Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let child = Command::new(program)
            .arg("--model")
            .arg(weights)
            .args(["--host", "127.0.0.1", "--port", &address.port().to_string()])
            .args(["--threads", &threads.to_string()])
            // What its presets for filling in set.
            .args([
                "--ctx-size",
                "0",
                "--batch-size",
                "1024",
                "--ubatch-size",
                "1024",
                "--cache-reuse",
                "256",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let mut server = Self { child, address, fills: false };
        server.until_ready()?;
        let probe = json!({
            "input_prefix": "a", "input_suffix": "b", "prompt": "", "n_predict": 1, "temperature": 0.0,
        });
        let until = Instant::now() + LOADING;
        server.fills = Exchange::begin(address, "/infill", Some(&probe))?.finish(until)?.0 == 200;
        Ok(server)
    }

    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Whether the weights have markers for filling in.
    pub fn fills(&self) -> bool {
        self.fills
    }

    /// Ask it to write.
    ///
    /// # Errors
    /// When it is gone.
    pub fn send(&self, request: &Value) -> anyhow::Result<Exchange> {
        let path = if self.fills { "/infill" } else { "/completion" };
        Exchange::begin(self.address, path, Some(request))
    }

    fn until_ready(&mut self) -> anyhow::Result<()> {
        let until = Instant::now() + LOADING;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait()? {
                anyhow::bail!("the peer's server ended: {status}");
            }
            let health = Exchange::begin(self.address, "/health", None);
            if health.and_then(|exchange| exchange.finish(until)).is_ok_and(|(status, _)| status == 200) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        anyhow::bail!("the peer's server does not become ready")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
