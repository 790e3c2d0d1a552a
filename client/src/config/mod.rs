//! The configuration of a client.

mod credentials;
mod draft;
mod endpoints;
mod environment;
#[cfg(feature = "config-file")]
mod file;
mod keys;
#[cfg(test)]
mod rows;
mod text;
mod url;

use crate::telemetry::TraceContext;
use crate::tls::{self, TlsConfig};
use crate::tokens::{self, Credentials};
use crate::{Error, ErrorKind};
use endpoints::Endpoints;
use etcd3_core::Version;
use etcd3_core::backoff::Backoff;
use etcd3_core::channel::{PingSettings, Settings};
use etcd3_core::endpoint::{Destination, Endpoint, Security};
use etcd3_core::error::Cause;
use etcd3_core::request::Limits;
use std::time::Duration;

/// How a client connects, how long it waits and what it refuses.
///
/// Everything but the endpoints has a default that is meant for production. A setting that cannot
/// mean anything is refused by its name, in an error of kind [`InvalidConfig`], when the client is
/// made; one that would do harm counts as the nearest that does not, as its method says.
///
/// | setting | default |
/// |---|---|
/// | [`request_timeout`](Self::request_timeout) | 15 s |
/// | [`attempt_timeout`](Self::attempt_timeout) | 3 s |
/// | [`connect_timeout`](Self::connect_timeout) | 5 s |
/// | [`ping_interval`](Self::ping_interval) | 10 s |
/// | [`ping_timeout`](Self::ping_timeout) | 5 s |
/// | [`auto_sync`](Self::auto_sync) | off |
/// | [`min_server_version`](Self::min_server_version) | any |
/// | [`max_attempts`](Self::max_attempts) | 100, within the timeout |
/// | [`retry_backoff_min`](Self::retry_backoff_min) | 25 ms |
/// | [`retry_backoff_max`](Self::retry_backoff_max) | 2 s |
/// | [`reconnect_backoff_min`](Self::reconnect_backoff_min) | 100 ms |
/// | [`reconnect_backoff_max`](Self::reconnect_backoff_max) | 5 s |
/// | [`max_request_bytes`](Self::max_request_bytes) | 2 MiB |
/// | [`max_response_bytes`](Self::max_response_bytes) | 64 MiB |
/// | [`max_txn_ops`](Self::max_txn_ops) | 128 |
/// | [`watch_probe_interval`](Self::watch_probe_interval) | 15 s |
/// | [`stream_window`](Self::stream_window) | 256 KiB |
/// | [`connection_window`](Self::connection_window) | 256 MiB |
/// | [`measure_latencies`](Self::measure_latencies) | off |
///
/// # Examples
///
/// ```
/// use etcd3::Config;
/// use std::time::Duration;
///
/// let config = Config::parse("http://10.0.0.1:2379,http://10.0.0.2:2379")?
///     .request_timeout(Duration::from_secs(5))
///     .auto_sync(Duration::from_secs(60));
/// # let _ = config;
/// assert!(Config::parse("http://10.0.0.1:port").is_err());
/// # Ok::<(), etcd3::Error>(())
/// ```
///
/// [`InvalidConfig`]: ErrorKind::InvalidConfig
#[derive(Debug, Clone)]
pub struct Config {
    pub(crate) endpoints: Endpoints,
    pub(crate) request_timeout: Duration,
    pub(crate) attempt_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) max_attempts: u32,
    pub(crate) retry_backoff: Backoff,
    pub(crate) reconnect_backoff: Backoff,
    pub(crate) keepalive: PingSettings,
    pub(crate) auto_sync: Option<Duration>,
    pub(crate) min_server_version: Option<Version>,
    pub(crate) plaintext_passwords: bool,
    pub(crate) credentials: Option<Credentials>,
    pub(crate) limits: Limits,
    pub(crate) max_response_bytes: usize,
    pub(crate) stream_window: u32,
    pub(crate) connection_window: u32,
    pub(crate) require_leader: bool,
    pub(crate) watch_probe_interval: Duration,
    pub(crate) tls: Option<TlsConfig>,
    pub(crate) measure_latencies: bool,
    pub(crate) trace_context: Option<TraceContext>,
}

