//! The watch over the client's process: a server whose editor is gone has nobody to serve.

use std::time::Duration;

/// How often the process is looked for.
const PERIOD: Duration = Duration::from_secs(1);

/// End this process once the process `id` is gone. On systems without a cheap way to ask, the end of stdin must do.
pub fn exit_with_process(id: u32) {
    let watched = std::thread::Builder::new().name("foretype-watch".to_owned()).spawn(move || {
        while is_alive(id) {
            std::thread::sleep(PERIOD);
        }
        tracing::warn!("the editor's process {id} is gone; so is its server");
        std::process::exit(1);
    });
    if let Err(error) = watched {
        tracing::warn!("the editor's process is not watched: {error}");
    }
}

#[cfg(unix)]
fn is_alive(id: u32) -> bool {
    use rustix::io::Errno;
    use rustix::process::{Pid, test_kill_process};
    let pid = i32::try_from(id).ok().and_then(Pid::from_raw);
    // Someone else's process is alive too, though it can't be signalled.
    pid.is_none_or(|pid| !matches!(test_kill_process(pid), Err(Errno::SRCH)))
}

#[cfg(not(unix))]
fn is_alive(_: u32) -> bool {
    true
}
