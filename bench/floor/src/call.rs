//! Unary calls, and what gRPC is on HTTP/2.

use crate::Floor;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use etcd3_bench::{Error, Result};
use h2::client::ResponseFuture;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use prost::Message;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The header of a call's status, parsed once: a name that is a text is looked at byte by byte.
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// The length of the prefix of a message, in bytes.
const PREFIX: usize = 5;

/// The paths of the methods, and the headers that all of them have.
#[derive(Debug)]
pub(crate) struct Methods {
    pub(crate) put: Uri,
    pub(crate) range: Uri,
    pub(crate) watch: Uri,
    pub(crate) grant: Uri,
    pub(crate) keep_alive: Uri,
    headers: HeaderMap,
}

impl Methods {
    pub(crate) fn new(authority: &str) -> Result<Self> {
        let at = |method: &str| format!("http://{authority}/etcdserverpb.{method}").parse::<Uri>();
        // What the protocol asks of every call with a deadline: the same as this client sends.
        let mut headers = HeaderMap::with_capacity(5);
        headers.insert("content-type", HeaderValue::from_static("application/grpc"));
        headers.insert("te", HeaderValue::from_static("trailers"));
        headers.insert("user-agent", HeaderValue::from_static("floor/0.1.0"));
        headers.insert("client-api-version", HeaderValue::from_static("3.7"));
        headers.insert("grpc-timeout", HeaderValue::from_static("15000m"));
        Ok(Self {
            put: at("KV/Put")?,
            range: at("KV/Range")?,
            watch: at("Watch/Watch")?,
            grant: at("Lease/LeaseGrant")?,
            keep_alive: at("Lease/LeaseKeepAlive")?,
            headers,
        })
    }
}

/// A call that is counted as long as this lives.
#[derive(Debug)]
pub(crate) struct UnderWay(Arc<AtomicUsize>);

impl UnderWay {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Floor {
    /// Makes a call of one request and one answer.
    pub(crate) async fn unary<Q, A>(&mut self, path: Uri, request: &Q) -> Result<A>
    where
        Q: Message,
        A: Message + Default,
    {
        let body = framed(request);
        let (response, mut stream, _under_way) = self.start(path).await?;
        stream.send_data(body, true)?;
        let mut body = head(response).await?;
        let message = whole(&mut body).await?;
        let trailers = body.trailers().await?.ok_or("no trailers")?;
        check_status(trailers.get(GRPC_STATUS))?;
        Ok(A::decode(message)?)
    }

    /// Begins a call.
    pub(crate) async fn start(
        &mut self,
        path: Uri,
    ) -> Result<(ResponseFuture, SendStream<Bytes>, UnderWay)> {
        poll_fn(|cx| self.send.poll_ready(cx)).await?;
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = path;
        *request.headers_mut() = self.methods.headers.clone();
        let under_way = UnderWay::new(&self.under_way);
        let (response, stream) = self.send.send_request(request, false)?;
        Ok((response, stream, under_way))
    }
}

/// Waits for the head of an answer that has a body.
pub(crate) async fn head(response: ResponseFuture) -> Result<RecvStream> {
    let response = response.await?;
    if response.status() != StatusCode::OK {
        return Err(format!("status {}", response.status()).into());
    }
    if let Some(status) = response.headers().get(GRPC_STATUS) {
        return Err(format!("grpc-status {status:?} without a message").into());
    }
    Ok(response.into_body())
}

/// Waits for the only message of an answer, and for the end of the body.
async fn whole(body: &mut RecvStream) -> Result<Bytes> {
    let mut first = body.data().await.transpose()?.ok_or("no message")?;
    let length = length(&first).ok_or("no prefix")?;
    // Dropping the stream gives back what is left of its windows: no need to do it here.
    if length > first.len() - PREFIX {
        body.flow_control().release_capacity(first.len())?;
        let mut message = BytesMut::with_capacity(length + PREFIX);
        message.extend_from_slice(&first);
        while message.len() < length + PREFIX {
            message.extend_from_slice(&chunk(body).await?.ok_or("half a message")?);
        }
        first = message.freeze();
    }
    if first.len() != length + PREFIX || body.data().await.is_some() {
        return Err("not one whole message".into());
    }
    first.advance(PREFIX);
    Ok(first)
}

/// Waits for data, and gives the window back.
pub(crate) async fn chunk(body: &mut RecvStream) -> Result<Option<Bytes>> {
    let Some(data) = body.data().await.transpose()? else { return Ok(None) };
    body.flow_control().release_capacity(data.len())?;
    Ok(Some(data))
}

/// Reads the prefix of a message that is not compressed.
pub(crate) fn length(bytes: &[u8]) -> Option<usize> {
    match bytes.get(..PREFIX)? {
        &[0, a, b, c, d] => usize::try_from(u32::from_be_bytes([a, b, c, d])).ok(),
        _ => None,
    }
}

/// Encodes a message, with its prefix.
pub(crate) fn framed(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(length + PREFIX);
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    // A buffer grows; it is never too small.
    let _ = message.encode(&mut bytes);
    bytes.freeze()
}

fn check_status(status: Option<&HeaderValue>) -> Result<()> {
    match status.map(HeaderValue::as_bytes) {
        Some(b"0") => Ok(()),
        other => Err(Error::from(format!("grpc-status {other:?}"))),
    }
}
