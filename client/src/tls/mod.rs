//! TLS: whom to trust, who to be, and the handshake.

mod handshake;
mod material;
mod stream;
mod unverified;
mod words;

pub(crate) use handshake::{failed, handshake};

use etcd3_core::endpoint::{Destination, Endpoint};
use etcd3_core::error::Cause;
use material::{Identity, Roots, Source};
use rustls::pki_types::ServerName;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// The authorities that a client trusts, and its own identity, when it speaks TLS.
///
/// TLS 1.2 and 1.3 by rustls, with ring. Nobody is trusted unless said: clusters have authorities
/// of their own, most of the time. What is given as a file is read again at every connect, on the
/// task that connects, so that certificates can be replaced while the client runs.
///
/// A server must prove that it has the name of the endpoint that is connected to, be it a DNS name
/// or an IP address; [`server_name`](Self::server_name) overrides that.
///
/// ```no_run
/// use etcd3::{Config, TlsConfig};
///
/// let tls = TlsConfig::new().ca_file("ca.pem").identity_files("client.pem", "client-key.pem");
/// let config = Config::new(["https://etcd-0.example:2379"]).tls(tls);
/// ```
#[derive(Clone, Default)]
pub struct TlsConfig {
    roots: Vec<Roots>,
    identity: Option<Identity>,
    server_name: Option<String>,
    server_names: Vec<(String, String)>,
    skip_verification: bool,
    rustls: Option<Arc<rustls::ClientConfig>>,
}

impl TlsConfig {
    /// Starts with nobody trusted and without a certificate of the client.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts the authorities of these PEM certificates too.
    #[must_use]
    pub fn ca_pem(mut self, certificates: impl Into<Vec<u8>>) -> Self {
        self.roots.push(Roots::Given(Source::pem(certificates)));
        self
    }

