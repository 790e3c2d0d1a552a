//! A very small HTTP client: one request, one connection, plain text, all waits bounded.
//!
//! It speaks HTTP/1.0, so that a server answers without chunks and closes the connection at the
//! end of the body.

use crate::{Error, Result};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Bounds the size of an answer; etcd's metrics are about 100 kB.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// Is a server's answer to one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Holds the status code, 200 for success.
    pub status: u16,
    /// Holds the body, as text.
    pub body: String,
}

impl Answer {
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
pub fn get(addr: SocketAddr, path: &str, limit: Duration) -> Result<Answer> {
    exchange(addr, &format!("GET {path} HTTP/1.0\r\nHost: {addr}\r\n\r\n"), limit)
        .map_err(Error::doing(format!("GET {path} at {addr}")))
}

/// Posts a JSON text to `path` at `addr`.
///
/// # Errors
///
/// Fails when nobody answers in HTTP within `limit`; any status is an answer.
pub fn post(addr: SocketAddr, path: &str, json: &str, limit: Duration) -> Result<Answer> {
    let length = json.len();
    let request = format!(
        "POST {path} HTTP/1.0\r\nHost: {addr}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{json}"
    );
    exchange(addr, &request, limit).map_err(Error::doing(format!("POST {path} at {addr}")))
}

fn exchange(addr: SocketAddr, request: &str, limit: Duration) -> std::io::Result<Answer> {
    let deadline = Instant::now() + limit;
    let mut stream = TcpStream::connect_timeout(&addr, limit)?;
    stream.set_write_timeout(Some(limit))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let mut chunk = [0; 16 * 1024];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(std::io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut chunk)? {
            0 => return parse(&answer),
            n => answer.extend_from_slice(&chunk[..n]),
        }
        if answer.len() > MAX_ANSWER {
            return Err(std::io::Error::other("the answer is too long"));
        }
    }
}

fn parse(answer: &[u8]) -> std::io::Result<Answer> {
    let text = String::from_utf8_lossy(answer);
    let malformed = || std::io::Error::other("the answer is not HTTP");
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(malformed)?;
    let mut words = head.split(' ');
    let protocol = words.next().unwrap_or_default();
    let status = words.next().and_then(|code| code.get(..3)).and_then(|code| code.parse().ok());
    match status {
        Some(status) if protocol.starts_with("HTTP/1.") => {
            Ok(Answer { status, body: body.to_owned() })
        }
        _ => Err(malformed()),
    }
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
            stream.write_all(answer.as_bytes()).expect("an answer");
            String::from_utf8_lossy(&request[..n]).into_owned()
        });
        (addr, thread)
    }

    #[test]
    fn posts_a_body_and_reads_the_answer() {
        let (addr, thread) = serve("HTTP/1.0 404 Not Found\r\nA: b\r\n\r\nno\r\n\r\nsuch");
        let answer = post(addr, "/x", "{}", Duration::from_secs(5)).expect("an answer");
        assert_eq!(answer, Answer { status: 404, body: "no\r\n\r\nsuch".into() });
        assert_eq!(answer.ok(), Err(Error::new("status 404: no\r\n\r\nsuch")));
        let request = thread.join().expect("served");
        assert!(request.starts_with("POST /x HTTP/1.0\r\n"), "{request}");
        assert!(request.ends_with("Content-Length: 2\r\n\r\n{}"), "{request}");
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
