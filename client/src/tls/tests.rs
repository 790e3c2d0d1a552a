use super::*;
use crate::{Config, ErrorKind};

const CANARY: &str = "canary-xyzzy";

fn at(endpoint: &str) -> Endpoint {
    endpoint.parse().unwrap()
}

fn parse(config: &Config) -> Result<Vec<Endpoint>, crate::Error> {
    config.parse_endpoints(&config.endpoints)
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
        format!("{}", failed(&config, eof()).cause.unwrap()),
        format!("{}", failed(&config, words::of_stream(eof())).cause.unwrap()),
    ] {
        assert!(!text.contains("://") && text.contains("hung up"), "{text}");
    }
    let other = std::io::Error::from_raw_os_error(104);
    let text = words::of_stream(other).to_string();
    assert!(text.contains("104"), "{text}");
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
