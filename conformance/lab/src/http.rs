//! A very small HTTP client: one request, one connection, plain text, all waits bounded.
//!
//! It leaves no socket in `TIME_WAIT`, on neither side: the connection is reset once the whole
//! answer is there, so an answer is read to its end as HTTP/1.1 marks it, not to the end of the
//! connection.

use crate::{Error, Result};
use socket2::SockRef;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// The largest response, in bytes; etcd's metrics are about 100 kB.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// A server's response to one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code, 200 for success.
    pub status: u16,
    /// The body, as text.
    pub body: String,
}

impl Response {
    /// Returns the body of an answer with status 200.
    ///
    /// # Errors
    ///
    /// Fails with the status and the body of any other answer.
    pub fn ok(self) -> Result<String> {
        if self.status == 200 {
            return Ok(self.body);
        }
        Err(Error::new(format!("status {}: {}", self.status, self.body.trim_end())))
    }
}

/// Asks for `path` at `addr`.
///
/// # Errors
///
/// Fails when nobody answers in HTTP within `limit`; any status is an answer.
pub fn get(addr: SocketAddr, path: &str, limit: Duration) -> Result<Response> {
    exchange(addr, &format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\n\r\n"), limit)
        .map_err(Error::doing(format!("GET {path} at {addr}")))
}

/// Posts a JSON text to `path` at `addr`.
///
/// # Errors
///
/// Fails when nobody answers in HTTP within `limit`; any status is an answer.
pub fn post(addr: SocketAddr, path: &str, json: &str, limit: Duration) -> Result<Response> {
    let length = json.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {addr}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{json}"
    );
    exchange(addr, &request, limit).map_err(Error::doing(format!("POST {path} at {addr}")))
}

fn exchange(addr: SocketAddr, request: &str, limit: Duration) -> io::Result<Response> {
    let deadline = Instant::now() + limit;
    let mut stream = TcpStream::connect_timeout(&addr, limit)?;
    SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
    stream.set_write_timeout(Some(limit))?;
    stream.write_all(request.as_bytes())?;
    let mut received = Vec::new();
    let mut chunk = [0; 16 * 1024];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        let count = stream.read(&mut chunk)?;
        received.extend_from_slice(&chunk[..count]);
        match parse(&received, count == 0)? {
            Some(answer) => return Ok(answer),
            None if count == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            None if received.len() > MAX_ANSWER => {
                return Err(io::Error::other("the answer is too long"));
            }
            None => {}
        }
    }
}

/// Reads an answer; `None` when it is not there to its end yet.
fn parse(received: &[u8], is_at_end: bool) -> io::Result<Option<Response>> {
    let malformed = || io::Error::other("the answer is not HTTP");
    let Some((head, body)) = split(received, b"\r\n\r\n") else {
        return if is_at_end { Err(malformed()) } else { Ok(None) };
    };
    let head = String::from_utf8_lossy(head).to_lowercase();
    let mut words = head.split(' ');
    let protocol = words.next().unwrap_or_default();
    let status = words.next().and_then(|code| code.get(..3)).and_then(|code| code.parse().ok());
    let status = status.filter(|_| protocol.starts_with("http/1.")).ok_or_else(malformed)?;
    let header = |name: &str| {
        let mut pairs = head.lines().filter_map(|line| line.split_once(':'));
        pairs.find(|(its, _)| its.trim() == name).map(|(_, value)| value.trim())
    };
    let body = if header("transfer-encoding") == Some("chunked") {
        unchunk(body)
    } else if let Some(length) = header("content-length") {
        let length: usize = length.parse().map_err(|_| malformed())?;
        body.get(..length).map(<[u8]>::to_vec)
    } else {
        is_at_end.then(|| body.to_vec())
    };
    let text = |body: Vec<u8>| String::from_utf8_lossy(&body).into_owned();
    Ok(body.map(|body| Response { status, body: text(body) }))
}

/// Joins the chunks of a body; `None` when the last one is not there.
fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let (size, after) = split(rest, b"\r\n")?;
        // What follows a semicolon are extensions.
        let size = std::str::from_utf8(size).ok()?.split(';').next()?.trim();
        let size = usize::from_str_radix(size, 16).ok()?;
        if size == 0 {
            // Trailers may follow, and an empty line does.
            return (after.starts_with(b"\r\n") || split(after, b"\r\n\r\n").is_some())
                .then_some(body);
        }
        body.extend_from_slice(after.get(..size)?);
        rest = after.get(size..)?.strip_prefix(b"\r\n")?;
    }
}

fn split<'a>(bytes: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let place = bytes.windows(separator.len()).position(|window| window == separator)?;
    Some((&bytes[..place], &bytes[place + separator.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn serve(answer: &'static str) -> (SocketAddr, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let addr = listener.local_addr().expect("an address");
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut request = [0; 1024];
            let n = stream.read(&mut request).expect("a request");
            for byte in answer.bytes() {
                // A client that knows where an answer ends does not wait for what follows.
                let _ = stream.write_all(&[byte]);
            }
            String::from_utf8_lossy(&request[..n]).into_owned()
        });
        (addr, thread)
    }

    #[test]
    fn posts_a_body_and_reads_the_answer() {
        let (addr, thread) = serve("HTTP/1.0 404 Not Found\r\nA: b\r\n\r\nno\r\n\r\nsuch");
        let answer = post(addr, "/x", "{}", Duration::from_secs(5)).expect("an answer");
        assert_eq!(answer, Response { status: 404, body: "no\r\n\r\nsuch".into() });
        assert_eq!(answer.ok(), Err(Error::new("status 404: no\r\n\r\nsuch")));
        let request = thread.join().expect("served");
        assert!(request.starts_with("POST /x HTTP/1.1\r\n"), "{request}");
        assert!(request.ends_with("Content-Length: 2\r\n\r\n{}"), "{request}");
    }

    #[test]
    fn an_answer_ends_where_it_says() {
        for (answer, body) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcdefg", "abcde"),
            ("HTTP/1.1 200 OK\r\ncontent-length:0\r\n\r\n", ""),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                 3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\nmore",
                "abc0123456789",
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: A\r\n\r\n\
                 1\r\nb\r\n0\r\nA: c\r\n\r\n",
                "b",
            ),
        ] {
            let (addr, _thread) = serve(answer);
            let got = get(addr, "/", Duration::from_secs(5)).expect("an answer");
            assert_eq!(got, Response { status: 200, body: body.into() });
        }
    }

    #[test]
    fn an_answer_that_is_cut_short_is_an_error() {
        for answer in [
            "",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcd",
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nabcd",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nb\r\n0\r\nA: c\r\n",
        ] {
            let (addr, _thread) = serve(answer);
            assert!(get(addr, "/", Duration::from_secs(5)).is_err(), "{answer:?}");
        }
    }

    #[test]
    fn neither_side_is_left_in_time_wait() {
        let (addr, thread) = serve("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        assert!(get(addr, "/", Duration::from_secs(5)).is_ok());
        thread.join().expect("served");
        // A port that a connection rests on cannot be had without SO_REUSEADDR.
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        socket.expect("a socket").bind(&addr.into()).expect("the port is free");
    }

    #[test]
    fn what_is_not_http_is_an_error() {
        let (addr, _thread) = serve("SSH-2.0-x 200 \r\n\r\n");
        assert!(get(addr, "/", Duration::from_secs(5)).is_err());
    }

    #[test]
    fn silence_ends_at_the_limit() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let addr = listener.local_addr().expect("an address");
        assert!(get(addr, "/", Duration::from_millis(30)).is_err());
    }
}
