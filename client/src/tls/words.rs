//! What errors of rustls mean, in words that say what to do; each keeps the error as its source.

use etcd3_core::error::Cause;
use rustls::{AlertDescription, CertificateError, Error};
use std::fmt;
use std::io;

/// What an error means, and that error.
#[derive(Debug)]
struct Explained {
    meaning: String,
    error: Error,
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.meaning)
    }
}

impl std::error::Error for Explained {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// Explains why a handshake failed, to a client that shows a certificate or does not.
pub(super) fn of_handshake(error: Error, shows_certificate: bool) -> Cause {
    let meaning = match &error {
        Error::AlertReceived(alert) => refused(*alert, shows_certificate),
        Error::InvalidCertificate(why) => untrusted(why).map(str::to_owned),
        _ => None,
    };
    match meaning {
        Some(meaning) => Cause::new(Explained { meaning, error }),
        None => Cause::new(error),
    }
}

/// Says what the server has against the client's certificate, if that is what the alert is about.
fn refused(alert: AlertDescription, shows_certificate: bool) -> Option<String> {
    use AlertDescription as Alert;
    let why = match alert {
        Alert::UnknownCA => "it is signed by an authority that the server does not trust",
        Alert::CertificateExpired => "it has expired, or is not valid yet",
        Alert::CertificateRevoked => "it was revoked",
        Alert::CertificateRequired => "it wants one, and none was shown that it could take",
        // What servers made with Go before 1.20 say, whatever it is.
        Alert::BadCertificate => {
            "it is not valid there: of an authority that is not trusted, or expired, for example"
        }
        Alert::CertificateUnknown | Alert::UnsupportedCertificate => "the server cannot use it",
        Alert::AccessDenied => "it gives no access",
        _ => return None,
    };
    // Before TLS 1.3 there is no alert of its own for a certificate that is missing.
    Some(if shows_certificate {
        format!("the server refused the client's certificate: {why}")
    } else {
        "the server wants a certificate of the client, and none is configured (see \
         TlsConfig::identity_files)"
            .to_owned()
    })
}

/// Says what can be done about a server's certificate that is not trusted.
fn untrusted(why: &CertificateError) -> Option<&'static str> {
    match why {
        CertificateError::Other(other)
            if other.0.downcast_ref() == Some(&webpki::Error::CaUsedAsEndEntity) =>
        {
            Some(
                "the server shows the certificate of an authority (CA:TRUE), which is not accepted \
                 as that of a server, trusted or not: sign one for the server with it (CA:FALSE), \
                 and trust the authority",
            )
        }
        CertificateError::UnknownIssuer => {
            Some("the server's certificate is signed by no authority that is trusted here")
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            Some("the server's certificate is of a kind that is not supported")
        }
        _ => None,
    }
}

/// Says what is wrong with a certificate that was given to this side: rustls calls all of them a
/// peer's.
pub(super) fn of_own_certificate(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(CertificateError::BadEncoding) => "it cannot be read".to_owned(),
        Error::InvalidCertificate(why) => why.to_string(),
        other => other.to_string(),
    }
}

/// Replaces the error of a stream that ended without an end of TLS: rustls adds a link for
/// programmers to it.
pub(super) fn of_stream(error: io::Error) -> io::Error {
    let is_text = error.get_ref().is_some_and(|inner| inner.downcast_ref::<Error>().is_none());
    if error.kind() != io::ErrorKind::UnexpectedEof || !is_text {
        return error;
    }
    io::Error::new(io::ErrorKind::UnexpectedEof, "the server hung up without an end of TLS")
}
