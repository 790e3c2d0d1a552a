#![cfg(feature = "tls-ring")]

mod secure;

use super::*;
use crate::{Config, ErrorKind};
use etcd3_core::error::ConnectFailure;
use rustls::{AlertDescription as Alert, CertificateError, Error as TlsError};
use std::io;

const CANARY: &str = "canary-xyzzy";

/// A certificate for `a.example`, signed by its own key, and that key.
const CERTIFICATE: &str = include_str!("a.example.pem");
const KEY: &str = include_str!("a.example-key.pem");

fn at(endpoint: &str) -> Endpoint {
    endpoint.parse().unwrap()
}

fn parse(config: &Config) -> Result<Vec<Endpoint>, crate::Error> {
    config.parse_endpoints(config.endpoints.texts())
}

fn refused(tls: TlsConfig) -> String {
    let error = parse(&Config::new(["https://a"]).tls(tls)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    error.report().to_string()
}

// A5: an unreadable key is refused without a word of it.
#[test]
fn what_cannot_work_is_refused_early_and_never_quoted() {
    let file = || TlsConfig::new().ca_file("ca.pem");
    for (tls, told) in [
        (TlsConfig::new(), "no roots were chosen"),
        (TlsConfig::new().identity_files("a", "b"), "no roots were chosen"),
        (file().dangerously_skip_server_verification(), "not to verify"),
        (TlsConfig::new().ca_pem(CANARY), "no certificate in it"),
        (TlsConfig::new().ca_pem(format!("-----BEGIN {CANARY}")), "not PEM"),
        (
            TlsConfig::new()
                .dangerously_skip_server_verification()
                .identity_pem(format!("-----BEGIN {CANARY}"), CANARY),
            "not PEM",
        ),
        (file().server_name("not a name"), "no name that a certificate can have"),
        (file().server_name_for("https://a:x", "a"), "port"),
        (file().server_name_for("https://a", ""), "no name"),
    ] {
        let text = refused(tls);
        assert!(text.contains(told), "{text}");
        assert!(!text.contains(CANARY), "{text}");
    }
}

/// A certificate of PEM that holds no certificate.
const NO_CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

// A bundle may be long, and nobody else's certificate is to blame.
#[test]
fn a_broken_certificate_is_named_by_its_number() {
    let broken = "-----BEGIN CERTIFICATE-----\n@@@@\n-----END CERTIFICATE-----\n";
    let skipped = "-----BEGIN OTHER-----\nAAAA\n-----END OTHER-----\n";
    for (tls, told) in [
        (TlsConfig::new().ca_pem(NO_CERTIFICATE), "certificate number 1 in it: it cannot be read"),
        (
            TlsConfig::new().ca_pem(format!("{skipped}{NO_CERTIFICATE}")),
            "certificate number 1 in it: it cannot be read",
        ),
        (TlsConfig::new().ca_pem(broken), "certificate number 1 in it: it is not PEM"),
        (
            TlsConfig::new().ca_pem(format!("{NO_CERTIFICATE}{NO_CERTIFICATE}{broken}")),
            "certificate number 3 in it: it is not PEM",
        ),
    ] {
        let text = refused(tls);
        assert!(text.contains(told), "{text}");
        assert!(!text.contains("peer"), "{text}");
    }
}

// What rustls says of the ends of streams comes with a link to its manual.
#[test]
fn no_error_sends_its_reader_to_the_manual_of_another_project() {
    let text = "peer closed connection without sending TLS close_notify: https://docs.rs/rustls";
    let config = Config::new(["https://a"]).tls(TlsConfig::new().ca_file("ca.pem"));
    let eof = || std::io::Error::new(std::io::ErrorKind::UnexpectedEof, text);
    for text in [
        words::of_stream(eof()).to_string(),
        format!("{}", failed(config.tls.as_ref(), eof()).cause.unwrap()),
        format!("{}", failed(config.tls.as_ref(), words::of_stream(eof())).cause.unwrap()),
    ] {
        assert!(!text.contains("://") && text.contains("hung up"), "{text}");
    }
    let other = std::io::Error::from_raw_os_error(104);
    let text = words::of_stream(other).to_string();
    assert!(text.contains("104"), "{text}");
}

fn text_of(config: &Config, error: TlsError) -> String {
    let broken = failed(config.tls.as_ref(), io::Error::other(error));
    assert_eq!(broken.failure, ConnectFailure::Tls);
    broken.cause.unwrap().to_string()
}

// What to do about it depends on who was asked to show a certificate.
#[test]
fn a_server_that_refuses_its_client_is_quoted_in_words() {
    let tls = TlsConfig::new().ca_file("ca.pem");
    let shows = Config::new(["https://a"]).tls(tls.clone().identity_files("a", "b"));
    let shows_none = Config::new(["https://a"]).tls(tls);
    for (alert, told) in [
        (Alert::UnknownCA, "an authority that the server does not trust"),
        (Alert::CertificateExpired, "expired"),
        (Alert::CertificateRevoked, "revoked"),
        (Alert::CertificateRequired, "it wants one"),
        (Alert::BadCertificate, "not valid there"),
        (Alert::CertificateUnknown, "cannot use it"),
        (Alert::UnsupportedCertificate, "cannot use it"),
        (Alert::AccessDenied, "gives no access"),
    ] {
        let text = text_of(&shows, TlsError::AlertReceived(alert));
        assert!(text.contains("refused the client's certificate"), "{text}");
        assert!(text.contains(told), "{text}");
        let text = text_of(&shows_none, TlsError::AlertReceived(alert));
        assert!(text.contains("TlsConfig::identity_files"), "{text}");
    }
    // What is not about certificates is told as it is.
    let other = TlsError::AlertReceived(Alert::HandshakeFailure);
    assert_eq!(text_of(&shows, other.clone()), other.to_string());
    let alpn = io::Error::other(TlsError::AlertReceived(Alert::NoApplicationProtocol));
    assert_eq!(failed(shows.tls.as_ref(), alpn).failure, ConnectFailure::NotHttp2OverTls);
}

#[test]
fn a_server_that_is_not_trusted_is_told_with_what_to_do_and_the_error() {
    let config = Config::new(["https://a"]).tls(TlsConfig::new().ca_file("ca.pem"));
    let authority = rustls::OtherError(Arc::new(webpki::Error::CaUsedAsEndEntity));
    let another = rustls::OtherError(Arc::new(webpki::Error::BadDer));
    for (why, told) in [
        (CertificateError::UnknownIssuer, "signed by no authority that is trusted here"),
        (CertificateError::Other(authority), "(CA:TRUE)"),
    ] {
        let error = TlsError::InvalidCertificate(why);
        let broken = failed(config.tls.as_ref(), io::Error::other(error.clone()));
        let cause = broken.cause.unwrap();
        assert!(cause.to_string().contains(told), "{cause}");
        let source = cause.as_error().source().expect("the error of rustls");
        assert_eq!(source.to_string(), error.to_string());
    }
    for why in [CertificateError::Expired, CertificateError::Other(another)] {
        let error = TlsError::InvalidCertificate(why);
        assert_eq!(text_of(&config, error.clone()), error.to_string());
    }
}

// The system knows more than this side: what it says is not lost.
#[test]
fn the_end_of_a_stream_is_told_with_what_it_may_mean() {
    let config = Config::new(["https://a"]).tls(TlsConfig::new().ca_file("ca.pem"));
    let told = |error: io::Error| failed(config.tls.as_ref(), error).cause.unwrap().to_string();
    for kind in [
        io::ErrorKind::BrokenPipe,
        io::ErrorKind::ConnectionAborted,
        io::ErrorKind::ConnectionReset,
        io::ErrorKind::UnexpectedEof,
    ] {
        let text = told(kind.into());
        assert!(text.ends_with("does it want a client certificate?"), "{text}");
    }
    let reset = io::Error::from_raw_os_error(if cfg!(target_os = "macos") { 54 } else { 104 });
    if reset.kind() == io::ErrorKind::ConnectionReset {
        let text = told(reset);
        assert!(text.contains("client certificate? (") && text.contains("os error"), "{text}");
    }
    let text = told(io::Error::new(io::ErrorKind::PermissionDenied, "out of reach"));
    assert_eq!(text, "out of reach");
}

// A key that is no key is found when the client is made, not when it connects.
#[test]
fn an_identity_in_memory_is_read_early() {
    let tls = |key: &str| TlsConfig::new().ca_pem(CERTIFICATE).identity_pem(CERTIFICATE, key);
    assert!(parse(&Config::new(["https://a"]).tls(tls(KEY))).is_ok());
    let text = refused(tls(CERTIFICATE));
    assert!(text.contains("no unencrypted private key in it"), "{text}");
    // What is in a file may come later.
    let later = tls(CERTIFICATE).ca_file("no/such/file");
    assert!(parse(&Config::new(["https://a"]).tls(later)).is_ok());
    let later = TlsConfig::new().ca_pem(CERTIFICATE).identity_files("no", "either");
    assert!(parse(&Config::new(["https://a"]).tls(later)).is_ok());
}

#[cfg(feature = "tls-rustls")]
#[test]
fn a_configuration_of_rustls_brings_all_of_its_own() {
    let own = TlsConfig::new().ca_pem(CERTIFICATE).load().unwrap();
    let tls = || TlsConfig::from_rustls(Arc::clone(&own));
    assert!(parse(&Config::new(["https://a"]).tls(tls())).is_ok());
    for mixed in [
        tls().ca_pem(CERTIFICATE),
        tls().identity_files("a", "b"),
        tls().dangerously_skip_server_verification(),
    ] {
        let text = refused(mixed);
        assert!(text.contains("has its own roots and identity"), "{text}");
    }
    let shown = TlsConfig::new().ca_pem(CERTIFICATE).identity_pem(CERTIFICATE, KEY);
    let shown = TlsConfig::from_rustls(shown.load().unwrap());
    assert_eq!((tls().has_identity(), shown.has_identity()), (false, true));
}

#[test]
fn files_are_read_at_connect_and_not_before() {
    let tls = TlsConfig::new().ca_file("no/such/file").identity_files("no", "either");
    assert!(parse(&Config::new(["https://a"]).tls(tls.clone())).is_ok());
    let error = tls.load().unwrap_err();
    assert!(error.as_error().to_string().contains("no/such/file"), "{error:?}");
}

#[test]
fn debug_shows_no_key() {
    let tls = TlsConfig::new()
        .ca_pem(CANARY)
        .identity_pem(CANARY, CANARY)
        .identity_pem(CANARY.as_bytes(), CANARY.as_bytes());
    let config = Config::new(["a"]).tls(tls.clone().ca_file("ca.pem"));
    let text = format!("{config:?} {tls:#?}");
    let bytes = format!("{:?}", CANARY.as_bytes());
    assert!(!text.contains(CANARY) && !text.contains(&bytes[1..8]), "{text}");
    assert!(text.contains("ca.pem"), "{text}");
}

// C37, I-C8
#[test]
fn the_name_expected_is_that_of_the_endpoint_unless_said() {
    let name =
        |tls: &TlsConfig, endpoint: &str| tls.name_of(&at(endpoint)).unwrap().to_str().into_owned();
    let tls = TlsConfig::new();
    assert_eq!(name(&tls, "https://a.example.:1"), "a.example");
    assert_eq!(name(&tls, "https://b.example:1"), "b.example");
    assert_eq!(name(&tls, "https://[fe80::1%25eth0]:1"), "fe80::1");
    assert_eq!(name(&tls, "unixs:localhost:1"), "localhost");
    assert!(matches!(tls.name_of(&at("https://10.0.0.1")), Ok(ServerName::IpAddress(_))));
    let tls = tls.server_name("all").server_name_for("https://a:2379", "one");
    assert_eq!(name(&tls, "https://a"), "one");
    assert_eq!(name(&tls, "https://b"), "all");
}

// C34a, C34b, C36
#[test]
fn endpoints_that_do_not_say_speak_tls_when_it_is_configured() {
    let tls = TlsConfig::new().ca_file("ca.pem");
    let config = Config::new(["http://a", "b", "https://c", "unix:d", "https://b"]).tls(tls);
    let schemes = parse(&config).unwrap();
    let schemes: Vec<_> = schemes.iter().map(|e| (e.to_string(), e.scheme().to_string())).collect();
    let expected =
        [("http://a", "http"), ("b", "https"), ("https://c", "https"), ("unix:d", "https")];
    assert_eq!(schemes, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
}
