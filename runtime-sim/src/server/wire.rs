//! Messages and statuses of gRPC on a stream of h2.

use bytes::Bytes;
use etcd3::Status;
use etcd3_core::frame::{self, Decoder};
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderValue};
use std::future::poll_fn;
use std::time::Duration;

/// The longest answer that is framed.
const NO_LIMIT: usize = u32::MAX as usize;

/// The messages of a request, one after the other.
pub(super) struct Messages {
    body: RecvStream,
    decoder: Decoder,
}

impl Messages {
    pub(super) fn new(body: RecvStream) -> Self {
        Self { body, decoder: Decoder::new(NO_LIMIT) }
    }

    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, h2::Error> {
        loop {
            if let Ok(Some(message)) = self.decoder.next_message() {
                return Ok(Some(message));
            }
            let Some(chunk) = self.body.data().await else { return Ok(None) };
            let chunk = chunk?;
            self.body.flow_control().release_capacity(chunk.len())?;
            self.decoder.push(chunk);
        }
    }
}

/// Sends a message as the window of the stream allows.
pub(super) async fn send_all(
    send: &mut SendStream<Bytes>,
    mut bytes: Bytes,
) -> Result<(), h2::Error> {
    while !bytes.is_empty() {
        send.reserve_capacity(bytes.len());
        let Some(granted) = poll_fn(|cx| send.poll_capacity(cx)).await else { return Ok(()) };
        let part = bytes.split_to(granted?.min(bytes.len()));
        send.send_data(part, false)?;
    }
    Ok(())
}

pub(super) fn framed(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(frame::HEAD + message.len());
    bytes.push(0);
    bytes.extend(length.to_be_bytes());
    bytes.extend(message);
    bytes.into()
}

pub(super) fn response_head() -> http::Response<()> {
    let mut head = http::Response::new(());
    let grpc = HeaderValue::from_static("application/grpc");
    head.headers_mut().insert(http::header::CONTENT_TYPE, grpc);
    head
}

pub(super) fn trailers(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from(u16::from(status.code.number())));
    if let Ok(message) = HeaderValue::from_str(&status.message)
        && !status.message.is_empty()
    {
        trailers.insert("grpc-message", message);
    }
    trailers
}

/// Answers with a status and nothing else.
pub(super) fn refuse(respond: &mut SendResponse<Bytes>, status: &Status) -> Result<(), h2::Error> {
    let mut head = response_head();
    head.headers_mut().extend(trailers(status));
    respond.send_response(head, true).map(drop)
}

/// Reads a `grpc-timeout`.
pub(super) fn timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "n" => Duration::from_nanos(count),
        "u" => Duration::from_micros(count),
        "m" => Duration::from_millis(count),
        "S" => Duration::from_secs(count),
        "M" => Duration::from_secs(count.saturating_mul(60)),
        "H" => Duration::from_secs(count.saturating_mul(3600)),
        _ => return None,
    })
}
