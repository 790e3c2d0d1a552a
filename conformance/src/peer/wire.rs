//! One connection of a scripted server, frame by frame.

use super::hpack::{GRPC, OK, block};
use super::{ACK, END_HEADERS, END_STREAM, Tally};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// No script waits longer for its client.
const PATIENCE: Duration = Duration::from_secs(30);

/// One connection to a client, on the side of the server.
///
/// While it waits for the client it acknowledges SETTINGS and PING and gives back the window of the
/// connection, as every server does.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    tally: Arc<Tally>,
    /// What came of requests that are not whole, by stream.
    pub(super) open: BTreeMap<u32, Vec<u8>>,
    /// The streams that neither side has ended.
    live: BTreeSet<u32>,
    /// How much the client takes, on all streams together.
    window: i64,
    /// Settings that the client has not acknowledged.
    unagreed: u32,
}

/// The type of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameType {
    /// Content of a message.
    Data = 0,
    /// Begins a response, or ends it.
    Headers = 1,
    /// Advice on the order of streams.
    Priority = 2,
    /// Ends a stream at once.
    Reset = 3,
    /// Parameters of the connection.
    Settings = 4,
    /// Announces a response that nobody asked for.
    PushPromise = 5,
    /// Asks for a sign of life.
    Ping = 6,
    /// Announces the end of the connection.
    GoAway = 7,
    /// Allows more content.
    WindowUpdate = 8,
    /// Continues a header block.
    Continuation = 9,
    /// A type that no standard knows.
    Unknown = 0xfa,
}

/// A request that came whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its stream.
    pub stream: u32,
    /// Its body: one message of gRPC with its head.
    pub body: Vec<u8>,
}

impl Request {
    /// Tells whether it writes. Headers are compressed, so the message has to tell: a put of one
    /// key has a second field, its value; a get of one key does not.
    #[must_use]
    pub fn is_put(&self) -> bool {
        const VALUE: u8 = 0x12;
        self.body.get(7 + self.key().len()) == Some(&VALUE)
    }

    /// Returns the key of a request for one key.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        let length = self.body.get(6).copied().unwrap_or_default();
        self.body.get(7..7 + usize::from(length)).unwrap_or_default()
    }

    /// Returns the message that a server would answer with: the key has the value `v` at revision
    /// 2.
    #[must_use]
    pub fn answer(&self) -> Vec<u8> {
        self.answer_with(b"v")
    }

    /// As [`answer`](Self::answer), with another value.
    #[must_use]
    pub fn answer_with(&self, value: &[u8]) -> Vec<u8> {
        const HEADER: [u8; 10] = [0x0a, 8, 0x08, 1, 0x10, 1, 0x18, 2, 0x20, 1];
        if self.is_put() {
            return framed(&HEADER);
        }
        let key_value = [&[0x0a, 1, b'k', 0x10, 2, 0x18, 2, 0x20, 1, 0x2a], &*varint(value.len())];
        let key_value = [&*key_value.concat(), value].concat();
        let count = [0x20, 1];
        framed(&[&HEADER, &[0x12][..], &varint(key_value.len()), &key_value, &count].concat())
    }
}

/// A message behind the head that gRPC gives it.
pub(super) fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    [&[0], &length.to_be_bytes()[..], message].concat()
}

fn varint(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(u8::try_from(value & 0x7f).unwrap_or_default() | 0x80);
        value >>= 7;
    }
    bytes.push(u8::try_from(value).unwrap_or_default());
    bytes
}

/// What a client has sent.
#[derive(Debug)]
pub(crate) enum Heard {
    Request(Request),
    /// The stream was reset.
    Reset,
    Data(u32),
    /// The answer to a PING.
    Pong,
    Other,
}

impl Wire {
    pub(super) fn new(stream: TcpStream, tally: Arc<Tally>) -> io::Result<Self> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let (open, live) = (BTreeMap::new(), BTreeSet::new());
        Ok(Self { stream, tally, open, live, window: 65_535, unagreed: 0 })
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    ///
    /// When the client is gone.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends one frame.
    ///
    /// # Errors
    ///
    /// When the client is gone.
    pub fn frame(
        &mut self,
        kind: FrameType,
        flags: u8,
        stream: u32,
        payload: &[u8],
    ) -> io::Result<()> {
        if kind == FrameType::Data {
            self.window -= i64::try_from(payload.len()).unwrap_or(i64::MAX);
        }
        let may_end = matches!(kind, FrameType::Data | FrameType::Headers);
        if kind == FrameType::Reset || may_end && flags & END_STREAM != 0 {
            self.live.remove(&stream);
        }
        self.send(&frame(kind, flags, stream, payload))
    }

    /// Returns how many requests have begun that are neither answered whole nor reset.
    #[must_use]
    pub fn live(&self) -> usize {
        self.live.len()
    }

