//! The rows of etcd's own tests about configuration, CFG-001 to CFG-061, each by its id: a test, or
//! the reason why there is none here.

use super::Config;
use crate::request::Limits;
use crate::still::Still;
use crate::tokens::Credentials;
use crate::{SortOrder, SortTarget, compact, get};
use etcd3_core::endpoint::{Destination, Endpoint, Security};
use etcd3_core::{Code, Error, Outcome, Status, Version};
use std::collections::BTreeSet;
use std::time::Duration;

/// How a row is met.
enum Row {
    Test(fn()),
    Reason(&'static str),
}

use Row::{Reason, Test};

/// What clientv3 does with an endpoint, and what is done with it here.
struct EndpointRow {
    id: u16,
    endpoint: &'static str,
    expected: Option<(&'static str, &'static str, Security)>,
}

const fn endpoint(
    id: u16,
    endpoint: &'static str,
    destination: &'static str,
    authority: &'static str,
    security: Security,
) -> EndpointRow {
    EndpointRow { id, endpoint, expected: Some((destination, authority, security)) }
}

/// An endpoint that is refused early, where clientv3 dials what cannot work, or what nobody meant.
// C35, C39
const fn refused(id: u16, endpoint: &'static str) -> EndpointRow {
    EndpointRow { id, endpoint, expected: None }
}

const TLS: Security = Security::Tls;
const PLAIN: Security = Security::Plaintext;
const OPEN: Security = Security::Unspecified;

/// The rows about endpoints. A missing port is 2379 here; clientv3 dials none.
#[rustfmt::skip]
const ENDPOINTS: [EndpointRow; 26] = [
    endpoint(29, "127.0.0.1", "127.0.0.1:2379", "127.0.0.1:2379", OPEN),
    endpoint(30, "localhost", "localhost:2379", "localhost:2379", OPEN),
    endpoint(31, "localhost:8080", "localhost:8080", "localhost:8080", OPEN),
    endpoint(32, "unix:127.0.0.1", "127.0.0.1", "127.0.0.1", OPEN),
    endpoint(33, "unix:127.0.0.1:8080", "127.0.0.1:8080", "127.0.0.1:8080", OPEN),
    endpoint(34, "unix://127.0.0.1", "127.0.0.1", "127.0.0.1", OPEN),
    endpoint(35, "unix://127.0.0.1:8080", "127.0.0.1:8080", "127.0.0.1:8080", OPEN),
    endpoint(36, "unixs:127.0.0.1", "127.0.0.1", "127.0.0.1", TLS),
    endpoint(37, "unixs:127.0.0.1:8080", "127.0.0.1:8080", "127.0.0.1:8080", TLS),
    endpoint(38, "unixs://127.0.0.1", "127.0.0.1", "127.0.0.1", TLS),
    endpoint(39, "unixs://127.0.0.1:8080", "127.0.0.1:8080", "127.0.0.1:8080", TLS),
    endpoint(40, "http://127.0.0.1", "127.0.0.1:2379", "127.0.0.1:2379", PLAIN),
    endpoint(41, "http://127.0.0.1:8080", "127.0.0.1:8080", "127.0.0.1:8080", PLAIN),
    endpoint(42, "https://127.0.0.1", "127.0.0.1:2379", "127.0.0.1:2379", TLS),
    endpoint(43, "https://127.0.0.1:8080", "127.0.0.1:8080", "127.0.0.1:8080", TLS),
    endpoint(44, "https://localhost:20000", "localhost:20000", "localhost:20000", TLS),
    endpoint(45, "unix:///run/abc", "/run/abc", "abc", OPEN),
    endpoint(46, "unixs:///run/abc", "/run/abc", "abc", TLS),
    endpoint(47, "unix:///run/abc:1234", "/run/abc:1234", "abc:1234", OPEN),
    endpoint(48, "unixs:///run/abc:1234", "/run/abc:1234", "abc:1234", TLS),
    endpoint(49, "etcd.io", "etcd.io:2379", "etcd.io:2379", OPEN),
    // clientv3 drops the path, and dials without a port.
    refused(50, "http://etcd.io/abc"),
    // No scheme of gRPC's resolvers is known.
    refused(51, "dns://something-other"),
    endpoint(52, "http://[2001:db8::1]:100/", "2001:db8::1:100", "[2001:db8::1]:100", PLAIN),
    endpoint(53, "[2001:db8::1]:100", "2001:db8::1:100", "[2001:db8::1]:100", OPEN),
    // HTTP/2 allows no `#` in an authority.
    endpoint(54, "unix:unexpected-file_name#1$4", "unexpected-file_name#1$4", "localhost", OPEN),
];

fn endpoints() {
    for EndpointRow { id, endpoint: text, expected } in ENDPOINTS {
        let read = text.parse::<Endpoint>().ok().map(|read| {
            let destination = match read.destination() {
                Destination::Host { host, port } => format!("{host}:{port}"),
                Destination::Unix(path) => path.display().to_string(),
                Destination::UnixAbstract(name) => format!("@{name}"),
                other => panic!("{other:?}"),
            };
            (destination, read.authority().to_string(), read.security())
        });
        let expected = expected.map(|(to, name, tls)| (to.to_owned(), name.to_owned(), tls));
        assert_eq!(read, expected, "CFG-{id:03}: {text}");
    }
}

/// The settings that need a file are read where there are files.
#[cfg(feature = "config-file")]
mod files {
    use super::*;

