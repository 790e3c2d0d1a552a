//! The task of a connection.

use bytes::Bytes;
use etcd3_bench::Coalesced;
use h2::client::Connection;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use tokio::net::TcpStream;

type Transport = Coalesced<TcpStream>;

/// The task of a connection: h2's own, and what that does not do.
pub(crate) struct Drive {
    connection: Connection<Transport, Bytes>,
    transport: Transport,
    under_way: Arc<AtomicUsize>,
    has_yielded: bool,
}

impl Drive {
    pub(crate) fn new(
        connection: Connection<Transport, Bytes>,
        transport: Transport,
        under_way: Arc<AtomicUsize>,
    ) -> Self {
        Self { connection, transport, under_way, has_yielded: false }
    }
}

impl Future for Drive {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if !this.has_yielded && this.under_way.load(Ordering::Relaxed) > 1 {
            // Callers that are ready send first; all of it is one write then.
            this.has_yielded = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        this.has_yielded = false;
        if Pin::new(&mut this.connection).poll(cx).is_ready() {
            return Poll::Ready(());
        }
        match ready!(this.transport.poll_drain(cx)) {
            Ok(()) => Poll::Pending,
            Err(_) => Poll::Ready(()),
        }
    }
}