/// The largest window that HTTP/2 knows.
const MAX_WINDOW: u32 = (1 << 31) - 1;
/// The smallest window of a stream: one frame. With much less an answer would come byte by byte.
const MIN_STREAM_WINDOW: u32 = 16 << 10;
/// The window of a connection that HTTP/2 begins with.
const MIN_CONNECTION_WINDOW: u32 = (1 << 16) - 1;
/// No message has a longer length on the wire.
const MAX_MESSAGE: usize = u32::MAX as usize;

/// The least of what is raised to it: no member can do better reliably.
const MIN_ATTEMPT: Duration = Duration::from_millis(100);
const MIN_CONNECT: Duration = Duration::from_millis(100);
const MIN_SYNC: Duration = Duration::from_secs(1);
/// The least of what is raised to it: less would keep servers busy.
const MIN_WATCH_PROBE: Duration = Duration::from_secs(1);
/// The least of what is raised to it: less would keep a processor busy, and servers.
const MIN_RETRY: Backoff =
    Backoff { first: Duration::from_millis(1), cap: Duration::from_millis(50) };
const MIN_RECONNECT: Backoff =
    Backoff { first: Duration::from_millis(5), cap: Duration::from_millis(50) };

/// The least of what is refused below it.
const MIN_REQUEST: Duration = Duration::from_millis(1);
const MIN_MESSAGE: usize = 512;

/// Raises a duration to the least that it may be, except for zero, which is refused later.
fn at_least(least: Duration, duration: Duration) -> Duration {
    if duration.is_zero() { duration } else { duration.max(least) }
}

impl Config {
    /// Starts with these endpoints and the defaults.
    ///
    /// An endpoint is `http://host:port`, `https://host:port`, `host:port`, `[v6]:port`,
    /// `unix:path` or `unixs:path`, and on Linux `unix:@name` for an abstract socket; without a
    /// port, 2379 is taken. An IPv6 address stands in brackets, and white space around an endpoint
    /// is left out; see [`Endpoint`]. They are read when the client is made, not here.
    pub fn new<E: Into<String>>(endpoints: impl IntoIterator<Item = E>) -> Self {
        Self {
            endpoints: Endpoints::new(endpoints.into_iter().map(Into::into).collect()),
            request_timeout: Duration::from_secs(15),
            attempt_timeout: Duration::from_secs(3),
            connect_timeout: Duration::from_secs(5),
            max_attempts: 100,
            retry_backoff: Backoff {
                first: Duration::from_millis(25),
                cap: Duration::from_secs(2),
            },
            reconnect_backoff: Backoff {
                first: Duration::from_millis(100),
                cap: Duration::from_secs(5),
            },
            keepalive: PingSettings::default(),
            auto_sync: None,
            min_server_version: None,
            plaintext_passwords: false,
            credentials: None,
            limits: Limits::default(),
            max_response_bytes: 64 << 20,
            stream_window: 256 << 10,
            connection_window: 256 << 20,
            require_leader: false,
            watch_probe_interval: Duration::from_secs(15),
            tls: None,
            measure_latencies: false,
            trace_context: None,
        }
    }