    fn yaml(text: &str) -> Config {
        Config::from_yaml(text).unwrap_or_else(|error| panic!("{error:?}"))
    }

    pub(super) fn basic() {
        let config = yaml(
            "endpoints: [http://192.168.0.13:2379]\ndial-timeout: 1s\n\
             keepalive-time: 20s\nkeepalive-timeout: 3s\n",
        );
        assert_eq!(config.endpoints.texts(), ["http://192.168.0.13:2379"]);
        assert_eq!(config.connect_timeout, Duration::from_secs(1));
        assert_eq!(config.keepalive.interval, Duration::from_secs(20));
        assert_eq!(config.keepalive.timeout, Duration::from_secs(3));
    }

    /// Without settings of TLS: the authorities of the machine where they can be had, and an error
    /// elsewhere; never plaintext.
    pub(super) fn secure_by_default() {
        for text in ["endpoints: 192.168.0.13\nsecure: {}", "endpoints: 192.168.0.13"] {
            let config = Config::from_yaml(text);
            assert_eq!(config.is_ok(), cfg!(feature = "tls-native-roots"), "{config:?}");
            assert!(config.is_err() || config.unwrap().tls.is_some());
        }
        assert!(Config::from_yaml("").is_err());
    }

    pub(super) fn insecure_transport() {
        let config = yaml("endpoints: 192.168.0.13\ninsecure-transport: true");
        assert!(config.tls.is_none());
    }

    #[cfg(feature = "tls-ring")]
    pub(super) fn skip_verify() {
        let skip = "endpoints: 192.168.0.13\nsecure: {insecure-skip-tls-verify: true";
        for text in [format!("{skip}}}"), format!("{skip}, insecure-transport: true}}")] {
            let tls = yaml(&text).tls.expect("TLS");
            assert!(format!("{tls:?}").contains("skip_verification: true"), "{tls:?}");
        }
    }

