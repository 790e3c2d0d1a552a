//! Asks a suspect whether it serves again: a linearizable read, which only a member does that has a
//! leader and keeps up.

// B27

use crate::call::{CallOptions, OperationCall};
use crate::shared::Shared;
use etcd3_core::channel::{ConnectionId, EndpointId, HealthSignal, Input};
use etcd3_core::get;
use std::sync::Arc;

/// Reads nothing, and tells the channel how it went.
///
/// The key need not exist, and need not be permitted: a member refuses only after it has made sure
/// of its place in the cluster.
pub(crate) async fn run(shared: Arc<Shared>, endpoint: EndpointId, connection: ConnectionId) {
    let options = CallOptions {
        timeout: Some(shared.config.probe_timeout()),
        only: Some(endpoint),
        connection: Some(connection),
        max_attempts: Some(1),
        is_cleanup: true,
        ..CallOptions::default()
    };
    let read = get([0_u8]).count_only();
    let (_, signal) = OperationCall::new(Arc::clone(&shared), read, options).await;
    shared.pool.feed(Input::Probed(connection, signal == HealthSignal::Healthy));
}
