//! The built program, run as a user runs it.

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// A command that runs Foretype, with no input and none of the user's own settings.
pub fn foretype() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_foretype"));
    let nowhere = std::env::temp_dir().join("foretype-tests-without-settings");
    command.env("XDG_CONFIG_HOME", nowhere).env_remove("FORETYPE_LOG").env_remove("FORETYPE_KERNELS");
    command.current_dir(std::env::temp_dir()).stdin(Stdio::null());
    command
}

/// Its exit code, output and errors.
pub fn run(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}

/// A file with this text.
pub fn file(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}
