//! What every request carries besides its message.

// C30–C32

use crate::Secret;
use crate::auth::Generation;
use crate::method::Method;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, TE, USER_AGENT};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Request, Uri, Version};
use std::time::Duration;
use zeroize::Zeroizing;

const CLIENT_API_VERSION: HeaderName = HeaderName::from_static("client-api-version");
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const HAS_LEADER: HeaderName = HeaderName::from_static("hasleader");
const TOKEN: HeaderName = HeaderName::from_static("token");

/// The version of etcd's API that this client is written against; servers count it.
const API_VERSION: HeaderValue = HeaderValue::from_static("3.7");
const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("etcd3-rust/", env!("CARGO_PKG_VERSION")));

/// What a call asks for beyond its message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata {
    /// Refuse the call at once on a member that knows no leader.
    // W18
    pub require_leader: bool,
    /// How long the server may take; `None` sends no `grpc-timeout`.
    pub timeout: Option<Duration>,
    /// The token of the user.
    pub token: Option<Token>,
}

/// A token as the header of requests: never indexed by HTTP/2, and never printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    generation: Generation,
    value: HeaderValue,
}

impl Token {
    /// Makes the header of a token; `None` for one that no header can hold.
    #[must_use]
    pub fn new(generation: Generation, token: &Secret) -> Option<Self> {
        // Wiped when the last request is gone that was sent with it.
        let bytes = Bytes::from_owner(Zeroizing::new(token.expose().as_bytes().to_vec()));
        let mut value = HeaderValue::from_maybe_shared(bytes).ok()?;
        value.set_sensitive(true);
        Some(Self { generation, value })
    }

    /// Returns its generation.
    #[must_use]
    pub const fn generation(&self) -> Generation {
        self.generation
    }
}

/// Builds the head of a request to an endpoint with this scheme and authority.
///
/// With all three of them given, as here, an [`Uri`] is always valid.
#[must_use]
pub fn request_head(
    scheme: Scheme,
    authority: Authority,
    method: &Method,
    metadata: Metadata,
) -> Request<()> {
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(scheme);
    uri.authority = Some(authority);
    uri.path_and_query = Some(PathAndQuery::from_static(method.path));
    let mut request = Request::new(());
    *request.method_mut() = http::Method::POST;
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() = Uri::from_parts(uri).unwrap_or_default();
    let headers = request.headers_mut();
    headers.reserve(7);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers.insert(USER_AGENT, AGENT);
    headers.insert(CLIENT_API_VERSION, API_VERSION);
    if metadata.require_leader {
        headers.insert(HAS_LEADER, HeaderValue::from_static("true"));
    }
    if let Some(timeout) = metadata.timeout {
        headers.insert(GRPC_TIMEOUT, grpc_timeout(timeout));
    }
    if let Some(token) = metadata.token {
        headers.insert(TOKEN, token.value);
    }
    request
}

/// The heads of the requests to one endpoint. The last of each method is kept: what differs between
/// two calls, if anything, is the timeout, and the token when there is a new one.
#[derive(Debug, Clone)]
pub struct Heads {
    scheme: Scheme,
    authority: Authority,
    known: Vec<Known>,
}

#[derive(Debug, Clone)]
struct Known {
    method: &'static Method,
    metadata: Metadata,
    head: Request<()>,
}

impl Heads {
    /// Heads of requests to an endpoint with this scheme and authority.
    #[must_use]
    pub const fn new(scheme: Scheme, authority: Authority) -> Self {
        Self { scheme, authority, known: Vec::new() }
    }

    /// The head of a request: as [`request_head`] builds it.
    pub fn head(&mut self, method: &'static Method, metadata: &Metadata) -> Request<()> {
        let is_it = |known: &&mut Known| {
            std::ptr::eq(known.method, method)
                && known.metadata.require_leader == metadata.require_leader
                && known.metadata.timeout.is_some() == metadata.timeout.is_some()
                && known.metadata.token.is_some() == metadata.token.is_some()
        };
        if let Some(known) = self.known.iter_mut().find(is_it) {
            if known.metadata != *metadata {
                known.update(metadata.clone());
            }
            return known.head.clone();
        }
        let (scheme, authority) = (self.scheme.clone(), self.authority.clone());
        let head = request_head(scheme, authority, method, metadata.clone());
        self.known.push(Known { method, metadata: metadata.clone(), head: head.clone() });
        head
    }
}

impl Known {
    /// Puts another timeout and another token into the head.
    fn update(&mut self, metadata: Metadata) {
        let headers = self.head.headers_mut();
        if let Some(timeout) = metadata.timeout {
            headers.insert(GRPC_TIMEOUT, grpc_timeout(timeout));
        }
        if let Some(token) = &metadata.token {
            headers.insert(TOKEN, token.value.clone());
        }
        self.metadata = metadata;
    }
}

