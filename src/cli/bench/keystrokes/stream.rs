//! Reading from a socket until a time, without threads.

use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// A socket, of whatever kind.
pub trait Socket: Read {
    fn set_timeout(&self, timeout: Duration) -> std::io::Result<()>;
}

impl Socket for UnixStream {
    fn set_timeout(&self, timeout: Duration) -> std::io::Result<()> {
        self.set_read_timeout(Some(timeout))
    }
}

impl Socket for TcpStream {
    fn set_timeout(&self, timeout: Duration) -> std::io::Result<()> {
        self.set_read_timeout(Some(timeout))
    }
}

/// What came of waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    Bytes,
    Nothing,
    /// The other side closed the stream.
    End,
}

/// Add what comes next to `received`; waits until then for it.
///
/// # Errors
/// When the stream breaks.
pub fn receive(socket: &mut impl Socket, received: &mut Vec<u8>, until: Instant) -> std::io::Result<Came> {
    let mut bytes = [0; 1 << 14];
    loop {
        // A timeout of 0 would mean none.
        let left = until.saturating_duration_since(Instant::now()).max(Duration::from_micros(50));
        socket.set_timeout(left)?;
        return match socket.read(&mut bytes) {
            Ok(0) => Ok(Came::End),
            Ok(count) => {
                received.extend_from_slice(&bytes[..count]);
                Ok(Came::Bytes)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Ok(Came::Nothing)
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn bytes_nothing_and_the_end_are_told_apart() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        let mut received = Vec::new();
        assert_eq!(receive(&mut ours, &mut received, Instant::now()).unwrap(), Came::Nothing);
        theirs.write_all(b"ab").unwrap();
        assert_eq!(receive(&mut ours, &mut received, Instant::now()).unwrap(), Came::Bytes);
        assert_eq!(received, b"ab");
        drop(theirs);
        assert_eq!(receive(&mut ours, &mut received, Instant::now()).unwrap(), Came::End);
    }
}
