//! Where a server is: parsing of endpoint strings (C34).

use http::uri::{Authority, Scheme};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

/// The port of an endpoint that names none.
pub const DEFAULT_PORT: u16 = 2379;

/// One endpoint of a cluster, parsed; cheap to clone.
///
/// | form | meaning |
/// |---|---|
/// | `http://host:port` | plaintext |
/// | `host`, `host:port`, `[v6]:port`, `v4:port` | plaintext |
/// | `unix:path`, `unix:///path` | plaintext over a unix socket |
///
/// A missing port is 2379. A path, query or user after the port is refused rather than dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint(Arc<Parsed>);

#[derive(PartialEq, Eq)]
struct Parsed {
    text: Arc<str>,
    place: Place,
    authority: Authority,
}

/// What to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// A host, by name or address, and a port.
    Host {
        /// A name, or an address without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// The path of a unix socket.
    Unix(PathBuf),
}

/// Why an endpoint cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("endpoint {endpoint:?}: {reason}")]
pub struct EndpointError {
    endpoint: String,
    reason: &'static str,
}

impl Endpoint {
    /// The endpoint as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// The endpoint as it was given, shared.
    #[must_use]
    pub fn text(&self) -> Arc<str> {
        Arc::clone(&self.0.text)
    }

    /// What to connect to.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.0.place
    }

    /// The `:authority` of requests to it.
    #[must_use]
    pub fn authority(&self) -> Authority {
        self.0.authority.clone()
    }

    /// The `:scheme` of requests to it.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        Scheme::HTTP
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

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let error = |reason| EndpointError { endpoint: text.to_owned(), reason };
        let (place, authority) = parse(text).map_err(error)?;
        let authority = Authority::try_from(authority)
            .map_err(|_| error("the host is not a valid authority"))?;
        Ok(Self(Arc::new(Parsed { text: Arc::from(text), place, authority })))
    }
}

fn parse(text: &str) -> Result<(Place, String), &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    if let Some(path) = text.strip_prefix("unix:") {
        return unix(path.strip_prefix("//").unwrap_or(path));
    }
    if text.starts_with("unixs:") || text.starts_with("https:") {
        return Err("TLS is not supported by this version");
    }
    match text.split_once("://") {
        None => host_and_port(text),
        Some(("http", rest)) => host_and_port(rest.strip_suffix('/').unwrap_or(rest)),
        Some(_) => Err("the scheme is none of http and unix"),
    }
}

fn unix(path: &str) -> Result<(Place, String), &'static str> {
    if path.is_empty() || path.contains('\0') {
        return Err("the path of the socket is missing");
    }
    // The name of a socket may hold anything; an authority may not, and etcd does not read it.
    Ok((Place::Unix(PathBuf::from(path)), "localhost".to_owned()))
}

fn host_and_port(text: &str) -> Result<(Place, String), &'static str> {
    if text.contains(['/', '?', '#']) {
        return Err("there is something after the port");
    }
    if text.contains('@') {
        return Err("credentials do not belong into an endpoint");
    }
    let (host, port) = split_port(text)?;
    let port = match port {
        None => DEFAULT_PORT,
        Some(digits) => parse_port(digits)?,
    };
    if host.parse::<Ipv6Addr>().is_ok() {
        return Ok((Place::Host { host: host.to_owned(), port }, format!("[{host}]:{port}")));
    }
    let known = host.parse::<IpAddr>().is_ok() || is_name(host);
    if !known {
        return Err("the host is neither a name nor an address");
    }
    Ok((Place::Host { host: host.to_owned(), port }, format!("{host}:{port}")))
}

/// Splits a host from its port; brackets of an IPv6 address are taken off.
fn split_port(text: &str) -> Result<(&str, Option<&str>), &'static str> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or("a bracket is not closed")?;
        if host.parse::<Ipv6Addr>().is_err() {
            return Err("what stands in brackets is not an IPv6 address");
        }
        return match after.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if after.is_empty() => Ok((host, None)),
            None => Err("there is something after the bracket"),
        };
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Ok((text, None));
    }
    match text.split_once(':') {
        None => Ok((text, None)),
        Some((host, port)) => Ok((host, Some(port))),
    }
}

fn parse_port(digits: &str) -> Result<u16, &'static str> {
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let port = plain.then(|| digits.parse::<u16>().ok()).flatten();
    port.filter(|&port| port != 0).ok_or("the port is not a number from 1 to 65535")
}

fn is_name(host: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    host.len() <= 253 && host.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (Place, String) {
        let endpoint: Endpoint = text.parse().unwrap_or_else(|e| panic!("{e}"));
        (endpoint.place().clone(), endpoint.authority().to_string())
    }

    // C34a, C34b, C35
    #[test]
    fn hosts_and_ports() {
        for (text, host, port, authority) in [
            ("http://127.0.0.1:2379", "127.0.0.1", 2379, "127.0.0.1:2379"),
            ("http://etcd-0.etcd.svc:12379/", "etcd-0.etcd.svc", 12379, "etcd-0.etcd.svc:12379"),
            ("localhost:1", "localhost", 1, "localhost:1"),
            ("etcd.example.", "etcd.example.", 2379, "etcd.example.:2379"),
            ("[::1]:2379", "::1", 2379, "[::1]:2379"),
            ("http://[fe80::1]", "fe80::1", 2379, "[fe80::1]:2379"),
            ("::1", "::1", 2379, "[::1]:2379"),
        ] {
            let place = Place::Host { host: host.to_owned(), port };
            assert_eq!(parsed(text), (place, authority.to_owned()), "{text}");
        }
    }

    // C34d, C34f
    #[test]
    fn unix_sockets() {
        for (text, path) in
            [("unix:a:1", "a:1"), ("unix://a", "a"), ("unix:///run/etcd.sock", "/run/etcd.sock")]
        {
            assert_eq!(parsed(text).0, Place::Unix(PathBuf::from(path)), "{text}");
        }
    }

    // C39: what cannot work is refused early, with the endpoint and the reason in the text.
    #[test]
    fn what_cannot_work_is_refused() {
        for (text, reason) in [
            ("", "empty"),
            ("http://", "neither a name"),
            ("https://a:1", "TLS"),
            ("unixs:a", "TLS"),
            ("ftp://a", "scheme"),
            ("a:0", "port"),
            ("a:65536", "port"),
            ("a:+1", "port"),
            ("a:", "port"),
            ("a:1:2", "port"),
            ("http://a:1/v3", "after the port"),
            ("http://u:p@a:1", "credentials"),
            ("[::1", "bracket"),
            ("[a]:1", "IPv6"),
            ("[::1]x", "bracket"),
            ("a b", "neither"),
            ("a..b", "neither"),
            ("unix:", "path"),
            ("a\n:1", "neither"),
        ] {
            let error = text.parse::<Endpoint>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text:?}: {error}");
        }
    }
}
