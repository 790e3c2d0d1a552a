//! The messages of a call, as gRPC has them on HTTP/2.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use etcd3_bench::Result;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderValue, Response};
use prost::Message;

const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/grpc");
const OK: HeaderValue = HeaderValue::from_static("0");
const UNIMPLEMENTED: HeaderValue = HeaderValue::from_static("12");

/// The messages of the client.
pub(crate) struct Requests {
    body: RecvStream,
    unread: BytesMut,
}

/// The messages to the client.
pub(crate) struct Replies(SendStream<Bytes>);

impl Requests {
    pub(crate) fn new(body: RecvStream) -> Self {
        Self { body, unread: BytesMut::new() }
    }

    /// Waits for a message; `None` when the client has said all.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            if let Some(message) = self.take() {
                return Ok(Some(message));
            }
            let Some(data) = self.body.data().await.transpose()? else { return Ok(None) };
            self.body.flow_control().release_capacity(data.len())?;
            self.unread.extend_from_slice(&data);
        }
    }

    fn take(&mut self) -> Option<Bytes> {
        let prefix = self.unread.get(1..5)?;
        let length = prefix.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        if self.unread.len() < 5 + length {
            return None;
        }
        self.unread.advance(5);
        Some(self.unread.split_to(length).freeze())
    }
}

impl Replies {
    /// Sends the head of the answer.
    pub(crate) fn begin(mut respond: SendResponse<Bytes>) -> Result<Self> {
        Ok(Self(respond.send_response(response(), false)?))
    }

    /// Sends a message that has its prefix.
    pub(crate) fn send(&mut self, framed: Bytes) -> Result<()> {
        Ok(self.0.send_data(framed, false)?)
    }

    /// Ends the answer well.
    pub(crate) fn end(mut self) -> Result<()> {
        let mut trailers = HeaderMap::with_capacity(1);
        trailers.insert("grpc-status", OK);
        Ok(self.0.send_trailers(trailers)?)
    }
}

/// Answers that there is no such method.
pub(crate) fn refuse(mut respond: SendResponse<Bytes>) -> Result<()> {
    let mut head = response();
    head.headers_mut().insert("grpc-status", UNIMPLEMENTED);
    respond.send_response(head, true)?;
    Ok(())
}

/// Encodes a message, with its prefix.
pub(crate) fn framed(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(length + 5);
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    // A buffer grows; it is never too small.
    let _ = message.encode(&mut bytes);
    bytes.freeze()
}

fn response() -> Response<()> {
    let mut response = Response::new(());
    response.headers_mut().insert("content-type", CONTENT_TYPE);
    response
}
