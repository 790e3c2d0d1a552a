//! A server that follows a script instead of a protocol.
//!
//! Scripts run on threads of their own and speak raw HTTP/2 frames, so that they can say what no
//! library would let them say.

pub mod hpack;
mod messages;
mod wire;

pub(crate) use wire::Heard;
pub use wire::{FrameType, Request, Wire};

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

/// The flag of the last frame of a stream.
pub const END_STREAM: u8 = 1;
/// The flag of the answer to a SETTINGS or PING frame.
pub const ACK: u8 = 1;
/// The flag of a header block that is complete.
pub const END_HEADERS: u8 = 4;
/// The flag of a frame with padding.
pub const PADDED: u8 = 8;

/// What a peer has seen of its clients, on all connections.
#[derive(Debug, Default)]
pub struct Tally {
    puts: AtomicUsize,
    others: AtomicUsize,
    resets: AtomicUsize,
}

impl Tally {
    /// Returns how many writes came whole.
    #[must_use]
    pub fn puts(&self) -> usize {
        self.puts.load(Ordering::SeqCst)
    }

    /// Returns how many requests came whole, writes included.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.puts() + self.others.load(Ordering::SeqCst)
    }

    /// Returns how many streams the clients have reset.
    #[must_use]
    pub fn resets(&self) -> usize {
        self.resets.load(Ordering::SeqCst)
    }

    fn note(&self, request: &Request) {
        let count = if request.is_put() { &self.puts } else { &self.others };
        count.fetch_add(1, Ordering::SeqCst);
    }

    fn note_reset(&self) {
        self.resets.fetch_add(1, Ordering::SeqCst);
    }
}

/// A listening server; each connection runs the script on a thread.
#[derive(Debug)]
pub struct Peer {
    address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    tally: Arc<Tally>,
    stopped: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Peer {
    /// Starts a server on a free port. The script gets the number of the connection, from 0, and
    /// the connection; its errors end that connection.
    ///
    /// # Errors
    ///
    /// When no port can be had.
    pub fn start(
        script: impl Fn(usize, Wire) -> io::Result<()> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let accepted = Arc::new(AtomicUsize::new(0));
        let stopped = Arc::new(AtomicBool::new(false));
        let script = Arc::new(script);
        let (count, stop) = (Arc::clone(&accepted), Arc::clone(&stopped));
        let tally = Arc::<Tally>::default();
        let seen = Arc::clone(&tally);
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let number = count.fetch_add(1, Ordering::Relaxed);
                let (script, seen) = (Arc::clone(&script), Arc::clone(&seen));
                thread::spawn(move || {
                    // The client may go away at any moment; that ends the script.
                    let _ = Wire::new(stream, seen).and_then(|wire| script(number, wire));
                });
            }
        });
        Ok(Self { address, accepted, tally, stopped, thread: Some(thread) })
    }

    /// Returns where it listens, as an endpoint.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns what it has seen so far.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Returns how many connections it has accepted.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        // Wakes the thread out of its accept.
        let woken = TcpStream::connect(self.address).is_ok();
        if let Some(thread) = self.thread.take().filter(|_| woken) {
            let _ = thread.join();
        }
    }
}