    /// How long a call may take, everything included: waiting for a connection, retries and the
    /// answer. A request's own `timeout` takes precedence over it. Below one millisecond it is
    /// refused.
    #[must_use]
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// How long a read waits for one member to say something before it asks another one; twice as
    /// long after each such attempt. The member counts as suspect then, as it does when it answers
    /// none of its calls for that long, and calls go elsewhere until it answers a read that is made
    /// to see whether it does. Writes that are under way and clients of a single endpoint are not
    /// affected. Below 100 ms it counts as that; zero is refused.
    #[must_use]
    pub fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.attempt_timeout = at_least(MIN_ATTEMPT, timeout);
        self
    }

    /// Sets when a connection is probed by an HTTP/2 PING: after this long without a byte from the
    /// server while a call is open, or with the first call after that. PINGs are never closer than
    /// six seconds, since servers end connections that are pinged more often than every five, and a
    /// connection without calls is never pinged. PINGs cannot be switched off: a long interval
    /// comes near to that.
    // I-C2
    #[must_use]
    pub fn ping_interval(mut self, interval: Duration) -> Self {
        self.keepalive.interval = interval;
        self
    }

    /// Sets how long the answer to an HTTP/2 PING may take before the connection counts as dead.
    /// Below one second it counts as that.
    // I-C2
    #[must_use]
    pub fn ping_timeout(mut self, timeout: Duration) -> Self {
        self.keepalive.timeout = timeout;
        self
    }

    /// Sets how often the client asks the cluster for its members and takes over their endpoints,
    /// as [`Client::sync_endpoints`](crate::Client::sync_endpoints) does; `None`, the default, and
    /// zero mean never. Below one second it counts as that.
    #[must_use]
    pub fn auto_sync(mut self, interval: impl Into<Option<Duration>>) -> Self {
        let interval = interval.into().filter(|interval| !interval.is_zero());
        self.auto_sync = interval.map(|interval| interval.max(MIN_SYNC));
        self
    }

    /// Makes [`Client::connect_on`](crate::Client::connect_on) fail when a member that can be
    /// reached is of an older version than this, such as `(3, 5)`. A lazy client does not look.
    /// Nor is a member refused that does not tell its version to the user of the client, as those
    /// of 3.5.28 to 3.5.31 and 3.6.9 to 3.6.11 do to all but root.
    // B25
    #[must_use]
    pub fn min_server_version(mut self, version: impl Into<Version>) -> Self {
        self.min_server_version = Some(version.into());
        self
    }

    /// Lets requests that carry a password or a token go to endpoints where others on the network
    /// can read it. Without this they go only over TLS, to unix sockets, and to loopback addresses;
    /// elsewhere they end in [`PlaintextPassword`](ErrorKind::PlaintextPassword).
    #[must_use]
    pub fn allow_plaintext_passwords(mut self) -> Self {
        self.plaintext_passwords = true;
        self
    }

    /// How long one attempt to connect may take: name resolution, all addresses, and until the
    /// server has spoken HTTP/2. Below 100 ms it counts as that; zero is refused.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = at_least(MIN_CONNECT, timeout);
        self
    }

    /// Sets how often a call is tried at most, the first time included; 0 counts as 1. Unlike
    /// the timeout, which ends a call, this ends only the retries of one that keeps failing.
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// Sets the shortest wait between attempts of a call, which is doubled from one to the next,
    /// each within 20 % at random. The first retry goes to another endpoint without a wait. Below
    /// one millisecond it counts as that.
    #[must_use]
    pub fn retry_backoff_min(mut self, wait: Duration) -> Self {
        self.retry_backoff.first = wait.max(MIN_RETRY.first);
        self
    }

    /// Sets the longest wait between attempts of a call. Below 50 ms it counts as that.
    #[must_use]
    pub fn retry_backoff_max(mut self, wait: Duration) -> Self {
        self.retry_backoff.cap = wait.max(MIN_RETRY.cap);
        self
    }

    /// Sets the shortest wait between attempts to connect to an endpoint, which is doubled from one
    /// to the next, each within 20 % at random. A connection that held for five seconds starts
    /// anew. Below five milliseconds it counts as that.
    #[must_use]
    pub fn reconnect_backoff_min(mut self, wait: Duration) -> Self {
        self.reconnect_backoff.first = wait.max(MIN_RECONNECT.first);
        self
    }

    /// Sets the longest wait between attempts to connect to an endpoint. Below 50 ms it counts as
    /// that.
    #[must_use]
    pub fn reconnect_backoff_max(mut self, wait: Duration) -> Self {
        self.reconnect_backoff.cap = wait.max(MIN_RECONNECT.cap);
        self
    }

    /// The longest request that is sent, in bytes of the encoded message. A server takes 2 MiB
    /// unless its `--max-request-bytes` says otherwise, and of that 1.5 MiB for a write. At most
    /// 4 GiB - 1; below 512 it is refused.
    #[must_use]
    pub fn max_request_bytes(mut self, bytes: usize) -> Self {
        self.limits.max_request_bytes = bytes.min(MAX_MESSAGE);
        self
    }

    /// The longest answer that is taken, in bytes of the encoded message. At most 4 GiB - 1; below
    /// 512 it is refused.
    #[must_use]
    pub fn max_response_bytes(mut self, bytes: usize) -> Self {
        self.max_response_bytes = bytes.min(MAX_MESSAGE);
        self
    }

    /// Sets how many compares, or operations of a branch, a transaction may have: that of the
    /// server's `--max-txn-ops`. Zero is refused.
    #[must_use]
    pub fn max_txn_ops(mut self, ops: usize) -> Self {
        self.limits.max_txn_ops = ops;
        self
    }

    /// How much of one answer may be under way unread, in bytes (the HTTP/2 stream window): from
    /// 16 KiB to 2 GiB - 1; what lies outside counts as the nearer of the two. One answer comes at
    /// this much for each round trip to the server at most.
    #[must_use]
    pub fn stream_window(mut self, bytes: u32) -> Self {
        self.stream_window = bytes.clamp(MIN_STREAM_WINDOW, MAX_WINDOW);
        self
    }

    /// How much of all answers of one connection may be under way unread, in bytes (the HTTP/2
    /// connection window): from 65,535 to 2 GiB - 1; what lies outside counts as the nearer of the
    /// two. At least that of a stream is used.
    ///
    /// It bounds the memory that calls take that are made and then not polled: a connection carries
    /// as many calls at once as windows of a stream fit into its own, 1,024 by default, so that
    /// none can keep the others from their answers; further ones wait. A call that is past its
    /// deadline gives its part back although nobody polls it.
    #[must_use]
    pub fn connection_window(mut self, bytes: u32) -> Self {
        self.connection_window = bytes.clamp(MIN_CONNECTION_WINDOW, MAX_WINDOW);
        self
    }

    /// Sets how long the server of a watch may say nothing before it is asked whether it is there;
    /// a second at least. One that does not answer within another few seconds, twice
    /// [`attempt_timeout`](Self::attempt_timeout) for each of two questions, is left for another
    /// member.
    // I-W11
    #[must_use]
    pub fn watch_probe_interval(mut self, interval: Duration) -> Self {
        self.watch_probe_interval = interval.max(MIN_WATCH_PROBE);
        self
    }

    /// Sets how the client speaks TLS: with `https` and `unixs` endpoints, and with those that do
    /// not say (`host:port`, `unix:path`). Endpoints with `http` stay in plaintext.
    #[cfg(feature = "_tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    #[must_use]
    pub fn tls(mut self, tls: TlsConfig) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Sets whether a member that knows no leader is to refuse requests, instead of letting them
    /// wait; off by default. A request's own `require_leader` takes precedence over it.
    #[must_use]
    pub fn require_leader(mut self, is_required: bool) -> Self {
        self.require_leader = is_required;
        self
    }

    /// Sets how many calls a connection carries at once.
    pub(crate) fn calls_per_connection(&self) -> usize {
        let calls = self.connection_window / self.stream_window.max(1);
        usize::try_from(calls.max(1)).unwrap_or(usize::MAX)
    }

    pub(crate) fn channel_settings(&self) -> Settings {
        Settings {
            backoff: self.reconnect_backoff,
            ping: self.keepalive,
            stalled_after: self.attempt_timeout,
            ..Settings::default()
        }
    }

    /// How long a suspect has to answer the read that probes it.
    pub(crate) fn probe_timeout(&self) -> Duration {
        self.attempt_timeout.min(self.request_timeout)
    }

    /// Refuses settings with which no call could be made.
    pub(crate) fn validate(&self) -> Result<(), Error> {
        if let Some(error) = self.endpoints.refused() {
            return Err(error);
        }
        if let Some(Credentials::Token(token)) = &self.credentials
            && !tokens::is_header(token)
        {
            return Err(invalid(Cause::new("the token is empty, or no header can hold it")));
        }
        let Self { request_timeout, attempt_timeout, connect_timeout, limits, .. } = self;
        let durations = [
            ("request_timeout", *request_timeout, MIN_REQUEST),
            ("attempt_timeout", *attempt_timeout, MIN_ATTEMPT),
            ("connect_timeout", *connect_timeout, MIN_CONNECT),
        ];
        let numbers = [
            ("max_request_bytes", limits.max_request_bytes, MIN_MESSAGE),
            ("max_response_bytes", self.max_response_bytes, MIN_MESSAGE),
            ("max_txn_ops", limits.max_txn_ops, 1),
        ];
        let short = durations.into_iter().find(|(_, value, least)| value < least);
        let few = numbers.into_iter().find(|(_, value, least)| value < least);
        let why = match (short, few) {
            (Some((name, value, least)), _) => {
                format!("{name} is {value:?}, and must be {least:?} at least")
            }
            (None, Some((name, value, least))) => {
                format!("{name} is {value}, and must be {least} at least")
            }
            (None, None) => return Ok(()),
        };
        Err(invalid(Cause::new(why)))
    }

    /// Reads the endpoints; the same one given twice counts once.
    // B5
    pub(crate) fn parse_endpoints(&self, texts: &[String]) -> Result<Vec<Endpoint>, Error> {
        if let Some(tls) = &self.tls {
            tls.validate().map_err(invalid)?;
        }
        let mut parsed: Vec<Endpoint> = Vec::new();
        for endpoint in endpoints::read(texts).map_err(|why| invalid(Cause::new(why)))? {
            let endpoint = endpoint.secured_by_default(self.tls.is_some());
            let is_abstract = matches!(endpoint.destination(), Destination::UnixAbstract(_));
            if is_abstract && !cfg!(any(target_os = "linux", target_os = "android")) {
                let text = format!("endpoint {endpoint}: abstract sockets exist on Linux alone");
                return Err(invalid(Cause::new(text)));
            }
            if endpoint.security() == Security::Tls {
                tls::check_endpoint(self.tls.as_ref(), &endpoint).map_err(invalid)?;
            }
            if !parsed.iter().any(|other| other.is_same(&endpoint)) {
                parsed.push(endpoint);
            }
        }
        if parsed.is_empty() {
            return Err(invalid(Cause::new("no endpoints are given")));
        }
        Ok(parsed)
    }
}

fn invalid(cause: Cause) -> Error {
    Error::new(ErrorKind::InvalidConfig).with_cause(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    // C34c, C34e
    #[test]
    fn an_endpoint_that_speaks_tls_needs_a_configuration_for_it() {
        let missing = if cfg!(feature = "_tls") { "no roots" } else { "enable the feature `tls`" };
        for endpoint in ["https://a", "unixs:a"] {
            let config = Config::new(["http://a", endpoint]);
            let error = config.parse_endpoints(config.endpoints.texts()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig);
            let text = error.report().to_string();
            assert!(text.contains(missing) && text.contains(endpoint), "{text}");
        }
    }

    // B5, C1
    #[test]
    fn endpoints_are_read_once_each_and_there_must_be_one() {
        let config = Config::new(["http://a:2379", "a", "b:1"]);
        let texts: Vec<_> = config
            .parse_endpoints(config.endpoints.texts())
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(texts, ["http://a:2379", "b:1"]);
        let none = config.parse_endpoints(&[]).unwrap_err();
        assert_eq!(none.kind(), ErrorKind::InvalidConfig);
        assert!(none.report().to_string().contains("no endpoints"));
    }
}
