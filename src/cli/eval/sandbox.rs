//! Programs that a model wrote, run by a Python process without network, with limits on time, memory and files.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use tempfile::TempDir;

const WRAPPER: &str = include_str!("sandbox.py");
/// What the wrapper exits with when the program ran to its end.
const PASSED: i32 = 7;
/// Seconds of the processor that a program may use.
const SECONDS: u64 = 5;
/// The clock may show more, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(SECONDS * 4);

/// Starts programs; they are its own, so that several may run while the model writes the next.
pub struct Sandbox {
    folder: TempDir,
    python: PathBuf,
    /// The system lets us take the network from a process.
    unshares: bool,
    started: usize,
}

/// A program that runs.
pub struct Trial {
    child: Child,
    started: Instant,
}

impl Sandbox {
    /// Look for Python.
    ///
    /// # Errors
    /// When there is none.
    pub fn new() -> anyhow::Result<Self> {
        let works = |command: &mut Command| {
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        };
        let found = ["python3", "python"].into_iter().find(|name| works(Command::new(name).arg("--version")));
        let python =
            PathBuf::from(found.context("the tests are Python programs; install python3 to run them")?);
        let unshares = works(unshare().arg(&python).arg("--version"));
        Ok(Self { folder: tempfile::tempdir()?, python, unshares, started: 0 })
    }

    /// Start a program.
    ///
    /// # Errors
    /// When there is no room for it, or no process.
    pub fn start(&mut self, program: &str) -> anyhow::Result<Trial> {
        self.started += 1;
        let path = self.folder.path().join(format!("{}.py", self.started));
        std::fs::write(&path, program)?;
        let mut command = if self.unshares { unshare() } else { Command::new(&self.python) };
        if self.unshares {
            command.arg(&self.python);
        }
        command.args(["-I", "-S", "-B", "-c", WRAPPER]).arg(&path).arg(SECONDS.to_string());
        command.current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().context("Python cannot be started")?;
        Ok(Trial { child, started: Instant::now() })
    }
}

/// A command whose argument runs as nobody in particular, in a network of its own that has nothing in it.
fn unshare() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--user", "--net", "--"]);
    command
}

impl Trial {
    /// Wait for the program; whether it ran to its end. One that takes too long is killed.
    ///
    /// # Errors
    /// When the system cannot say how it went.
    pub fn passed(mut self) -> anyhow::Result<bool> {
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status.code() == Some(PASSED));
            }
            if self.started.elapsed() > PATIENCE {
                return Ok(false);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(program: &str) -> bool {
        Sandbox::new().unwrap().start(program).unwrap().passed().unwrap()
    }

    #[test]
    fn a_program_passes_only_by_running_to_its_end() {
        assert!(passed("import math, typing, hashlib\nassert math.gcd(4, 6) == 2"));
        assert!(passed("print('x' * 1000000)"));
        for failing in [
            "assert 1 == 2",
            "def f(:",
            "exit(7)",
            "raise SystemExit",
            "import os\nos._exit(7)",
            "import signal, os\nsignal.raise_signal(9)",
        ] {
            assert!(!passed(failing), "{failing}");
        }
    }

    #[test]
    fn a_program_has_no_network_no_files_no_processes_no_end_of_memory() {
        let tempdir = tempfile::tempdir().unwrap();
        let file = tempdir.path().join("file");
        let file = file.to_str().unwrap();
        for forbidden in [
            "import socket\nsocket.create_connection(('127.0.0.1', 9))".to_owned(),
            "import socket\nsocket.socket()".to_owned(),
            "import subprocess\nsubprocess.run(['true'])".to_owned(),
            "import os\nos.system('true')".to_owned(),
            "import os\nos.fork()".to_owned(),
            format!("open({file:?}, 'w')"),
            "x = bytearray(1 << 31)".to_owned(),
        ] {
            // What is refused here would otherwise run to its end, so the wrapper is what fails it.
            assert!(!passed(&forbidden), "{forbidden}");
        }
        assert!(!std::path::Path::new(file).exists());
    }

    #[test]
    fn a_program_without_end_is_stopped() {
        assert!(!passed("while True: pass"));
    }
}
