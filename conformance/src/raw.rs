//! A stream of the API, driven by hand: for what the client does not offer yet.

use crate::Ctx;
use etcd3::runtime::Target;
use etcd3::{Bytes, Status};
use etcd3_core::endpoint::Endpoint;
use etcd3_core::metadata::{Metadata, request_head};
use etcd3_core::method::Method;
use etcd3_core::status;
use futures_lite::FutureExt;
use std::error::Error;
use std::future::poll_fn;
use std::net::SocketAddr;

/// Opens a stream on one member, sends one message, and says with which status the stream ended.
///
/// # Errors
///
/// When it did not end in a status.
pub async fn refusal_of_stream(
    ctx: &Ctx,
    member: SocketAddr,
    method: &Method,
    message: Bytes,
) -> Result<Status, Box<dyn Error + Send + Sync>> {
    let io = ctx.rt.connect(&Target::Tcp(member)).await?;
    let (requests, connection) = h2::client::handshake(io).await?;
    let endpoint: Endpoint = member.to_string().parse()?;
    let exchange = async {
        let mut requests = requests.ready().await?;
        let head =
            request_head(endpoint.scheme(), endpoint.authority(), method, Metadata::default());
        let (response, mut send) = requests.send_request(head, false)?;
        send.send_data(message, false)?;
        let (head, mut body) = response.await?.into_parts();
        if let Some(status) = status::from_headers(&head.headers) {
            return Ok(status);
        }
        while let Some(chunk) = body.data().await {
            body.flow_control().release_capacity(chunk?.len())?;
        }
        let trailers = poll_fn(|cx| body.poll_trailers(cx)).await?.ok_or("no trailers")?;
        status::from_headers(&trailers).ok_or_else(|| "no status".into())
    };
    exchange.or(async { Err(format!("the connection ended: {:?}", connection.await).into()) }).await
}
