//! Where a server is: endpoint strings, and what follows from them.

// C34

mod parse;
#[cfg(test)]
mod tests;

use core::net::IpAddr;
use http::uri::{Authority, Scheme};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

/// The port of an endpoint that names none.
pub const DEFAULT_PORT: u16 = 2379;

/// One endpoint of a cluster, parsed; cheap to clone.
///
/// | form | transport |
/// |---|---|
/// | `http://host:port` | TCP, plaintext |
/// | `https://host:port` | TCP, TLS |
/// | `host`, `host:port`, `v4:port`, `[v6]:port`, `[v6%zone]:port` | TCP, TLS if configured |
/// | `unix:path`, `unix://path`, `unix:///path` | a unix socket, TLS if configured |
/// | `unixs:path`, `unixs://path`, `unixs:///path` | a unix socket, TLS |
/// | `unix:@name`, `unix-abstract:name` | an abstract unix socket (Linux), TLS if configured |
/// | `unixs:@name` | an abstract unix socket (Linux), TLS |
///
/// A missing port is 2379. White space around the endpoint is left out. An IPv6 address stands in
/// brackets, with a port or without: in `::1:2379` nobody can tell the port from the last group. A
/// path, query or user after the port is refused rather than dropped, and so is a comma, unless it
/// belongs to a socket: endpoints are given one by one. In a URL the zone of an IPv6 address may be
/// written `%25zone`.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint(Arc<Parsed>);

#[derive(Clone, PartialEq, Eq)]
struct Parsed {
    text: Arc<str>,
    destination: Destination,
    security: Security,
    authority: Authority,
}

/// What to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Destination {
    /// A host, by name or address, and a port.
    Host {
        /// A name, or an address without brackets; an IPv6 address may end in `%` and its zone.
        host: String,
        /// The port.
        port: u16,
    },
    /// The path of a unix socket.
    Unix(PathBuf),
    /// The name of an abstract unix socket, without the NUL byte that its address begins with.
    UnixAbstract(String),
}

/// Whether an endpoint is spoken to in plaintext or over TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// In plaintext, whatever is configured: `http`.
    Plaintext,
    /// Over TLS, and not without: `https` and `unixs`.
    Tls,
    /// The endpoint does not say; over TLS exactly if the client has a configuration for it.
    Unspecified,
}

/// Why an endpoint cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointError {
    endpoint: String,
    reason: &'static str,
}

impl Endpoint {
    /// Returns the endpoint as it was given, without white space around it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// The same as [`as_str`](Self::as_str), shared.
    #[must_use]
    pub fn text(&self) -> Arc<str> {
        Arc::clone(&self.0.text)
    }

    /// What to connect to.
    #[must_use]
    pub fn destination(&self) -> &Destination {
        &self.0.destination
    }

    /// Returns whether it is spoken to over TLS.
    #[must_use]
    pub fn security(&self) -> Security {
        self.0.security
    }

    /// Returns whether this is the same server, spoken to in the same way, though it may be written
    /// differently.
    // B5
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        (self.destination(), self.security()) == (other.destination(), other.security())
    }

    /// Decides for an endpoint that does not say whether it is spoken to over TLS (C34a, C34d). One
    /// that says stays as it is: the decision is made for each endpoint, not for the client.
    // C36
    #[must_use]
    pub fn secured_by_default(mut self, tls: bool) -> Self {
        if self.0.security == Security::Unspecified {
            let security = if tls { Security::Tls } else { Security::Plaintext };
            Arc::make_mut(&mut self.0).security = security;
        }
        self
    }

    /// Returns whether nobody on a network can listen: over TLS, a unix socket, or the machine
    /// itself by its loopback address or the name `localhost`. Passwords and tokens go nowhere else
    /// unasked.
    #[must_use]
    pub fn is_confidential(&self) -> bool {
        match (&self.0.security, &self.0.destination) {
            (Security::Tls, _) | (_, Destination::Unix(_) | Destination::UnixAbstract(_)) => true,
            (_, Destination::Host { host, .. }) => is_loopback(host),
        }
    }

    /// The `:authority` of requests to it: its host and port, without a zone. For a unix socket it
    /// is the last segment of the path or name, where that can be one, and else `localhost`.
    #[must_use]
    pub fn authority(&self) -> Authority {
        self.0.authority.clone()
    }

    /// The `:scheme` of requests to it; plaintext while that is undecided.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        match self.0.security {
            Security::Tls => Scheme::HTTPS,
            Security::Plaintext | Security::Unspecified => Scheme::HTTP,
        }
    }

    /// The name that the certificate of the server must be for: that of the authority, without
    /// port, brackets and the dot that may end a name.
    // C37
    #[must_use]
    pub fn server_name(&self) -> &str {
        let host = self.0.authority.host();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        host.strip_suffix('.').unwrap_or(host)
    }
}

impl EndpointError {
    /// Returns what is wrong, without the text of the endpoint, which may have a secret in it.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        self.reason
    }
}

fn is_loopback(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => host.strip_suffix('.').unwrap_or(host).eq_ignore_ascii_case("localhost"),
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0.text)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "endpoint {:?}: {}", self.endpoint, self.reason)
    }
}

impl std::error::Error for EndpointError {}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let text = text.trim();
        // What stands before an `@` may be a password.
        let told = || text.rsplit_once('@').map(|(_, rest)| format!("***@{rest}"));
        let told = || told().unwrap_or_else(|| text.to_owned());
        let error = |reason| EndpointError { endpoint: told(), reason };
        let (security, destination, authority) = parse::parse(text).map_err(error)?;
        let authority = Authority::try_from(authority)
            .map_err(|_| error("the host is not a valid authority"))?;
        Ok(Self(Arc::new(Parsed { text: Arc::from(text), destination, security, authority })))
    }
}
