//! Headers and trailers to statuses, and statuses to decisions (E22–E38, I-R2).

use arbitrary::Arbitrary;
use etcd3_core::method::Effect;
use etcd3_core::retry::{self, Failure, RetryAction};
use etcd3_core::status::{self, MESSAGE_LIMIT};
use etcd3_core::{Code, Error, Outcome, ServerError, Status};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

#[derive(Debug, Arbitrary)]
struct Input {
    headers: Vec<(Name, Vec<u8>)>,
    /// The values are repeated so often, to be long.
    repeat: u8,
    http: u16,
    reset: u32,
    text: String,
    code: u8,
    require_leader: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
enum Name {
    Status,
    Message,
    ContentType,
    Other,
}

/// Whatever the headers are, there is one status, and success only where it is plainly said.
pub fn status(data: &[u8]) {
    let Some(input) = crate::input::<Input>(data) else { return };
    let headers = headers_of(&input);
    check_headers(&headers);
    check_http(&headers, input.http);
    judge(&Status::from_reset(input.reset), input.require_leader);
    check_text(Code::from_number(input.code.into()), &input.text, input.require_leader);
}

fn headers_of(input: &Input) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in &input.headers {
        let value = value.repeat(1 + usize::from(input.repeat));
        let name = HeaderName::from_static(match name {
            Name::Status => "grpc-status",
            Name::Message => "grpc-message",
            Name::ContentType => "content-type",
            Name::Other => "grpc-status-details-bin",
        });
        if let Ok(value) = HeaderValue::from_bytes(&value) {
            headers.append(name, value);
        }
    }
    headers
}

/// E34: the code is that of the one status that is a plain number; anything else is unknown.
fn check_headers(headers: &HeaderMap) {
    let codes: Vec<_> = headers.get_all("grpc-status").iter().map(HeaderValue::as_bytes).collect();
    let read = status::from_headers(headers);
    assert_eq!(read.is_none(), codes.is_empty(), "no status is no success");
    let Some(read) = read else { return };
    let expected = match &codes[..] {
        [code] if (1..=9).contains(&code.len()) && code.iter().all(u8::is_ascii_digit) => {
            let digit = |number: u32, digit: &u8| number * 10 + u32::from(digit - b'0');
            Some(code.iter().fold(0, digit))
        }
        _ => None,
    };
    assert_eq!(read.code, expected.map_or(Code::Unknown, Code::from_number));
    assert_eq!(read.number(), expected.unwrap_or(Code::Unknown.number().into()));
    assert!(read.message.len() <= MESSAGE_LIMIT);
    let message = headers.get("grpc-message").map_or(&b""[..], HeaderValue::as_bytes);
    if expected.is_some() && message.len() <= MESSAGE_LIMIT / 3 {
        assert_eq!(read.message, String::from_utf8_lossy(&decoded(message)), "E38");
    }
    judge(&read, false);
}

/// Undoes percent-encoding, one escape after the other; what is none is kept.
fn decoded(mut text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let [first, rest @ ..] = text {
        let digits = rest.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let is_hex = |digits: &&str| digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let byte = digits.filter(is_hex).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        if let (b'%', Some(byte)) = (first, byte) {
            out.push(byte);
            text = &rest[2..];
        } else {
            out.push(*first);
            text = rest;
        }
    }
    out
}

/// E28–E31: only 200 with the content type of gRPC is read as gRPC.
fn check_http(headers: &HeaderMap, http: u16) {
    let Ok(http) = StatusCode::from_u16(http) else { return };
    for http in [http, StatusCode::OK] {
        let content = headers.get("content-type").map_or(&b""[..], HeaderValue::as_bytes);
        let is_grpc = content == b"application/grpc"
            || content.starts_with(b"application/grpc+")
            || content.starts_with(b"application/grpc;");
        let read = status::from_http(http, headers);
        assert_eq!(read.is_none(), http == StatusCode::OK && is_grpc);
        if let Some(read) = read {
            assert_ne!(read.code, Code::Ok);
            judge(&read, false);
        }
    }
}

/// E38: a text survives the way over the wire, and no text breaks anything.
fn check_text(code: Code, text: &str, require_leader: bool) {
    let made = Status::new(code, text);
    assert!(text.starts_with(&made.message) && made.message.len() <= MESSAGE_LIMIT);
    let escape = |text: String, byte| text + &format!("%{byte:02x}");
    let escaped = made.message.bytes().fold(String::new(), escape);
    let headers: HeaderMap =
        [("grpc-status", code.number().to_string()), ("grpc-message", escaped)]
            .into_iter()
            .filter_map(|(name, value)| Some((name.parse().ok()?, value.parse().ok()?)))
            .collect();
    let read = if code == Code::Ok { Status::new(code, "") } else { made.clone() };
    assert_eq!(status::from_headers(&headers), Some(read));
    judge(&made, require_leader);
}

/// I-R1, I-R2: there is a decision on everything, and a write of unknown outcome is final.
fn judge(status: &Status, require_leader: bool) {
    let failure = Failure::Status { status, require_leader, request_len: Some(7) };
    let decision = |effect| retry::decide(effect, failure);
    let (read, write) = (decision(Effect::Read), decision(Effect::Write));
    assert_eq!(read.outcome, write.outcome);
    assert_eq!(decision(Effect::IdempotentWrite), read);
    assert_ne!(write.outcome, Outcome::NotSent, "a server has answered");
    assert!(write.outcome != Outcome::Unknown || write.action == RetryAction::None);
    let error = Error::from_status(status.clone(), write.outcome);
    assert_eq!(error.server_error(), ServerError::from_status(status));
    assert!(!error.report().to_string().contains(char::is_control));
}
