//! What a server says.

use etcd3_core::lease::Known;
use etcd3_core::proto::etcdserverpb::{LeaseKeepAliveResponse, ResponseHeader};
use etcd3_core::transport::{Event, Lost};
use etcd3_core::{Bytes, Instant, Outcome, ServerError, frame};
use http::{HeaderMap, HeaderValue, StatusCode};
use std::time::Duration;

pub(crate) const CLUSTER: u64 = 7;

/// What is known of a lease that was granted just now, by a request sent at this moment.
pub(crate) fn granted(sent: Instant, ttl: u64) -> Known {
    let ttl = Duration::from_secs(ttl);
    Known { ttl: Some(ttl), until: Some(sent + ttl), is_new: true, cluster_id: CLUSTER }
}

pub(crate) fn head() -> Event {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/grpc"));
    Event::Head { status: StatusCode::OK, headers }
}

pub(crate) fn end(error: ServerError) -> Event {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", u16::from(error.code().number()).into());
    trailers.insert("grpc-message", HeaderValue::from_static(error.text()));
    Event::End(Some(trailers))
}

pub(crate) const fn lost() -> Event {
    Event::Lost(Lost { outcome: Outcome::Unknown, reset: None, cause: None })
}

pub(crate) fn answer(cluster_id: u64, id: i64, ttl: i64) -> Bytes {
    let header = Some(ResponseHeader { cluster_id, revision: 5, ..Default::default() });
    let response = LeaseKeepAliveResponse { header, id, ttl };
    frame::encode(&response, usize::MAX).expect("a frame")
}