/// Renders a timeout as gRPC wants it: digits and a unit, rounded up.
///
/// Of the eight digits that gRPC allows five are used at most. What calls with the same timeout
/// send is then mostly the same, and HTTP/2 sends it as one byte.
// C32
#[must_use]
pub fn grpc_timeout(timeout: Duration) -> HeaderValue {
    const UNITS: [(u64, char); 6] = [
        (1, 'n'),
        (1_000, 'u'),
        (1_000_000, 'm'),
        (1_000_000_000, 'S'),
        (60_000_000_000, 'M'),
        (3_600_000_000_000, 'H'),
    ];
    const MAX: u64 = 99_999;
    let nanos = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
    let mut fitting = UNITS.iter().map(|(size, unit)| (nanos.div_ceil(*size), *unit));
    let (count, unit) = fitting.find(|(count, _)| *count <= MAX).unwrap_or((MAX, 'H'));
    HeaderValue::try_from(format!("{count}{unit}")).unwrap_or(HeaderValue::from_static("99999H"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method;

    // C32
    #[test]
    fn timeouts_have_five_digits_at_most_and_are_rounded_up() {
        for (timeout, text) in [
            (Duration::from_nanos(1), "1n"),
            (Duration::from_nanos(99_999), "99999n"),
            (Duration::from_nanos(100_001), "101u"),
            (Duration::from_micros(14_999_001), "15000m"),
            (Duration::from_secs(15), "15000m"),
            (Duration::from_secs(100), "100S"),
            (Duration::from_secs(100_000), "1667M"),
            (Duration::MAX, "99999H"),
            (Duration::ZERO, "0n"),
        ] {
            assert_eq!(grpc_timeout(timeout), text, "{timeout:?}");
        }
    }

    // C30, C31
    #[test]
    fn a_head_carries_what_etcd_reads() {
        let token = Token::new(Generation(1), &Secret::new("abc.7"));
        let timeout = Some(Duration::from_secs(1));
        let metadata = Metadata { require_leader: true, timeout, token };
        let authority = Authority::from_static("127.0.0.1:2379");
        let head = request_head(Scheme::HTTP, authority.clone(), &method::RANGE, metadata);
        assert_eq!(head.uri(), "http://127.0.0.1:2379/etcdserverpb.KV/Range");
        let header = |name: &str| head.headers().get(name).map(|v| v.to_str().unwrap());
        assert_eq!(header("content-type"), Some("application/grpc"));
        assert_eq!(header("te"), Some("trailers"));
        assert_eq!(header("client-api-version"), Some("3.7"));
        assert_eq!(header("hasleader"), Some("true"));
        assert_eq!(header("grpc-timeout"), Some("1000m"));
        assert_eq!(header("token"), Some("abc.7"));
        assert!(head.headers()["token"].is_sensitive());
        assert!(!format!("{head:?}").contains("abc"), "{head:?}");
        assert!(header("user-agent").unwrap().starts_with("etcd3-rust/"));
        let plain = request_head(Scheme::HTTP, authority, &method::PUT, Metadata::default());
        assert!(plain.headers().get("hasleader").is_none());
        assert!(plain.headers().get("grpc-timeout").is_none());
        assert!(plain.headers().get("token").is_none());
    }

    #[test]
    fn heads_that_are_kept_are_those_that_are_built() {
        let authority = Authority::from_static("127.0.0.1:2379");
        let mut heads = Heads::new(Scheme::HTTP, authority.clone());
        let timeouts = [None, Some(Duration::from_secs(1)), Some(Duration::from_secs(2))];
        for round in 0..3 {
            // I-A1: another token does not cost another head.
            let token = (round > 0).then(|| Secret::new(format!("abc.{round}")));
            let token = token.and_then(|token| Token::new(Generation(round), &token));
            for method in [&method::PUT, &method::RANGE] {
                for (timeout, require_leader) in
                    timeouts.iter().flat_map(|it| [(*it, true), (*it, false)])
                {
                    let metadata = Metadata { require_leader, timeout, token: token.clone() };
                    let kept = heads.head(method, &metadata);
                    let authority = authority.clone();
                    let built = request_head(Scheme::HTTP, authority, method, metadata.clone());
                    let seen = |it: &Request<()>| {
                        (it.method().clone(), it.uri().clone(), it.version(), it.headers().clone())
                    };
                    assert_eq!(seen(&kept), seen(&built), "{round} {metadata:?}");
                }
            }
        }
        assert_eq!(heads.known.len(), 16, "bounded by the methods, not by the calls");
    }

    #[test]
    fn every_method_has_a_path_that_http_accepts() {
        for method in method::ALL {
            let _ = PathAndQuery::from_static(method.path);
        }
    }
}