    /// Trusts the authorities in this file of PEM certificates too.
    #[must_use]
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.roots.push(Roots::Given(Source::File(path.into())));
        self
    }

    /// Trusts the authorities that the machine trusts too. They are read at every connect.
    #[cfg(feature = "tls-native-roots")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls-native-roots")))]
    #[must_use]
    pub fn native_roots(mut self) -> Self {
        self.roots.push(Roots::Native);
        self
    }

    /// Trusts the authorities that Mozilla trusts too, as they were when the client was built.
    #[cfg(feature = "tls-webpki-roots")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls-webpki-roots")))]
    #[must_use]
    pub fn webpki_roots(mut self) -> Self {
        self.roots.push(Roots::Webpki);
        self
    }

    /// Shows this certificate to servers: a PEM chain with the client's own certificate first, and
    /// its PEM key (PKCS#8, PKCS#1 or SEC1, unencrypted). With it etcd may know the client by its
    /// common name.
    #[must_use]
    pub fn identity_pem(mut self, chain: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.identity = Some(Identity { chain: Source::pem(chain), key: Source::pem(key) });
        self
    }

    /// Shows the certificate of these files to servers, as [`identity_pem`](Self::identity_pem)
    /// does. They are read at every connect; replace both at once, as by a link to their folder.
    #[must_use]
    pub fn identity_files(mut self, chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        let (chain, key) = (Source::File(chain.into()), Source::File(key.into()));
        self.identity = Some(Identity { chain, key });
        self
    }

    /// Expects this name in the certificates of all servers, in place of those of the endpoints.
    #[must_use]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Expects this name in the certificate of one endpoint; takes precedence over
    /// [`server_name`](Self::server_name). The endpoint is written as in the configuration, or in
    /// any other form that leads to the same place.
    #[must_use]
    pub fn server_name_for(mut self, endpoint: impl Into<String>, name: impl Into<String>) -> Self {
        self.server_names.push((endpoint.into(), name.into()));
        self
    }

    /// Takes every server for the right one, whatever its certificate says.
    ///
    /// Anybody on the way can then read and change everything, passwords included. Meant for
    /// tests, and for servers with `--auto-tls`, whose certificates nobody can verify (their keys
    /// are on the curve P-521, which is supported in no other way).
    #[must_use]
    pub fn dangerously_skip_server_verification(mut self) -> Self {
        self.skip_verification = true;
        self
    }

    /// Takes a configuration of rustls as it is, but for its protocols (ALPN), which become
    /// HTTP/2. It has its own roots and identity, so none can be set here.
    #[cfg(feature = "tls-rustls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls-rustls")))]
    #[must_use]
    pub fn from_rustls(config: Arc<rustls::ClientConfig>) -> Self {
        Self { rustls: Some(config), ..Self::default() }
    }

    /// Finds what can be found without the network and without reading a file.
    pub(crate) fn validate(&self) -> Result<(), Cause> {
        if let Some(name) = &self.server_name {
            parse_name(name)?;
        }
        for (endpoint, name) in &self.server_names {
            endpoint.parse::<Endpoint>().map_err(Cause::new)?;
            parse_name(name)?;
        }
        let has_own = !self.roots.is_empty() || self.identity.is_some() || self.skip_verification;
        if self.rustls.is_some() && has_own {
            return Err(Cause::new("a configuration of rustls has its own roots and identity"));
        }
        if self.rustls.is_none() && self.roots.is_empty() && !self.skip_verification {
            return Err(Cause::new("no roots were chosen for TLS: ca_file, for example"));
        }
        if self.skip_verification && !self.roots.is_empty() {
            return Err(Cause::new("roots were chosen for TLS, and not to verify servers"));
        }
        if self.is_in_memory() { self.load().map(drop) } else { Ok(()) }
    }

    /// Finds out whether what it takes from files can be used, as they are now.
    #[cfg(feature = "config-file")]
    pub(crate) fn check_files(&self) -> Result<(), Cause> {
        self.load().map(drop)
    }

    /// Returns whether servers are shown a certificate.
    pub(crate) fn has_identity(&self) -> bool {
        let own = self.rustls.as_ref().map(|config| config.client_auth_cert_resolver.has_certs());
        own.unwrap_or_else(|| self.identity.is_some())
    }

    /// The name that the certificate of this endpoint must be for.
    // C37, I-C8
    pub(crate) fn name_of(&self, endpoint: &Endpoint) -> Result<ServerName<'static>, Cause> {
        let is_it = |text: &str| destination(text).as_ref() == Some(endpoint.destination());
        let own = self.server_names.iter().rev().find(|(text, _)| is_it(text));
        let given = own.map(|(_, name)| name).or(self.server_name.as_ref());
        parse_name(given.map_or(endpoint.server_name(), String::as_str))
    }
}

fn destination(endpoint: &str) -> Option<Destination> {
    endpoint.parse::<Endpoint>().ok().map(|endpoint| endpoint.destination().clone())
}

fn parse_name(name: &str) -> Result<ServerName<'static>, Cause> {
    ServerName::try_from(name)
        .map(|name| name.to_owned())
        .map_err(|_| Cause::new(format!("{name:?} is no name that a certificate can have")))
}

/// Refuses what cannot work: an endpoint that speaks TLS when nothing says whom to trust.
pub(crate) fn check_endpoint(tls: Option<&TlsConfig>, endpoint: &Endpoint) -> Result<(), Cause> {
    match tls {
        Some(tls) => tls.name_of(endpoint).map(drop),
        None => Err(Cause::new(format!(
            "endpoint {endpoint} speaks TLS, and no roots were chosen: see Config::tls"
        ))),
    }
}

impl fmt::Debug for TlsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConfig")
            .field("roots", &self.roots)
            .field("identity", &self.identity)
            .field("server_name", &self.server_name)
            .field("server_names", &self.server_names)
            .field("skip_verification", &self.skip_verification)
            .field("rustls", &self.rustls.is_some())
            .finish()
    }
}

#[cfg(test)]
mod tests;
