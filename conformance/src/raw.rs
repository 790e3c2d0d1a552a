//! A stream of the API, driven by hand: for what the client does not offer yet.

use crate::{BoxError, Ctx};
use etcd3::runtime::Target;
use etcd3::{Bytes, Status};
use etcd3_core::endpoint::Endpoint;
use etcd3_core::frame::{self, Decoder};
use etcd3_core::metadata::{Metadata, request_head};
use etcd3_core::method::Method;
use etcd3_core::status;
use h2::client::ResponseFuture;
use h2::{RecvStream, SendStream};
use prost::Message;
use std::future::poll_fn;
use std::net::SocketAddr;

/// The longest message, in bytes.
const MAX_MESSAGE: usize = 1 << 20;

/// A stream on a connection of its own. Nothing opens it again.
pub struct OneStream {
    send: SendStream<Bytes>,
    /// `None` once the head is there.
    response: Option<ResponseFuture>,
    body: Option<RecvStream>,
    decoder: Decoder,
}

impl OneStream {
    /// Connects to a member, and opens a stream there.
    ///
    /// # Errors
    ///
    /// When the connection cannot be made.
    pub async fn open(
        ctx: &Ctx,
        member: SocketAddr,
        method: &Method,
        metadata: Metadata,
    ) -> Result<Self, BoxError> {
        let io = ctx.rt.connect(&Target::Tcp(member)).await?;
        let (requests, connection) = h2::client::handshake(io).await?;
        // Ends with the stream, or with its server.
        drop(ctx.spawn(connection));
        let endpoint: Endpoint = member.to_string().parse()?;
        let mut requests = requests.ready().await?;
        let head = request_head(endpoint.scheme(), endpoint.authority(), method, metadata);
        let (response, send) = requests.send_request(head, false)?;
        let decoder = Decoder::new(MAX_MESSAGE);
        Ok(Self { send, response: Some(response), body: None, decoder })
    }

    /// Sends a message; to nobody, if the stream has ended: [`next`](Self::next) says how.
    ///
    /// # Errors
    ///
    /// When the message is too long.
    pub fn send(&mut self, message: &impl Message) -> Result<(), BoxError> {
        let _ = self.send.send_data(frame::encode(message, MAX_MESSAGE)?, false);
        Ok(())
    }

    /// Waits for the next message, or the status in which the stream ends.
    ///
    /// # Errors
    ///
    /// When it does not end in a status.
    pub async fn next(&mut self) -> Result<Result<Bytes, Status>, BoxError> {
        if let Some(response) = self.response.take() {
            let (head, body) = response.await?.into_parts();
            if let Some(status) = status::from_headers(&head.headers) {
                return Ok(Err(status));
            }
            self.body = Some(body);
        }
        let body = self.body.as_mut().ok_or("it has ended")?;
        loop {
            if let Some(message) = self.decoder.next_message()? {
                return Ok(Ok(message));
            }
            let Some(chunk) = body.data().await else { break };
            let chunk = chunk?;
            body.flow_control().release_capacity(chunk.len())?;
            self.decoder.push(chunk);
        }
        let trailers = poll_fn(|cx| body.poll_trailers(cx)).await?.ok_or("no trailers")?;
        Ok(Err(status::from_headers(&trailers).ok_or("no status")?))
    }
}

/// Opens a stream on one member, sends one message, and says with which status the stream ended.
///
/// # Errors
///
/// When it did not end in a status.
pub async fn refusal_of_stream(
    ctx: &Ctx,
    member: SocketAddr,
    method: &Method,
    message: &impl Message,
) -> Result<Status, BoxError> {
    let mut stream = OneStream::open(ctx, member, method, Metadata::default()).await?;
    stream.send(message)?;
    loop {
        if let Err(status) = stream.next().await? {
            return Ok(status);
        }
    }
}
