//! gRPC status: codes, trailers, and the HTTP answers that stand in for them.

// E20–E40

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use std::fmt;

static GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
static GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// A status code of gRPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Code {
    /// Not an error.
    Ok = 0,
    /// The call was cancelled, on this side or the other.
    Canceled = 1,
    /// The server gave no better code.
    Unknown = 2,
    /// The request is wrong in itself.
    InvalidArgument = 3,
    /// A deadline passed.
    DeadlineExceeded = 4,
    /// What the request names does not exist.
    NotFound = 5,
    /// What the request creates exists.
    AlreadyExists = 6,
    /// The caller may not do this.
    PermissionDenied = 7,
    /// A limit was reached.
    ResourceExhausted = 8,
    /// The system is not in the state that the request needs.
    FailedPrecondition = 9,
    /// The operation was aborted.
    Aborted = 10,
    /// A value lies outside of what is there: etcd uses it for compacted and future revisions.
    OutOfRange = 11,
    /// The server does not know this method.
    Unimplemented = 12,
    /// An invariant is broken, on the server or in what lies between.
    Internal = 13,
    /// The service cannot be used at the moment.
    Unavailable = 14,
    /// Data is lost or corrupt.
    DataLoss = 15,
    /// The caller is not known.
    Unauthenticated = 16,
}

impl Code {
    /// All codes, by number.
    pub const ALL: [Self; 17] = [
        Self::Ok,
        Self::Canceled,
        Self::Unknown,
        Self::InvalidArgument,
        Self::DeadlineExceeded,
        Self::NotFound,
        Self::AlreadyExists,
        Self::PermissionDenied,
        Self::ResourceExhausted,
        Self::FailedPrecondition,
        Self::Aborted,
        Self::OutOfRange,
        Self::Unimplemented,
        Self::Internal,
        Self::Unavailable,
        Self::DataLoss,
        Self::Unauthenticated,
    ];

    /// The code with this number; numbers that gRPC does not define are [`Code::Unknown`].
    #[must_use]
    pub fn from_number(number: u32) -> Self {
        let index = usize::try_from(number).unwrap_or(usize::MAX);
        Self::ALL.get(index).copied().unwrap_or(Self::Unknown)
    }

    /// Returns the number of the code on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// The longest text kept of a status, in bytes.
pub const MESSAGE_LIMIT: usize = 8 * 1024;

/// How a call ended, in the words of the server or of what stands in for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Status {
    /// The code as it came over the wire.
    pub code: Code,
    /// The text, at most 8 KiB of it; control characters are shown escaped.
    pub message: String,
    /// The number on the wire where gRPC defines no code for it, else 0: no larger than it must be,
    /// for every call moves one of these.
    undefined: u32,
}

impl Status {
    /// Makes a status; a message over [`MESSAGE_LIMIT`] is cut.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if message.len() > MESSAGE_LIMIT {
            let end = (0..=MESSAGE_LIMIT).rev().find(|&i| message.is_char_boundary(i)).unwrap_or(0);
            message.truncate(end);
        }
        Self { code, message, undefined: 0 }
    }

    /// Returns the number of the code as it came over the wire. One that gRPC does not define is
    /// [`Code::Unknown`] in [`code`](Self::code).
    #[must_use]
    pub fn number(&self) -> u32 {
        if self.undefined == 0 { self.code.number().into() } else { self.undefined }
    }

    /// The status that a missing one stands for: the stream ended on data without trailers.
    // E33
    #[must_use]
    pub fn missing() -> Self {
        Self::new(Code::Internal, "stream ended without trailers")
    }

    /// The status of trailers that hold no `grpc-status`.
    // E34
    #[must_use]
    pub fn without_code() -> Self {
        Self::new(Code::Unknown, "trailers without grpc-status")
    }

    /// The status that stands for a stream reset with this HTTP/2 error code.
    // E22–E27
    #[must_use]
    pub fn from_reset(reason: u32) -> Self {
        let code = match reason {
            0x0 | 0x1 | 0x2 | 0x4 | 0x5 | 0x6 | 0x9 | 0xa | 0xd => Code::Internal,
            0x3 | 0xb => Code::ResourceExhausted,
            0x7 => Code::Unavailable,
            0x8 => Code::Canceled,
            0xc => Code::PermissionDenied,
            _ => Code::Unknown,
        };
        Self::new(code, format!("stream reset by the peer with HTTP/2 error code {reason:#x}"))
    }
}

