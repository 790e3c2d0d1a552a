//! A server that follows a script instead of a protocol.
//!
//! Scripts run on threads of their own and speak raw HTTP/2 frames, so that they can say what no
//! library would let them say.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// No script waits longer for its client.
const PATIENCE: Duration = Duration::from_secs(30);

/// A listening server; each connection runs the script on a thread.
#[derive(Debug)]
pub struct Peer {
    address: SocketAddr,
    accepted: Arc<AtomicUsize>,
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
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let number = count.fetch_add(1, Ordering::Relaxed);
                let script = Arc::clone(&script);
                thread::spawn(move || {
                    // The client may go away at any moment; that ends the script.
                    let _ = Wire::new(stream).and_then(|wire| script(number, wire));
                });
            }
        });
        Ok(Self { address, accepted, stopped, thread: Some(thread) })
    }

    /// Where it listens, as an endpoint.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many connections it has accepted.
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

/// One connection to a client, on the side of the server.
#[derive(Debug)]
pub struct Wire(TcpStream);

/// The type of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Content of a message.
    Data = 0,
    /// Begins a response, or ends it.
    Headers = 1,
    /// Ends a stream at once.
    Reset = 3,
    /// Parameters of the connection.
    Settings = 4,
    /// Announces the end of the connection.
    GoAway = 7,
}

/// The flag of the last frame of a stream.
pub const END_STREAM: u8 = 1;
/// The flag of a header block that is complete.
pub const END_HEADERS: u8 = 4;

impl Wire {
    fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self(stream))
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    ///
    /// When the client is gone.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    /// Sends one frame.
    ///
    /// # Errors
    ///
    /// When the client is gone.
    pub fn frame(&mut self, kind: Kind, flags: u8, stream: u32, payload: &[u8]) -> io::Result<()> {
        let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
        let mut frame = length.to_be_bytes()[1..].to_vec();
        frame.extend([kind as u8, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.send(&frame)
    }

    /// Waits for the greeting of the client.
    ///
    /// # Errors
    ///
    /// When the client is gone or does not greet in HTTP/2.
    pub fn await_preface(&mut self) -> io::Result<()> {
        const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        let mut preface = [0; 24];
        self.0.read_exact(&mut preface)?;
        if &preface == PREFACE {
            return Ok(());
        }
        Err(io::Error::other("the client does not speak HTTP/2"))
    }

    /// Greets the client as an HTTP/2 server with these settings.
    ///
    /// # Errors
    ///
    /// When the client is gone or does not greet in HTTP/2.
    pub fn greet(&mut self, settings: &[(u16, u32)]) -> io::Result<()> {
        self.await_preface()?;
        let pairs = settings.iter().flat_map(|(id, value)| {
            id.to_be_bytes().into_iter().chain(value.to_be_bytes()).collect::<Vec<_>>()
        });
        let payload: Vec<u8> = pairs.collect();
        self.frame(Kind::Settings, 0, 0, &payload)
    }

    /// Waits until the client has sent a request whole, and says on which stream.
    ///
    /// # Errors
    ///
    /// When the client is gone.
    pub fn request(&mut self) -> io::Result<u32> {
        loop {
            let mut head = [0; 9];
            self.0.read_exact(&mut head)?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            self.0.read_exact(&mut payload)?;
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            if matches!(head[3], 0 | 1) && head[4] & END_STREAM != 0 {
                return Ok(stream);
            }
        }
    }

    /// Begins a gRPC response with status 200.
    ///
    /// # Errors
    ///
    /// When the client is gone.
    pub fn respond(&mut self, stream: u32) -> io::Result<()> {
        self.frame(Kind::Headers, END_HEADERS, stream, &block(&[(":status", "200"), GRPC]))
    }

    /// Answers with a gRPC status and nothing else ("trailers-only").
    ///
    /// # Errors
    ///
    /// When the client is gone.
    pub fn refuse(&mut self, stream: u32, code: &str, message: &str) -> io::Result<()> {
        let headers = [(":status", "200"), GRPC, ("grpc-status", code), ("grpc-message", message)];
        self.frame(Kind::Headers, END_HEADERS | END_STREAM, stream, &block(&headers))
    }

    /// Reads until the client closes the connection.
    ///
    /// # Errors
    ///
    /// When that takes too long.
    pub fn wait_close(&mut self) -> io::Result<()> {
        let mut buffer = [0; 4096];
        while self.0.read(&mut buffer)? > 0 {}
        Ok(())
    }

    /// Passes everything on to a real server, both ways, until one of the two closes.
    ///
    /// # Errors
    ///
    /// When the server cannot be reached.
    pub fn relay(self, server: SocketAddr) -> io::Result<()> {
        let up = TcpStream::connect(server)?;
        let (mut from_client, mut to_server) = (self.0.try_clone()?, up.try_clone()?);
        from_client.set_read_timeout(None)?;
        let upwards = thread::spawn(move || {
            let _ = io::copy(&mut from_client, &mut to_server);
            let _ = to_server.shutdown(std::net::Shutdown::Both);
        });
        let (mut from_server, mut to_client) = (up, self.0);
        let _ = io::copy(&mut from_server, &mut to_client);
        let _ = to_client.shutdown(std::net::Shutdown::Both);
        let _ = upwards.join();
        Ok(())
    }
}

const GRPC: (&str, &str) = ("content-type", "application/grpc");

/// Encodes headers for HPACK, as literals that no table remembers.
fn block(headers: &[(&str, &str)]) -> Vec<u8> {
    let string = |text: &str| {
        let length = u8::try_from(text.len()).unwrap_or(127).min(126);
        [&[length], &text.as_bytes()[..usize::from(length)]].concat()
    };
    headers
        .iter()
        .flat_map(|(name, value)| [vec![0], string(name), string(value)].concat())
        .collect()
}