    /// Returns how many bytes of content the client takes at the moment, on all streams together;
    /// less than none if more were sent.
    #[must_use]
    pub fn window(&self) -> i64 {
        self.window
    }

    /// Sends one frame so many times, many at once.
    ///
    /// # Errors
    ///
    /// When the client is gone.
    pub fn flood(
        &mut self,
        count: usize,
        kind: FrameType,
        stream: u32,
        payload: &[u8],
    ) -> io::Result<()> {
        const AT_ONCE: usize = 64;
        let frames = frame(kind, 0, stream, payload);
        for _ in 0..count / AT_ONCE {
            self.send(&frames.repeat(AT_ONCE))?;
        }
        self.send(&frames.repeat(count % AT_ONCE))
    }

    /// Waits for the preface of the client.
    ///
    /// # Errors
    ///
    /// When the client is gone or does not greet in HTTP/2.
    pub fn await_preface(&mut self) -> io::Result<()> {
        const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        let mut preface = [0; 24];
        self.stream.read_exact(&mut preface)?;
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
        self.settings(settings)
    }

    /// Sends settings.
    ///
    /// # Errors
    ///
    /// When the client is gone.
    pub fn settings(&mut self, settings: &[(u16, u32)]) -> io::Result<()> {
        let pairs = settings.iter().flat_map(|(id, value)| {
            id.to_be_bytes().into_iter().chain(value.to_be_bytes()).collect::<Vec<_>>()
        });
        let payload: Vec<u8> = pairs.collect();
        self.unagreed += 1;
        self.frame(FrameType::Settings, 0, 0, &payload)
    }

    /// Sends settings and waits until the client has taken them over; no request may be under way.
    ///
    /// # Errors
    ///
    /// When the client is gone.
    pub fn agreed_settings(&mut self, settings: &[(u16, u32)]) -> io::Result<()> {
        self.settings(settings)?;
        while self.unagreed > 0 {
            self.hear()?;
        }
        Ok(())
    }