/// Reads `grpc-status` and `grpc-message`, from trailers or from the head of a response that
/// has no body ("trailers-only"). `None` when there is no `grpc-status` at all.
///
/// A status that is not a number, or given twice, is [`Code::Unknown`]. One that is no error
/// has no message.
// E34
#[must_use]
pub fn from_headers(headers: &HeaderMap) -> Option<Status> {
    let mut values = headers.get_all(&GRPC_STATUS).iter();
    let value = values.next()?;
    let is_single = values.next().is_none();
    if value == "0" && is_single {
        // Most are, and have no message.
        return Some(Status { code: Code::Ok, message: String::new(), undefined: 0 });
    }
    let number = value.to_str().ok().and_then(parse_number).filter(|_| is_single);
    let message = || headers.get(&GRPC_MESSAGE).map(percent_decode).unwrap_or_default();
    Some(match number {
        Some(0) => Status::new(Code::Ok, ""),
        Some(number) => {
            let code = Code::from_number(number);
            let undefined = if number == u32::from(code.number()) { 0 } else { number };
            Status { undefined, ..Status::new(code, message()) }
        }
        None => Status::new(Code::Unknown, format!("malformed grpc-status: {value:?}")),
    })
}

/// Judges the head of a response that is no gRPC answer: another HTTP status than 200, or
/// another content type. `None` when head and body are to be read as gRPC.
// E28–E31
#[must_use]
pub fn from_http(status: StatusCode, headers: &HeaderMap) -> Option<Status> {
    let code = match status.as_u16() {
        200 if is_grpc(headers) => return None,
        400 => Code::Internal,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::Unimplemented,
        429 | 502 | 503 | 504 => Code::Unavailable,
        _ => Code::Unknown,
    };
    let content = match headers.get(http::header::CONTENT_TYPE) {
        Some(content) => format!("content-type {content:?}"),
        None => "no content-type".to_owned(),
    };
    Some(Status::new(code, format!("not an answer of gRPC: HTTP {status}, {content}")))
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.code)?;
        if self.undefined != 0 {
            write!(f, " (grpc-status {})", self.undefined)?;
        }
        write!(f, ": {}", Escaped(&self.message))
    }
}

/// Shows text from a peer with its control characters escaped, so that it cannot forge log lines.
pub(crate) struct Escaped<'a>(pub(crate) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if c.is_control() { write!(f, "{}", c.escape_default())? } else { write!(f, "{c}")? }
        }
        Ok(())
    }
}

fn parse_number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.len() <= 9 && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let value = headers.get(http::header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let rest = value.and_then(|value| value.strip_prefix(b"application/grpc"));
    rest.is_some_and(|rest| matches!(rest, [] | [b'+' | b';', ..]))
}

