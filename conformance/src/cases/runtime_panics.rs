//! A runtime that panics: under the control task of a client, and under one of its connections.

use crate::{Case, CaseResult, Ctx, case};
use etcd3::runtime::{BoxFuture, Instant, Io, Runtime, Target};
use etcd3::{Client, Config, EndpointState, ErrorKind, Outcome};
use futures_lite::FutureExt;
use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

pub(super) const CASES: &[Case] = &[
    case!(a_control_task_that_panics_ends_the_client, []).any_version(),
    case!(a_connection_that_panics_is_made_again, []).any_version(),
];

/// A runtime that panics when it is told to.
struct Panicking {
    inner: Arc<dyn Runtime>,
    /// Whether a panic has to be caught here, since it would end the whole simulation.
    is_caught: bool,
    in_sleep: AtomicBool,
    /// How many connects are to panic yet.
    in_connect: AtomicU32,
}

impl Panicking {
    fn of(ctx: &Ctx) -> Arc<Self> {
        Arc::new(Self {
            inner: Arc::clone(&ctx.rt),
            is_caught: ctx.etcd.is_model(),
            in_sleep: AtomicBool::new(false),
            in_connect: AtomicU32::new(0),
        })
    }
}

impl Runtime for Panicking {
    fn now(&self) -> Instant {
        self.inner.now()
    }

    fn seed(&self) -> u64 {
        self.inner.seed()
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()> {
        assert!(!self.in_sleep.load(Ordering::SeqCst), "a panic that the test wants");
        self.inner.sleep_until(at)
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        if self.is_caught {
            let caught = AssertUnwindSafe(task).catch_unwind();
            self.inner.spawn(Box::pin(async move { drop(caught.await) }));
        } else {
            self.inner.spawn(task);
        }
    }

    fn resolve<'a>(
        &'a self,
        host: &'a str,
        port: u16,
    ) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        self.inner.resolve(host, port)
    }

    fn connect<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, io::Result<Box<dyn Io>>> {
        let left = self.in_connect.load(Ordering::SeqCst);
        self.in_connect.store(left.saturating_sub(1), Ordering::SeqCst);
        assert!(left == 0, "a panic that the test wants");
        self.inner.connect(target)
    }

    fn suspended(&self) -> Duration {
        self.inner.suspended()
    }

    fn unix_time(&self) -> Option<Duration> {
        self.inner.unix_time()
    }
}

/// Calls under way and later ones end at once, and the client says why.
async fn a_control_task_that_panics_ends_the_client(ctx: Ctx) -> CaseResult {
    let server = ctx.server().await?;
    let runtime = Panicking::of(&ctx);
    let on = Arc::clone(&runtime) as Arc<dyn Runtime>;
    let client = Client::connect_on(on, Config::new([server.client_url()])).await?;
    client.put("key", "value").await?;
    let mut changes = client.health_changes();
    changes.next().await.ok_or("no health")?;
    server.stop()?;
    let call = client.clone();
    let pending = ctx.spawn(async move { call.put("key", "value").await });
    while client.health().endpoints[0].calls == 0 {
        ctx.pause(Duration::from_millis(1)).await;
    }
    runtime.in_sleep.store(true, Ordering::SeqCst);
    // Its deadline is before that of the first one, so that the control task sleeps anew.
    let call = client.clone();
    let other = ctx.spawn(async move { call.get("key").timeout(Duration::from_secs(9)).await });
    for (task, what) in [(pending.await.map(drop), "put"), (other.await.map(drop), "get")] {
        let error = task.unwrap_err();
        assert_eq!(
            (error.kind(), error.outcome()),
            (ErrorKind::RuntimeEnded, Outcome::Unknown),
            "{what}: {error}"
        );
    }
    let late = client.get("key").await.unwrap_err();
    assert_eq!((late.kind(), late.outcome()), (ErrorKind::RuntimeEnded, Outcome::NotSent));
    assert!(client.is_closed());
    assert_eq!(client.health().endpoints[0].state, EndpointState::Closed);
    while changes.next().await.is_some() {}
    client.close().await;
    server.cont()?;
    Ok(())
}

/// It costs a dial, and is told as its cause.
async fn a_connection_that_panics_is_made_again(ctx: Ctx) -> CaseResult {
    let server = ctx.server().await?;
    let runtime = Panicking::of(&ctx);
    runtime.in_connect.store(2, Ordering::SeqCst);
    let on = Arc::clone(&runtime) as Arc<dyn Runtime>;
    let error =
        Client::connect_on(on, Config::new([server.client_url()])).await.map(drop).unwrap_err();
    assert!(format!("{error:?}").contains("panicked"), "{error:?}");
    let client = Client::connect_lazy_on(runtime, Config::new([server.client_url()]))?;
    client.put("key", "value").await?;
    assert_eq!(client.health().endpoints[0].state, EndpointState::Ready);
    Ok(())
}
