//! The health service of gRPC: the server serves, and that is all it says.

use super::{About, Messages, Service, framed, refuse, response_head, trailers};
use bytes::Bytes;
use etcd3::proto::health::{HealthCheckRequest, HealthCheckResponse};
use etcd3::{Code, Status};
use h2::RecvStream;
use h2::server::SendResponse;
use prost::Message;
use std::future::pending;

pub(super) const CHECK: &str = "/grpc.health.v1.Health/Check";
pub(super) const WATCH: &str = "/grpc.health.v1.Health/Watch";

/// `SERVING`, and `SERVICE_UNKNOWN`.
const STATUS: [i32; 2] = [1, 3];

impl Service {
    /// Answers a check, or a watch, which never changes.
    pub(super) async fn health(
        &self,
        _: About,
        body: RecvStream,
        mut respond: SendResponse<Bytes>,
        is_watch: bool,
    ) -> Result<(), h2::Error> {
        let Some(message) = Messages::new(body).next().await? else { return Ok(()) };
        let asked = HealthCheckRequest::decode(message).unwrap_or_default();
        // It knows itself only, which has no name.
        let is_known = asked.service.is_empty();
        if !is_known && !is_watch {
            return refuse(&mut respond, &Status::new(Code::NotFound, "unknown service"));
        }
        let status = if is_known { STATUS[0] } else { STATUS[1] };
        let answer = HealthCheckResponse { status }.encode_to_vec();
        let mut send = respond.send_response(response_head(), false)?;
        send.send_data(framed(&answer), false)?;
        if is_watch {
            return pending().await;
        }
        send.send_trailers(trailers(&Status::new(Code::Ok, "")))
    }
}
