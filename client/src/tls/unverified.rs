//! A verifier that takes every certificate.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, SignatureScheme};
use std::sync::Arc;

/// What etcd signs with when it makes its own certificate.
const UNKNOWN_TO_RING: SignatureScheme = SignatureScheme::ECDSA_NISTP521_SHA512;

/// Lets everybody be anybody; only that the peer has the key of its certificate is verified, where
/// that can be. The certificates that etcd makes for itself (`--auto-tls`) have keys of a kind that
/// ring knows nothing of, and whoever is taken for anybody need not prove it.
#[derive(Debug)]
pub(super) struct Unverified(pub(super) Arc<CryptoProvider>);

impl Unverified {
    fn verify(
        &self,
        scheme: SignatureScheme,
        verify: impl FnOnce(&WebPkiSupportedAlgorithms) -> Result<HandshakeSignatureValid, Error>,
    ) -> Result<HandshakeSignatureValid, Error> {
        if scheme == UNKNOWN_TO_RING {
            return Ok(HandshakeSignatureValid::assertion());
        }
        verify(&self.0.signature_verification_algorithms)
    }
}

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verify = |known: &_| verify_tls12_signature(message, certificate, signed, known);
        self.verify(signed.scheme, verify)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verify = |known: &_| verify_tls13_signature(message, certificate, signed, known);
        self.verify(signed.scheme, verify)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let mut schemes = self.0.signature_verification_algorithms.supported_schemes();
        schemes.push(UNKNOWN_TO_RING);
        schemes
    }
}

#[cfg(test)]
#[cfg(feature = "tls-ring")]
mod tests {
    use super::*;

    // Whoever is taken for anybody has the key of its certificate all the same, where that can be
    // known.
    #[test]
    fn signatures_are_verified_where_that_can_be() {
        let unverified = Unverified(Arc::new(rustls::crypto::ring::default_provider()));
        let wrong = |_: &_| Err(Error::DecryptError);
        assert!(unverified.verify(SignatureScheme::ECDSA_NISTP256_SHA256, wrong).is_err());
        assert!(unverified.verify(UNKNOWN_TO_RING, wrong).is_ok());
        let schemes = unverified.supported_verify_schemes();
        assert!(schemes.contains(&UNKNOWN_TO_RING));
        assert!(schemes.contains(&SignatureScheme::ECDSA_NISTP256_SHA256));
    }
}
