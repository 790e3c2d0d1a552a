//! Whether a server says that it serves: the health service of gRPC.

use crate::request::{Limits, operation};
use crate::{Error, frame};
use bytes::Bytes;
use etcd3_proto::health as pb;
use etcd3_proto::health::HealthCheckRequest;
use prost::Message;

/// A question to one server whether it serves: `grpc.health.v1.Health/Check`.
///
/// etcd answers for the whole server, from its start on, and says no only while it defragments, and
/// only with `--feature-gates=StopGRPCServiceOnDefrag=true`, before 3.6
/// `--experimental-stop-grpc-service-on-defrag`. It says nothing about a leader or a quorum: a read
/// does.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HealthCheck {
    request: HealthCheckRequest,
}

/// Asks a server whether it serves.
#[must_use]
pub fn health_check() -> HealthCheck {
    HealthCheck::default()
}

/// What a server says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
#[non_exhaustive]
pub enum Serving {
    /// It serves.
    Yes,
    /// It does not serve for now.
    No,
    /// It does not say.
    #[default]
    Unknown,
}

impl From<pb::HealthCheckResponse> for Serving {
    fn from(answer: pb::HealthCheckResponse) -> Self {
        use pb::health_check_response::ServingStatus as Told;
        match answer.status() {
            Told::Serving => Self::Yes,
            Told::NotServing => Self::No,
            Told::Unknown | Told::ServiceUnknown => Self::Unknown,
        }
    }
}

operation!(HealthCheck: health::HealthCheckRequest => HealthCheckResponse => Serving);

/// Encodes the request of `grpc.health.v1.Health/Watch`, with its gRPC head.
///
/// # Errors
///
/// None, as far as is known.
pub fn health_watch() -> Result<Bytes, Error> {
    let limit = Limits::default().max_request_bytes;
    frame::encode(&HealthCheckRequest::default(), limit).map_err(Error::request_too_large)
}

/// Reads a message of `grpc.health.v1.Health/Watch`.
///
/// # Errors
///
/// Kind [`Protocol`](crate::ErrorKind::Protocol) when it is none.
pub fn served(message: Bytes) -> Result<Serving, Error> {
    pb::HealthCheckResponse::decode(message).map(Serving::from).map_err(Error::protocol)
}
