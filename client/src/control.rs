//! The control task: carries out what the channel asks, and wakes calls at their deadlines.

use crate::dial::{self, Dialled};
use crate::shared::Shared;
use etcd3_core::channel::{Broken, ConnectionId, EndpointId, Input, Output};
use etcd3_core::error::{Cause, ConnectFailure};
use etcd3_core::{Machine, Next};
use futures_lite::FutureExt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;

/// Runs until the client closes.
pub(crate) async fn run(shared: Arc<Shared>) {
    loop {
        let kicked = shared.kicked();
        if shared.is_closed() {
            return;
        }
        let now = shared.rt.now();
        match shared.channel(|channel| channel.poll(now)) {
            Next::Do(Output::Dial(endpoint, connection)) => {
                shared.spawn(connect(Arc::clone(&shared), endpoint, connection));
            }
            Next::Do(Output::Changed) => shared.notify_changed(),
            Next::Wait(until) => match shared.timers.fire(now, until) {
                None => kicked.await,
                Some(until) => kicked.or(shared.rt.sleep_until(until)).await,
            },
        }
    }
}

/// One connection, from dialling to its end.
async fn connect(shared: Arc<Shared>, endpoint: EndpointId, connection: ConnectionId) {
    let life = async {
        let Some(place) = shared.endpoint(endpoint) else { return };
        match dial::dial(&shared, place).await {
            Ok(dialled) => {
                tracing::info!(endpoint = %place, "connected");
                let broken = serve(&shared, connection, dialled).await;
                tracing::info!(endpoint = %place, cause = ?broken.cause, "disconnected");
                shared.tell(Input::Ended(connection, broken));
            }
            Err(broken) => {
                tracing::info!(endpoint = %place, failure = %broken.failure, "cannot connect");
                shared.tell(Input::Failed(connection, broken));
            }
        }
    };
    life.or(shared.closed()).await;
    shared.remove_connection(connection);
}

/// Drives a connection until it ends, and says why it did.
async fn serve(shared: &Shared, id: ConnectionId, dialled: Dialled) -> Broken {
    shared.add_connection(id, dialled.requests);
    shared.tell(Input::Connected(id));
    let mut connection = dialled.connection;
    let mut places = connection.max_concurrent_send_streams();
    let result = poll_fn(|cx| {
        let ended = Pin::new(&mut connection).poll(cx);
        let now = connection.max_concurrent_send_streams();
        if std::mem::replace(&mut places, now) < now {
            shared.notify_changed();
        }
        ended
    })
    .await;
    shared.remove_connection(id);
    let cause = match result {
        Ok(()) => Cause::new(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the server closed the connection",
        )),
        Err(error) => Cause::new(error),
    };
    Broken { failure: ConnectFailure::ClosedByPeer, cause: Some(cause) }
}
