//! Certificates and keys, and what rustls makes of them.

use super::TlsConfig;
use super::unverified::Unverified;
use super::words;
use etcd3_core::error::Cause;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, Error, RootCertStore};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use zeroize::Zeroizing;

/// The only protocol that is spoken over TLS.
pub(super) const ALPN: &[u8] = b"h2";

/// Where PEM text comes from.
#[derive(Clone)]
pub(super) enum Source {
    Pem(Arc<Zeroizing<Vec<u8>>>),
    File(PathBuf),
}

/// Where authorities come from.
#[derive(Debug, Clone)]
pub(super) enum Roots {
    Given(Source),
    #[cfg(feature = "tls-native-roots")]
    Native,
    #[cfg(feature = "tls-webpki-roots")]
    Webpki,
}

/// The identity of the client.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub(super) chain: Source,
    pub(super) key: Source,
}

impl fmt::Debug for Source {
    /// Never the text: it may be a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pem(_) => f.write_str("Pem(..)"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

impl Source {
    pub(super) fn pem(text: impl Into<Vec<u8>>) -> Self {
        Self::Pem(Arc::new(Zeroizing::new(text.into())))
    }

    fn read(&self) -> Result<Arc<Zeroizing<Vec<u8>>>, Cause> {
        match self {
            Self::Pem(text) => Ok(Arc::clone(text)),
            Self::File(path) => match std::fs::read(path) {
                Ok(text) => Ok(Arc::new(Zeroizing::new(text))),
                Err(error) => Err(Cause::new(format!("{}: {error}", path.display()))),
            },
        }
    }

    fn is_in_memory(&self) -> bool {
        matches!(self, Self::Pem(_))
    }

    /// An error about this source; says nothing of its text.
    fn unusable(&self, what: impl fmt::Display) -> Cause {
        match self {
            Self::Pem(_) => Cause::new(format!("the given PEM text: {what}")),
            Self::File(path) => Cause::new(format!("{}: {what}", path.display())),
        }
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, Cause> {
        let text = self.read()?;
        let certificates = (1..)
            .zip(CertificateDer::pem_slice_iter(&text))
            .map(|(number, it)| it.map_err(|_| self.unusable(numbered(number, "it is not PEM"))))
            .collect::<Result<Vec<_>, _>>()?;
        if certificates.is_empty() {
            return Err(self.unusable("there is no certificate in it"));
        }
        Ok(certificates)
    }

    fn key(&self) -> Result<PrivateKeyDer<'static>, Cause> {
        let text = self.read()?;
        PrivateKeyDer::from_pem_slice(&text)
            .map_err(|_| self.unusable("there is no unencrypted private key in it"))
    }
}

/// Says what is wrong with one certificate of a source, which is found by its number.
fn numbered(number: usize, what: impl fmt::Display) -> String {
    format!("certificate number {number} in it: {what}")
}

impl Roots {
    fn add_to(&self, store: &mut RootCertStore) -> Result<(), Cause> {
        match self {
            Self::Given(source) => {
                for (number, certificate) in (1..).zip(source.certificates()?) {
                    store.add(certificate).map_err(|error| {
                        source.unusable(numbered(number, words::of_own_certificate(&error)))
                    })?;
                }
            }
            #[cfg(feature = "tls-native-roots")]
            Self::Native => {
                // A machine may have certificates that nobody can use beside those that all do.
                let found = rustls_native_certs::load_native_certs();
                let (added, _) = store.add_parsable_certificates(found.certs);
                if added == 0 {
                    let why = found.errors.first().map_or_else(String::new, ToString::to_string);
                    return Err(Cause::new(format!("the machine trusts no authority: {why}")));
                }
            }
            #[cfg(feature = "tls-webpki-roots")]
            Self::Webpki => store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        }
        Ok(())
    }

    fn is_in_memory(&self) -> bool {
        match self {
            Self::Given(source) => source.is_in_memory(),
            #[cfg(feature = "tls-native-roots")]
            Self::Native => false,
            #[cfg(feature = "tls-webpki-roots")]
            Self::Webpki => true,
        }
    }
}

impl TlsConfig {
    /// Returns whether no file has to be read.
    pub(super) fn is_in_memory(&self) -> bool {
        let is_known = |it: &Identity| it.chain.is_in_memory() && it.key.is_in_memory();
        self.roots.iter().all(Roots::is_in_memory) && self.identity.as_ref().is_none_or(is_known)
    }

    /// Makes the configuration of one connection, of what the files hold now.
    pub(super) fn load(&self) -> Result<Arc<ClientConfig>, Cause> {
        let mut config = match &self.rustls {
            Some(config) => ClientConfig::clone(config),
            None => self.build()?,
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Arc::new(config))
    }

    /// Returns the cryptography. Never the default of the process: other crates may have chosen
    /// another.
    #[cfg(feature = "tls-ring")]
    #[allow(clippy::unused_self, clippy::unnecessary_wraps, reason = "there may be others")]
    fn provider(&self) -> Result<Arc<CryptoProvider>, Cause> {
        Ok(Arc::new(rustls::crypto::ring::default_provider()))
    }

    #[cfg(not(feature = "tls-ring"))]
    #[allow(clippy::unused_self, reason = "as the other")]
    fn provider(&self) -> Result<Arc<CryptoProvider>, Cause> {
        Err(Cause::new("no cryptography is built in: enable the feature `tls-ring`"))
    }

    fn build(&self) -> Result<ClientConfig, Cause> {
        let provider = self.provider()?;
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(Cause::new)?;
        let builder = if self.skip_verification {
            let verifier = Arc::new(Unverified(provider));
            builder.dangerous().with_custom_certificate_verifier(verifier)
        } else {
            let mut store = RootCertStore::empty();
            self.roots.iter().try_for_each(|roots| roots.add_to(&mut store))?;
            builder.with_root_certificates(store)
        };
        let Some(identity) = &self.identity else { return Ok(builder.with_no_client_auth()) };
        let (chain, key) = (identity.chain.certificates()?, identity.key.key()?);
        builder.with_client_auth_cert(chain, key).map_err(|error| match error {
            Error::InvalidCertificate(_) => {
                identity.chain.unusable(numbered(1, words::of_own_certificate(&error)))
            }
            Error::InconsistentKeys(_) => {
                identity.key.unusable("it is not that of the certificate")
            }
            other => identity.key.unusable(other),
        })
    }
}