    /// Reads one frame and does what every server does about it.
    pub(crate) fn hear(&mut self) -> io::Result<Heard> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.stream.read_exact(&mut payload)?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let (kind, flags) = (head[3], head[4]);
        if kind == FrameType::Reset as u8 {
            self.tally.note_reset();
            self.open.remove(&stream);
            self.live.remove(&stream);
            return Ok(Heard::Reset);
        }
        if kind == FrameType::Settings as u8 && flags & ACK != 0 {
            self.unagreed = self.unagreed.saturating_sub(1);
        }
        if kind == FrameType::Settings as u8 && flags & ACK == 0 {
            self.frame(FrameType::Settings, ACK, 0, &[])?;
        }
        if kind == FrameType::Ping as u8 && flags & ACK == 0 {
            self.frame(FrameType::Ping, ACK, 0, &payload)?;
        }
        if kind == FrameType::Ping as u8 && flags & ACK != 0 {
            return Ok(Heard::Pong);
        }
        if let (true, 0, [a, b, c, d]) =
            (kind == FrameType::WindowUpdate as u8, stream, &payload[..])
        {
            self.window += i64::from(u32::from_be_bytes([*a, *b, *c, *d]));
        }
        if kind != FrameType::Data as u8 && kind != FrameType::Headers as u8 {
            return Ok(Heard::Other);
        }
        if kind == FrameType::Headers as u8 {
            self.live.insert(stream);
        }
        let body = self.open.entry(stream).or_default();
        if kind == FrameType::Data as u8 {
            body.extend(&payload);
            if length > 0 {
                self.frame(FrameType::WindowUpdate, 0, 0, &length.to_be_bytes())?;
            }
        }
        if flags & END_STREAM == 0 {
            return Ok(Heard::Data(if kind == FrameType::Data as u8 { length } else { 0 }));
        }
        let request = Request { stream, body: self.open.remove(&stream).unwrap_or_default() };
        self.tally.note(&request);
        Ok(Heard::Request(request))
    }

    /// Waits until the client has sent a request whole.
    ///
    /// # Errors
    ///
    /// When the client is gone.
    pub fn whole_request(&mut self) -> io::Result<Request> {
        loop {
            if let Heard::Request(request) = self.hear()? {
                return Ok(request);
            }
        }
    }

    /// Waits until the first part of the message of a request came.
    ///
    /// # Errors
    ///
    /// When the client is gone.
    pub fn begun_request(&mut self) -> io::Result<()> {
        while !matches!(self.hear()?, Heard::Data(1..) | Heard::Request(_)) {}
        Ok(())
    }

    /// Waits until the client has sent a request whole, and says on which stream.
    ///
    /// # Errors
    ///
    /// When the client is gone.
    pub fn request(&mut self) -> io::Result<u32> {
        Ok(self.whole_request()?.stream)
    }

    /// Waits for a request whole, and gives the client back the window that it uses, on its stream.
    ///
    /// # Errors
    ///
    /// When the client is gone.
    pub fn request_by_window(&mut self, stream: u32) -> io::Result<Request> {
        loop {
            match self.hear()? {
                Heard::Request(request) => return Ok(request),
                Heard::Data(used) if used > 0 => {
                    self.frame(FrameType::WindowUpdate, 0, stream, &used.to_be_bytes())?;
                }
                Heard::Data(_) | Heard::Reset | Heard::Pong | Heard::Other => {}
            }
        }
    }

    /// Waits until the client resets a stream.
    ///
    /// # Errors
    ///
    /// When the client is gone.
    pub fn wait_reset(&mut self) -> io::Result<()> {
        while !matches!(self.hear()?, Heard::Reset) {}
        Ok(())
    }

    /// Begins a gRPC response with status 200.
    ///
    /// # Errors
    ///
    /// When the client is gone.
    pub fn respond(&mut self, stream: u32) -> io::Result<()> {
        self.headers(stream, END_HEADERS, &[OK, GRPC])
    }

    /// Sends headers in one frame.
    ///
    /// # Errors
    ///
    /// When the client is gone.
    pub fn headers(&mut self, stream: u32, flags: u8, headers: &[(&str, &str)]) -> io::Result<()> {
        self.frame(FrameType::Headers, flags, stream, &block(headers))
    }

    /// Ends a gRPC response with status OK.
    ///
    /// # Errors
    ///
    /// When the client is gone.
    pub fn trailers(&mut self, stream: u32) -> io::Result<()> {
        self.headers(stream, END_HEADERS | END_STREAM, &[("grpc-status", "0")])
    }

    /// Answers a request as a server would.
    ///
    /// # Errors
    ///
    /// When the client is gone.
    pub fn answer(&mut self, request: &Request) -> io::Result<()> {
        self.respond(request.stream)?;
        self.frame(FrameType::Data, 0, request.stream, &request.answer())?;
        self.trailers(request.stream)
    }

    /// Answers all requests to come, until the client closes the connection.
    ///
    /// # Errors
    ///
    /// When the client is gone.
    pub fn serve(&mut self) -> io::Result<()> {
        loop {
            let request = self.whole_request()?;
            self.answer(&request)?;
        }
    }

    /// Answers with a gRPC status and nothing else ("trailers-only").
    ///
    /// # Errors
    ///
    /// When the client is gone.
    pub fn refuse(&mut self, stream: u32, code: &str, message: &str) -> io::Result<()> {
        let headers = [OK, GRPC, ("grpc-status", code), ("grpc-message", message)];
        self.headers(stream, END_HEADERS | END_STREAM, &headers)
    }

    /// Resets a stream.
    ///
    /// # Errors
    ///
    /// When the client is gone.
    pub fn reset(&mut self, stream: u32, code: u32) -> io::Result<()> {
        self.frame(FrameType::Reset, 0, stream, &code.to_be_bytes())
    }

    /// Announces the end of the connection: the last stream that was looked at, an error code and
    /// a word about it.
    ///
    /// # Errors
    ///
    /// When the client is gone.
    pub fn go_away(&mut self, last: u32, code: u32, word: &str) -> io::Result<()> {
        let payload = [&last.to_be_bytes(), &code.to_be_bytes()[..], word.as_bytes()].concat();
        self.frame(FrameType::GoAway, 0, 0, &payload)
    }

    /// Reads until the client closes the connection.
    ///
    /// # Errors
    ///
    /// When that takes too long.
    pub fn wait_close(&mut self) -> io::Result<()> {
        let mut buffer = [0; 4096];
        while self.stream.read(&mut buffer)? > 0 {}
        Ok(())
    }

    /// Passes everything on to a real server, both ways, until one of the two closes.
    ///
    /// # Errors
    ///
    /// When the server cannot be reached.
    pub fn relay(self, server: SocketAddr) -> io::Result<()> {
        let up = TcpStream::connect(server)?;
        let (mut from_client, mut to_server) = (self.stream.try_clone()?, up.try_clone()?);
        from_client.set_read_timeout(None)?;
        let upwards = thread::spawn(move || {
            let _ = io::copy(&mut from_client, &mut to_server);
            let _ = to_server.shutdown(std::net::Shutdown::Both);
        });
        let (mut from_server, mut to_client) = (up, self.stream);
        let _ = io::copy(&mut from_server, &mut to_client);
        let _ = to_client.shutdown(std::net::Shutdown::Both);
        let _ = upwards.join();
        Ok(())
    }
}

/// Returns the bytes of one frame.
fn frame(kind: FrameType, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let mut frame = length.to_be_bytes()[1..].to_vec();
    frame.extend([kind as u8, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}
