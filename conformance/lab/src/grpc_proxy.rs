//! etcd's own proxy, `etcd grpc-proxy`: a server of the same API that is a client of the members.

use crate::daemon::{Daemon, LIMIT};
use crate::etcd::Binary;
use crate::proc::unsupported_architecture;
use crate::{Result, http, until};
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

/// The log line of a proxy that has its port, in all versions.
const LISTENING: &str = "listening for gRPC proxy client requests";

/// The limit of one request for the proxy's own pages.
const HTTP_LIMIT: Duration = Duration::from_secs(2);

/// A process of `etcd grpc-proxy`, on a loopback port of its own.
///
/// It ends, and its files go, with this value or with the process that started it.
#[derive(Debug)]
pub struct GrpcProxy {
    daemon: Daemon,
    binary: Binary,
    endpoints: String,
}

impl GrpcProxy {
    /// Starts the proxy of this version in front of these members, given as `http://` endpoints,
    /// and waits until a read through it succeeds.
    ///
    /// # Errors
    ///
    /// Fails with the end of its log when it does not start, or the members do not answer it.
    pub fn start<E: Into<String>>(
        binary: &Binary,
        endpoints: impl IntoIterator<Item = E>,
    ) -> Result<Self> {
        let endpoints: Vec<String> = endpoints.into_iter().map(Into::into).collect();
        let (daemon, binary) = (Daemon::new("grpc-proxy")?, binary.clone());
        let proxy = Self { daemon, binary, endpoints: endpoints.join(",") };
        proxy.restart()?;
        Ok(proxy)
    }

    /// Returns the address to connect to.
    pub fn addr(&self) -> SocketAddr {
        self.daemon.addr()
    }

    /// Returns the address as an endpoint of a client.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr())
    }

    /// Ends the process at once.
    ///
    /// # Errors
    ///
    /// Fails when it does not end.
    pub fn kill(&self) -> Result<()> {
        self.daemon.kill()
    }

    /// Starts the proxy again at the same port, and waits until a read through it succeeds; kills
    /// it first if it runs.
    ///
    /// # Errors
    ///
    /// As [`GrpcProxy::start`].
    pub fn restart(&self) -> Result<()> {
        let mut etcd = Command::new(&self.binary.path);
        if let Some(name) = unsupported_architecture() {
            etcd.env("ETCD_UNSUPPORTED_ARCH", name);
        }
        let (addr, endpoints) = (self.addr(), &self.endpoints);
        etcd.args(["grpc-proxy", "start"]).arg(format!("--endpoints={endpoints}"));
        etcd.arg(format!("--listen-addr={addr}")).arg(format!("--advertise-client-url={addr}"));
        etcd.arg("--data-dir=data").current_dir(self.daemon.folder());
        self.daemon.launch(&etcd, LISTENING)?;
        until(LIMIT, "a read through grpc-proxy", || Ok(self.is_healthy().then_some(())))
    }

    /// Tells whether the process exists.
    pub fn is_running(&self) -> bool {
        self.daemon.is_running()
    }

    /// Returns all that the proxy has written, over all restarts.
    pub fn log(&self) -> String {
        self.daemon.log()
    }

    /// Asks the proxy to read a key of the cluster.
    fn is_healthy(&self) -> bool {
        let said = http::get(self.addr(), "/health", HTTP_LIMIT).and_then(http::Response::ok);
        said.is_ok_and(|said| said.contains("true"))
    }
}
