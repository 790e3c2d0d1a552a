//! A runtime on which nothing happens, for tests.

use crate::Client;
use crate::config::Config;
use crate::runtime::{BoxFuture, Io, Runtime, Target};
use crate::shared::Shared;
use etcd3_core::Instant;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Its clock is set by hand; tasks are dropped, and connecting takes for ever.
#[derive(Default)]
pub(crate) struct Still {
    pub(crate) now: AtomicU64,
}

impl Still {
    /// The state of a client on such a runtime, with these endpoints.
    pub(crate) fn shared(endpoints: &[&str]) -> Arc<Shared> {
        let config = Config::new(endpoints.iter().copied());
        let endpoints = config.parse_endpoints(config.endpoints.texts()).expect("endpoints");
        Arc::new(Shared::new(Arc::new(Self::default()), config, endpoints))
    }
}

impl Still {
    /// A client on such a runtime.
    pub(crate) fn client() -> Client {
        Client::connect_lazy_on(Arc::new(Self::default()), "http://a").expect("an endpoint")
    }
}

impl Runtime for Still {
    fn now(&self) -> Instant {
        Instant::from_nanos(self.now.load(Ordering::Relaxed))
    }

    fn seed(&self) -> u64 {
        7
    }

    fn sleep_until(&self, _: Instant) -> BoxFuture<'static, ()> {
        Box::pin(pending())
    }

    fn spawn(&self, _: BoxFuture<'static, ()>) {}

    fn resolve<'a>(&'a self, _: &'a str, _: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(pending())
    }

    fn connect<'a>(&'a self, _: &'a Target) -> BoxFuture<'a, io::Result<Box<dyn Io>>> {
        Box::pin(pending())
    }
}
