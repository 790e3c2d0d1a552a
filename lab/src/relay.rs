//! One relayed connection: two sockets, and a thread for each direction.
//!
//! All that a direction's bytes can suffer is decided in [`Link::pass`], chunk by chunk, so that
//! is where a fault of one direction, a delay or a cut after some bytes has its place.

use socket2::SockRef;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Bounds how long a thread that cannot write stays unaware of the end of its connection.
const WRITE_TURN: Duration = Duration::from_millis(50);

/// Tells how a connection is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Both sides read the end of the stream.
    Close,
    /// Both sides get a reset.
    Reset,
}

/// Is the way of bytes through a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the side that connected to the target.
    Up,
    /// From the target to the side that connected.
    Down,
}

/// Is what the links of one proxy share and consult for every chunk.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    swallow: AtomicBool,
}

impl Faults {
    /// Makes all bytes, and all ends of streams, disappear from now on, or no longer.
    pub(crate) fn set_swallow(&self, swallow: bool) {
        self.swallow.store(swallow, Ordering::SeqCst);
    }

    fn swallows(&self, _direction: Direction) -> bool {
        self.swallow.load(Ordering::SeqCst)
    }
}

/// Is a relayed connection.
#[derive(Debug)]
pub(crate) struct Link {
    near: TcpStream,
    far: TcpStream,
    ended: AtomicBool,
    faults: Arc<Faults>,
}

impl Link {
    pub(crate) fn new(near: TcpStream, far: TcpStream, faults: Arc<Faults>) -> Self {
        for stream in [&near, &far] {
            // Neither can fail on a socket that exists; a failure would only make it slower.
            let _ = stream.set_nodelay(true);
            let _ = stream.set_write_timeout(Some(WRITE_TURN));
        }
        Self { near, far, ended: AtomicBool::new(false), faults }
    }

    /// Ends the connection on both sides; its threads follow within [`WRITE_TURN`].
    pub(crate) fn end(&self, end: End) {
        self.ended.store(true, Ordering::SeqCst);
        for stream in [&self.near, &self.far] {
            // A side that is gone already needs no end.
            let _ = match end {
                End::Close => stream.shutdown(Shutdown::Both),
                End::Reset => SockRef::from(stream)
                    .set_linger(Some(Duration::ZERO))
                    // Wakes the reader without telling the other side; the reset is sent when
                    // the last user of the socket lets it go.
                    .and_then(|()| stream.shutdown(Shutdown::Read)),
            };
        }
    }

    /// Moves the bytes of one direction until either side ends.
    pub(crate) fn pump(&self, direction: Direction) {
        let (mut from, to) = match direction {
            Direction::Up => (&self.near, &self.far),
            Direction::Down => (&self.far, &self.near),
        };
        let mut chunk = [0; 16 * 1024];
        while !self.has_ended() {
            match from.read(&mut chunk) {
                Ok(0) => return self.finish(direction, to),
                Ok(n) => {
                    if self.pass(direction, &chunk[..n], to).is_err() {
                        return self.end(End::Reset);
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) if self.faults.swallows(direction) => return,
                Err(_) => return self.end(End::Reset),
            }
        }
    }

    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    fn finish(&self, direction: Direction, to: &TcpStream) {
        if !self.has_ended() && !self.faults.swallows(direction) {
            let _ = to.shutdown(Shutdown::Write);
        }
    }

    fn pass(
        &self,
        direction: Direction,
        mut bytes: &[u8],
        mut to: &TcpStream,
    ) -> std::io::Result<()> {
        while !bytes.is_empty() && !self.has_ended() && !self.faults.swallows(direction) {
            match to.write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(n) => bytes = &bytes[n..],
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {}
                    _ => return Err(error),
                },
            }
        }
        Ok(())
    }
}