/// Undoes gRPC's percent-encoding; invalid escapes are kept as they are.
// E38
fn percent_decode(value: &HeaderValue) -> String {
    let bytes = value.as_bytes();
    let mut out = Vec::with_capacity(bytes.len().min(MESSAGE_LIMIT));
    let mut at = 0;
    while at < bytes.len() && out.len() < MESSAGE_LIMIT {
        let escape = (bytes[at] == b'%').then(|| bytes.get(at + 1..at + 3)).flatten();
        if let Some(byte) = escape.and_then(hex_byte) {
            out.push(byte);
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8(out).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

fn hex_byte(digits: &[u8]) -> Option<u8> {
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    Some(digit(*digits.first()?)? << 4 | digit(*digits.get(1)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }

    fn status(pairs: &[(&'static str, &'static str)]) -> Option<(Code, String)> {
        from_headers(&headers(pairs)).map(|s| (s.code, s.message))
    }

    #[test]
    fn reads_code_and_message() {
        let read = status(&[("grpc-status", "14"), ("grpc-message", "etcdserver: no leader")]);
        assert_eq!(read, Some((Code::Unavailable, "etcdserver: no leader".to_owned())));
        assert_eq!(status(&[("grpc-status", "0")]), Some((Code::Ok, String::new())));
        assert_eq!(status(&[("grpc-status", "99")]).unwrap().0, Code::Unknown);
        assert_eq!(status(&[("content-type", "application/grpc")]), None);
    }

    // What gRPC may define some day is not lost.
    #[test]
    fn a_code_that_grpc_does_not_define_keeps_its_number() {
        for (number, text) in [("17", "17"), ("99", "99"), ("999999999", "999999999")] {
            let status = headers(&[("grpc-status", number), ("grpc-message", "odd")]);
            let status = from_headers(&status).unwrap();
            assert_eq!((status.code, status.message.as_str()), (Code::Unknown, "odd"));
            assert_eq!(status.number().to_string(), text);
            assert_eq!(status.to_string(), format!("Unknown (grpc-status {text}): odd"));
        }
        for code in Code::ALL {
            let status = Status::new(code, "x");
            assert_eq!(status.number(), u32::from(code.number()));
            assert_eq!(status.to_string(), format!("{code:?}: x"));
        }
    }

    // E34: a status that cannot be read is never success.
    #[test]
    fn a_malformed_or_doubled_status_is_unknown() {
        for bad in ["", "x", "-0", "+0", "0x0", "00000000000", " 0"] {
            assert_eq!(status(&[("grpc-status", bad)]).unwrap().0, Code::Unknown, "{bad:?}");
        }
        assert_eq!(status(&[("grpc-status", "0"), ("grpc-status", "0")]).unwrap().0, Code::Unknown);
    }

    // E38
    #[test]
    fn percent_decoding_keeps_invalid_escapes() {
        let cases = [
            ("a%20b", "a b"),
            ("%e2%82%ac", "€"),
            ("100%", "100%"),
            ("%2", "%2"),
            ("%zz%41", "%zzA"),
            ("%ff", "\u{fffd}"),
            ("%%41", "%A"),
        ];
        for (encoded, decoded) in cases {
            let (_, message) =
                from_headers(&headers(&[("grpc-status", "2"), ("grpc-message", encoded)]))
                    .map(|s| (s.code, s.message))
                    .unwrap();
            assert_eq!(message, decoded);
        }
    }

    // E28–E31
    #[test]
    fn http_answers_map_to_codes() {
        let grpc = headers(&[("content-type", "application/grpc")]);
        let table = [
            (400, Code::Internal),
            (401, Code::Unauthenticated),
            (403, Code::PermissionDenied),
            (404, Code::Unimplemented),
            (429, Code::Unavailable),
            (500, Code::Unknown),
            (502, Code::Unavailable),
            (503, Code::Unavailable),
            (504, Code::Unavailable),
            (204, Code::Unknown),
        ];
        for (http, code) in table {
            let http = StatusCode::from_u16(http).unwrap();
            assert_eq!(from_http(http, &grpc).unwrap().code, code, "{http}");
        }
        assert_eq!(from_http(StatusCode::OK, &grpc), None);
        for (content, is_grpc) in [
            ("application/grpc+proto", true),
            ("application/grpc; charset=utf-8", true),
            ("application/grpcx", false),
            ("text/html", false),
        ] {
            let headers = headers(&[("content-type", content)]);
            assert_eq!(from_http(StatusCode::OK, &headers).is_none(), is_grpc, "{content}");
        }
        let text = |http: StatusCode, headers: &HeaderMap| {
            from_http(http, headers).map(|status| status.to_string())
        };
        assert_eq!(
            text(StatusCode::OK, &headers(&[("content-type", "text/html")])).as_deref(),
            Some("Unknown: not an answer of gRPC: HTTP 200 OK, content-type \"text/html\"")
        );
        assert_eq!(
            text(StatusCode::BAD_GATEWAY, &HeaderMap::new()).as_deref(),
            Some("Unavailable: not an answer of gRPC: HTTP 502 Bad Gateway, no content-type")
        );
    }

    // E22–E27
    #[test]
    fn reset_codes_map_to_codes() {
        use Code::{Canceled, Internal, PermissionDenied, ResourceExhausted, Unavailable, Unknown};
        let table = [
            Internal,
            Internal,
            Internal,
            ResourceExhausted,
            Internal,
            Internal,
            Internal,
            Unavailable,
            Canceled,
            Internal,
            Internal,
            ResourceExhausted,
            PermissionDenied,
            Internal,
            Unknown,
        ];
        for (reason, code) in (0..).zip(table) {
            assert_eq!(Status::from_reset(reason).code, code, "{reason:#x}");
        }
    }

    #[test]
    fn long_and_hostile_messages_are_tamed() {
        let status = Status::new(Code::Unknown, "é".repeat(MESSAGE_LIMIT));
        assert!(status.message.len() <= MESSAGE_LIMIT);
        let forged = Status::new(Code::Unknown, "x\n2026 INFO all is well\u{1b}[2J");
        assert!(!forged.to_string().contains(['\n', '\u{1b}']));
    }
}
