//! Stdin and stdout as the event loop waits for them.
//!
//! Editors make them pipes or sockets, which it can wait for itself. Tokio's own, which suit files and terminals too, have
//! another thread do every read and write: from a key to its answer that takes four more wakes, and where other programs
//! keep the processors busy a wake can take milliseconds.

use tokio::io::{AsyncRead, AsyncWrite};

pub type Input = Box<dyn AsyncRead + Unpin>;
pub type Output = Box<dyn AsyncWrite + Unpin>;

/// Stdin.
///
/// # Panics
/// Outside of a runtime.
pub fn input() -> Input {
    #[cfg(unix)]
    if let Some(input) = unix::input() {
        return input;
    }
    Box::new(tokio::io::stdin())
}

/// Stdout.
///
/// # Panics
/// Outside of a runtime.
pub fn output() -> Output {
    #[cfg(unix)]
    if let Some(output) = unix::output() {
        return output;
    }
    Box::new(tokio::io::stdout())
}

#[cfg(unix)]
mod unix {
    use std::fs::File;
    use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    use std::os::unix::net;

    use tokio::net::UnixStream;
    use tokio::net::unix::pipe;

    use super::{Input, Output};

    pub fn input() -> Option<Input> {
        Some(match Stream::of(std::io::stdin().as_fd())? {
            Stream::Pipe(pipe) => Box::new(pipe::Receiver::from_owned_fd(pipe).ok()?),
            Stream::Socket(socket) => Box::new(polled(socket)?),
        })
    }

    pub fn output() -> Option<Output> {
        Some(match Stream::of(std::io::stdout().as_fd())? {
            Stream::Pipe(pipe) => Box::new(pipe::Sender::from_owned_fd(pipe).ok()?),
            Stream::Socket(socket) => Box::new(polled(socket)?),
        })
    }

    enum Stream {
        Pipe(OwnedFd),
        Socket(OwnedFd),
    }

    impl Stream {
        /// `None` for files and terminals, and where stderr is the same stream: what is waited for no longer blocks, and
        /// whoever writes to stderr counts on it that it does.
        fn of(stream: BorrowedFd) -> Option<Self> {
            let file = |fd: BorrowedFd| fd.try_clone_to_owned().map(File::from);
            let stream = file(stream).ok()?;
            let facts = stream.metadata().ok()?;
            let errors = file(std::io::stderr().as_fd()).and_then(|errors| errors.metadata());
            if errors.is_ok_and(|errors| (errors.dev(), errors.ino()) == (facts.dev(), facts.ino())) {
                return None;
            }
            let kind = facts.file_type();
            match (kind.is_fifo(), kind.is_socket()) {
                (true, _) => Some(Self::Pipe(stream.into())),
                (_, true) => Some(Self::Socket(stream.into())),
                _ => None,
            }
        }
    }

    fn polled(socket: OwnedFd) -> Option<UnixStream> {
        let socket = net::UnixStream::from(socket);
        socket.set_nonblocking(true).ok()?;
        UnixStream::from_std(socket).ok()
    }
}