    /// Certificate, key and authorities of files; not together with trusting everybody, which
    /// clientv3 takes and then lets the authorities mean nothing.
    #[cfg(feature = "tls-ring")]
    pub(super) fn secure_files() {
        let folder = std::env::temp_dir().join(format!("etcd3-rows-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let write = |name: &str, text: &str| {
            std::fs::write(folder.join(name), text).unwrap();
            folder.join(name).display().to_string()
        };
        let cert = write("c.pem", include_str!("../tls/tests/a.example.pem"));
        let key = write("k.pem", include_str!("../tls/tests/a.example-key.pem"));
        let load = |cert: &str, ca: &str, more: &str| {
            let text = format!(
                "endpoints: a.example\ncert-file: {cert}\nkey-file: {key}\n\
                 trusted-ca-file: {ca}\n{more}"
            );
            Config::from_file(write("a.yaml", &text))
        };
        let tls = load(&cert, &cert, "").unwrap().tls.expect("TLS");
        assert!(tls.has_identity());
        let error = load(&cert, &cert, "insecure-skip-tls-verify: true").unwrap_err();
        assert!(error.report().to_string().contains("line 5: insecure-skip"), "{error:?}");
        for (cert, ca) in [("bad", &cert[..]), (&cert, "bad")] {
            let error = load(cert, ca, "").unwrap_err();
            assert!(error.report().to_string().contains("bad: "), "{error:?}");
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

/// Returns the test of a row about files, or why this build has none.
fn of_file(id: u16) -> Row {
    #[cfg(all(feature = "config-file", feature = "tls-ring"))]
    match id {
        5 | 6 => return Test(files::skip_verify),
        7 | 11 | 12 | 13 => return Test(files::secure_files),
        _ => {}
    }
    #[cfg(feature = "config-file")]
    match id {
        1 => return Test(files::basic),
        4 | 9 => return Test(files::secure_by_default),
        10 => return Test(files::insecure_transport),
        _ => {}
    }
    Reason(match id {
        5..=7 | 11..=13 => "this build reads no files or has no TLS: see the features",
        _ => "this build reads no files: enable the feature `config-file`",
    })
}

fn clones_are_apart() {
    let config = Config::parse("etcd://a:1/?request_timeout=5s").unwrap();
    let clone = config.clone();
    assert_eq!(format!("{config:?}"), format!("{clone:?}"));
    let before = format!("{config:?}");
    let changed = clone.endpoints(["b"]).max_attempts(1).allow_plaintext_passwords();
    assert_eq!(changed.endpoints.texts(), ["b"]);
    assert_eq!(format!("{config:?}"), before);
}

fn credentials() {
    let user = Config::new(["a"]).user("root", "p:w");
    let token = Config::new(["a"]).token("t");
    for (url, expected) in [("etcd://root:p%3Aw@a", user), ("etcd://a/?token=t", token)] {
        let read = Config::parse(url).unwrap().credentials;
        match (read, expected.credentials) {
            (
                Some(Credentials::Password { name, password }),
                Some(Credentials::Password { name: user, password: expected }),
            ) => assert_eq!((name, password), (user, expected)),
            (Some(Credentials::Token(token)), Some(Credentials::Token(expected))) => {
                assert_eq!(token, expected);
            }
            (read, _) => panic!("{url}: {read:?}"),
        }
    }
}

/// The jitter is 20 % here, always.
fn retries_and_backoff() {
    let config = Config::new(["http://127.0.0.1:1"])
        .max_attempts(10)
        .retry_backoff_min(Duration::from_millis(100));
    assert_eq!(config.max_attempts, 10);
    assert_eq!(config.retry_backoff.first, Duration::from_millis(100));
    // No server is needed to make a client.
    let client = crate::Client::connect_lazy_on(std::sync::Arc::new(Still::default()), config);
    assert!(client.is_ok());
}

fn error(code: Code, message: &str) -> Error {
    Error::from_status(Status::new(code, message.to_owned()), Outcome::Unknown)
}

fn unavailable() {
    let is = |code, message| error(code, message).code() == Code::Unavailable;
    assert!(is(Code::Unavailable, "etcdserver: server stopped"));
    assert!(!is(Code::FailedPrecondition, "etcdserver: not capable"));
    assert!(!is(Code::Unknown, "an error"));
}

fn versions() {
    let config = Config::new(["a"]).min_server_version((3, 5));
    assert_eq!(config.min_server_version, Some(Version::new(3, 5)));
    let parsed = Config::parse("etcd://a?min_server_version=3.5").unwrap();
    assert_eq!(parsed.min_server_version, config.min_server_version);
}

fn hosts() {
    for (text, name) in [
        ("localhost", "localhost"),
        ("localhost:8080", "localhost"),
        ("192.158.7.14:8080", "192.158.7.14"),
        ("192.158.7.14", "192.158.7.14"),
        // clientv3 keeps the brackets, which no certificate has.
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:8080", "2001:db8::1"),
    ] {
        assert_eq!(text.parse::<Endpoint>().unwrap().server_name(), name);
    }
}

fn sorts() {
    let limits = Limits::default();
    let mut by_key = get("foo").sort(SortTarget::Key, SortOrder::Ascend).limit(10);
    let request = by_key.request(&limits).unwrap();
    assert_eq!((request.sort_order, request.limit), (0, 10));
    let mut by_creation = get("foo").sort(SortTarget::Create, SortOrder::Ascend);
    assert_ne!(by_creation.request(&limits).unwrap().sort_order, 0);
}

fn compacts() {
    let mut compact = compact(100).physical();
    let request = compact.request(&Limits::default()).unwrap();
    assert_eq!((request.revision, request.physical), (100, true));
}

fn equal_errors() {
    let one = error(Code::InvalidArgument, "etcdserver: key is not provided");
    assert_eq!(one, error(Code::InvalidArgument, "etcdserver: key is not provided"));
    assert_ne!(one, error(Code::InvalidArgument, "etcdserver: value is provided"));
    assert_ne!(one, error(Code::NotFound, "etcdserver: key is not provided"));
}

fn row(id: u16) -> Row {
    match id {
        1 | 4..=7 | 9..=13 => of_file(id),
        2 | 3 => Test(credentials),
        8 => Test(clones_are_apart),
        14 => Test(retries_and_backoff),
        15 => Reason("the machine of watches decides what ends one: core/src/watch, its tests"),
        16 => Test(unavailable),
        17 => Reason("there is no client without endpoints, and no logger but `tracing`"),
        18..=22 => Test(versions),
        23..=26 => Reason(
            "a client that refuses old members: `the_members_that_answer_are_new_enough_or_not` in \
             runtime-sim/tests/endpoints.rs",
        ),
        27 | 28 => Reason(
            "there is no context to put metadata into; what is sent: core/src/metadata.rs, its \
             tests",
        ),
        29..=54 => Test(endpoints),
        55 => Test(hosts),
        56 => Test(sorts),
        57 => Reason("an order or a target that does not exist does not compile"),
        58 => Reason("a range is one value, so that no two options can exclude each other"),
        59 => Test(compacts),
        60 => Test(equal_errors),
        61 => Reason("there is no discovery by DNS; asking for it is an error"),
        _ => panic!("there is no CFG-{id:03}"),
    }
}

#[test]
fn every_row_about_configuration_is_met_or_has_a_reason() {
    for id in 1..=61 {
        match row(id) {
            Test(test) => test(),
            Reason(reason) => assert!(reason.len() > 20, "CFG-{id:03}"),
        }
    }
    let listed: BTreeSet<u16> = ENDPOINTS.iter().map(|it| it.id).collect();
    assert_eq!(listed, (29..=54).collect());
}
