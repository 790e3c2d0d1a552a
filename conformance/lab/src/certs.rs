//! Certificates for tests, made when they are needed: nothing on disk that expires one day.

use crate::{Error, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A certificate authority; its key is gone with it.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key, both as PEM text.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// The key.
    pub key: String,
}

/// The description of a certificate that an [`Authority`] is to issue.
#[derive(Debug, Clone)]
pub struct Leaf {
    common_name: String,
    names: Vec<String>,
    expired: bool,
}

impl Leaf {
    /// Describes the certificate of a server with these names: DNS names and IP addresses.
    #[must_use]
    pub fn server<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Self {
        let names = names.into_iter().map(Into::into).collect();
        Self { common_name: "server".into(), names, expired: false }
    }

    /// Describes the certificate of a client that etcd knows by this common name.
    #[must_use]
    pub fn client(common_name: &str) -> Self {
        Self { common_name: common_name.into(), names: Vec::new(), expired: false }
    }

    /// Makes it one that was valid long ago.
    #[must_use]
    pub fn expired(mut self) -> Self {
        self.expired = true;
        self
    }
}

impl Authority {
    /// Makes an authority that nobody else has.
    ///
    /// # Errors
    ///
    /// Fails when the machine has no randomness.
    pub fn new() -> Result<Arc<Self>> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let key = KeyPair::generate().map_err(Error::doing("no key"))?;
        let mut params = CertificateParams::new(Vec::new()).map_err(Error::doing("no names"))?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        // Certificates are looked up by the names of their issuers, so these differ.
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        params.distinguished_name.push(DnType::CommonName, format!("etcd3 lab {number}"));
        let pem = params.self_signed(&key).map_err(Error::doing("no authority"))?.pem();
        Ok(Arc::new(Self { issuer: Issuer::new(params, key), pem }))
    }

    /// Returns the certificate of the authority, as PEM text.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Issues a certificate with a key of its own.
    ///
    /// # Errors
    ///
    /// Fails when a name of it can be no name.
    pub fn issue(&self, leaf: Leaf) -> Result<Identity> {
        let key = KeyPair::generate().map_err(Error::doing("no key"))?;
        let mut params = CertificateParams::new(leaf.names).map_err(Error::doing("the names"))?;
        params.distinguished_name.push(DnType::CommonName, leaf.common_name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        // A server needs both: the gateway of etcd is a client of its own server.
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        if leaf.expired {
            params.not_before = date_time_ymd(2000, 1, 1);
            params.not_after = date_time_ymd(2001, 1, 1);
        }
        let issued = params.signed_by(&key, &self.issuer).map_err(Error::doing("no signature"))?;
        Ok(Identity { certificate: issued.pem(), key: key.serialize_pem() })
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

impl Identity {
    /// Makes a certificate that signed itself and calls itself an authority (`CA:TRUE`), for a
    /// server with these names: what `openssl req -x509` makes unless told otherwise.
    ///
    /// # Errors
    ///
    /// Fails when a name can be no name, or the machine has no randomness.
    pub fn self_signed<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Result<Self> {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        let key = KeyPair::generate().map_err(Error::doing("no key"))?;
        let mut params = CertificateParams::new(names).map_err(Error::doing("the names"))?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let signed = params.self_signed(&key).map_err(Error::doing("no signature"))?;
        Ok(Self { certificate: signed.pem(), key: key.serialize_pem() })
    }

    /// Writes both files, the certificate last.
    ///
    /// # Errors
    ///
    /// Fails when a file cannot be written.
    pub fn write(&self, certificate: &Path, key: &Path, how: Replace) -> Result<()> {
        let write = |path: &Path, text: &str| match how {
            Replace::Atomically => replace(path, text),
            Replace::InPlace => std::fs::write(path, text).map_err(Error::doing(path.display())),
        };
        write(key, &self.key)?;
        write(certificate, &self.certificate)
    }
}

/// The way in which files are replaced that others read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replace {
    /// By other files of the same name, each in one step.
    Atomically,
    /// By writing over what is there.
    InPlace,
}

/// Replaces a file, or makes it, so that nobody sees half of it.
pub(crate) fn replace(path: &Path, text: &str) -> Result<()> {
    let new = path.with_extension("new");
    std::fs::write(&new, text)
        .and_then(|()| std::fs::rename(&new, path))
        .map_err(Error::doing(path.display()))
}

/// The way in which the members of a cluster speak TLS with their clients.
#[derive(Debug, Clone)]
pub struct Tls {
    authority: Arc<Authority>,
    names: Vec<Vec<String>>,
    identity: Option<Identity>,
    client_auth: bool,
}

impl Tls {
    /// Gives every member a certificate of this authority for `localhost` and `127.0.0.1`.
    #[must_use]
    pub fn new(authority: &Arc<Authority>) -> Self {
        let authority = Arc::clone(authority);
        Self { authority, names: Vec::new(), identity: None, client_auth: false }
    }

    /// Gives the next member, beginning with the first, a certificate for these names alone. The
    /// last names are those of all members that follow.
    #[must_use]
    pub fn names<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.names.push(names.into_iter().map(Into::into).collect());
        self
    }

    /// Gives all members this certificate.
    #[must_use]
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Demands a certificate of the same authority from clients (`--client-cert-auth`).
    #[must_use]
    pub fn client_auth(mut self) -> Self {
        self.client_auth = true;
        self
    }

    /// Writes the files of a member, unless they are there, and returns its flags.
    pub(crate) fn flags(&self, member: usize, dir: &Path) -> Result<Vec<(&str, String)>> {
        let (certificate, key, ca) = (dir.join(CERTIFICATE), dir.join(KEY), dir.join("ca.pem"));
        if !certificate.exists() {
            self.identity_of(member)?.write(&certificate, &key, Replace::Atomically)?;
            replace(&ca, self.authority.pem())?;
        }
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let mut flags = vec![("--cert-file", text(&certificate)), ("--key-file", text(&key))];
        if self.client_auth {
            flags.push(("--trusted-ca-file", text(&ca)));
            flags.push(("--client-cert-auth", "true".into()));
        }
        Ok(flags)
    }

    fn identity_of(&self, member: usize) -> Result<Identity> {
        if let Some(identity) = &self.identity {
            return Ok(identity.clone());
        }
        let names = self.names.get(member).or(self.names.last());
        self.authority.issue(match names {
            Some(names) => Leaf::server(names),
            None => Leaf::server(["localhost", "127.0.0.1"]),
        })
    }
}

/// The file of a member's certificate, in its folder.
pub(crate) const CERTIFICATE: &str = "server.pem";
/// The file of a member's key.
pub(crate) const KEY: &str = "server-key.pem";
