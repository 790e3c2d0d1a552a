//! What files say, and what is said of those that are wrong.

use super::*;
use crate::ErrorKind;
use crate::tokens::Credentials;
use std::time::Duration;

fn told(result: Result<Config, Error>) -> String {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    error.report().to_string()
}

// C25, C27, C28
#[test]
fn both_spellings_and_both_formats_say_the_same() {
    let clientv3 = "endpoints: ['http://a:1', \"b:2\"]\nauto-sync-interval: 60000000000\n\
                    dial-timeout: 2000000000\ndial-keep-alive-time: 30s\n\
                    dial-keep-alive-timeout: 7s\nmax-unary-retries: 7\n\
                    backoff-wait-between: 50ms\nbackoff-jitter-fraction: 0.5\n\
                    permit-without-stream: true\nreject-old-cluster: false\n\
                    MaxCallSendMsgSize: 1000\nMaxCallRecvMsgSize: 2000\n\
                    insecure-transport: true\n";
    let spec = "endpoints:\n  - http://a:1\n  - b:2\nauto_sync: 1m\ndial-timeout: 2s\n\
                keepalive-time: 30000000000\nkeepalive-timeout: 7s\nmax-attempts: 7\n\
                retry_backoff_min: 50ms\nmax-request-bytes: 1000\nmax-recv-bytes: 2000\n\
                secure:\n  insecure-transport: true\nauth: {}\n";
    let json = r#"{"endpoints": "http://a:1, b:2", "auto-sync": "1m", "connect-timeout": "2s",
                   "ping-interval": "30s", "ping-timeout": "7s", "max-attempts": 7,
                   "retry-backoff-min": 50000000, "max-request-bytes": 1000,
                   "max-response-bytes": 2000, "insecure-transport": true, "token": null}"#;
    let toml = "endpoints = ['http://a:1', \"b:2\"]\nauto-sync = '1m'\n\
                dial-timeout = 2_000_000_000\n\
                keepalive-time = '30s'\nping_timeout = '7s'\nmax-attempts = 7\n\
                retry-backoff-min = '50ms'\nmax-request-bytes = 1000\nmax-recv-bytes = 2000\n\
                [secure]\ninsecure-transport = true\n[auth]\nusername = ''\n";
    let expected = Config::new(["http://a:1", "b:2"])
        .auto_sync(Duration::from_secs(60))
        .connect_timeout(Duration::from_secs(2))
        .ping_interval(Duration::from_secs(30))
        .ping_timeout(Duration::from_secs(7))
        .max_attempts(7)
        .retry_backoff_min(Duration::from_millis(50))
        .max_request_bytes(1000)
        .max_response_bytes(2000);
    let read = [clientv3, spec, json].map(|text| Config::from_yaml(text).unwrap());
    for config in read.into_iter().chain([Config::from_toml(toml).unwrap()]) {
        assert_eq!(format!("{config:?}"), format!("{expected:?}"));
    }
}

// C3, C16: where clientv3 has zero for its default.
#[test]
fn zero_is_the_default_by_the_names_of_clientv3_alone() {
    let zeros = "endpoints: http://a\ndial-timeout: 0\nmax-unary-retries: 0\n\
                 max-recv-bytes: 0\nkeepalive-time: 0s\n";
    let config = Config::from_yaml(zeros).unwrap();
    assert_eq!(format!("{config:?}"), format!("{:?}", Config::new(["http://a"])));
    let config = Config::from_yaml("endpoints: http://a\nconnect-timeout: 0").unwrap();
    assert!(config.validate().is_err());
}

#[test]
fn what_is_wrong_in_a_file_is_named_with_its_line() {
    for (text, expected) in [
        ("", "no endpoints are given"),
        ("null", "no endpoints are given"),
        ("- a", "line 1: there is no table of settings"),
        ("endpoints: [a\nb: c", "line 2: not YAML as it is read here"),
        ("endpoints: a\n---\nb: c", "there is more than one document"),
        ("a: &x b\nc: *x", "line 1: not YAML as it is read here: there are no anchors"),
        ("a: [[[[[[[[[[x]]]]]]]]]]", "nested too deep"),
        ("? [a]\n: b", "a key is no text"),
        ("endpoints: a\n\ndial-timout: 5s", "line 3: \"dial-timout\" is unknown"),
        ("secure:\n  cacrt: a", "line 2: \"secure.cacrt\" is unknown"),
        ("secure: a", "line 1: \"secure\" is unknown"),
        ("cert: a", "line 1: \"cert\" is unknown"),
        ("dial-timeout: 5x", "line 1: dial-timeout: give a duration such as 5s"),
        ("dial-timeout: '5'", "line 1: dial-timeout: give a duration such as 5s"),
        ("dial-timeout: [5s]", "line 1: dial-timeout: give one value, not a list"),
        ("token: {a: b}", "line 1: token: give a value, not a table"),
        ("endpoints:\n- a\n- [b]", "line 3: endpoints: give each endpoint as a text"),
        ("a: b\nendpoints: c", "line 1: \"a\" is unknown"),
        ("endpoints: ['ftp://a']", "line 1: endpoints: endpoint \"ftp://a\": the scheme"),
        ("token: a\nauth: {token: b}", "line 2: auth.token: the same was given as line 1: token"),
        ("max-attempts: 1\nmax_attempts: 2", "line 2: max_attempts: the same was given as line 1"),
        ("reject-old-cluster: true", "line 1: reject-old-cluster: say which version"),
        ("backoff-jitter-fraction: 2", "line 1: backoff-jitter-fraction: give a number from 0"),
        ("min-server-version: three", "line 1: min-server-version: give a version such as 3.5"),
        ("endpoints: a\ncert-file: c", "line 2: cert-file: its key must be given, too"),
        ("endpoints: a\nkey-file: k", "line 2: key-file: its certificate must be given, too"),
        ("endpoints: http://a\npassword: k", "line 2: password: a user must be given, too"),
        ("endpoints: http://a\nusername: k", "line 2: username: a password must be given, too"),
    ] {
        let told = told(Config::from_yaml(text));
        assert!(told.contains(expected), "{text:?}: {told}");
    }
    for (text, expected) in [
        ("endpoints = ['a'", "line 1: not TOML as it is read here"),
        ("x = 1\nx = 2", "line 2: not TOML as it is read here"),
        ("endpoints = 'a'\n[secure]\ncacrt = 'b'", "line 3: \"secure.cacrt\" is unknown"),
        ("b = 1\na = 2", "line 1: \"b\" is unknown"),
        ("endpoints = [\n'a',\n1979-05-27,\n{}]", "line 4: endpoints: give each endpoint"),
        ("request-timeout = 1.5", "line 1: request-timeout: give a duration"),
    ] {
        let told = told(Config::from_toml(text));
        assert!(told.contains(expected), "{text:?}: {told}");
    }
}

// C10, C11
#[test]
fn users_and_tokens_are_read() {
    for (text, is_user) in [
        ("endpoints: http://a\nauth: {username: root, password: 123}", true),
        ("endpoints: http://a\nusername: root\npassword: '123'", true),
        ("endpoints: http://a\ntoken: '123'\nusername:", false),
        ("endpoints: http://a\nauth:\n  token: 123\n", false),
    ] {
        let config = Config::from_yaml(text).unwrap();
        assert!(!format!("{config:?}").contains("123"));
        match config.credentials {
            Some(Credentials::Password { name, password }) if is_user => {
                assert_eq!((&name[..], password.expose()), ("root", "123"));
            }
            Some(Credentials::Token(token)) if !is_user => assert_eq!(token.expose(), "123"),
            other => panic!("{other:?}"),
        }
    }
}

// I-A5
#[test]
fn no_error_about_a_file_shows_a_secret() {
    for text in [
        "password: canary\nusername: [canary]",
        "password: canary\ndial-timeout: canary",
        "password: 'canary\nendpoints: a",
        "password: canary: canary",
        "password: @canary",
        "password: *canary",
        "password: &canary\n%canary",
        "password: !canary canary",
        "password: \"\\canary\"",
        "password: [canary",
        "password: canary",
        "auth: {password:canary}",
        "endpoints: [\"http://u:canary@a\"]",
        "endpoints: u:can,canary@a",
        "token: canary\npassword: canary\nendpoints: a",
    ] {
        let errors = [Config::from_yaml(text), Config::from_toml(&text.replace(": ", " = "))];
        for error in errors.map(Result::unwrap_err) {
            for told in [format!("{error:?}"), format!("{error:#?}"), format!("{error}")] {
                assert!(!told.contains("canary"), "{text:?}: {told}");
            }
        }
    }
}

// C26, C29, C36: whatever says nothing of TLS is never plaintext by accident.
#[test]
fn endpoints_that_do_not_say_speak_tls_unless_the_file_says_otherwise() {
    let open = Config::from_yaml("endpoints: ['http://a', 'b:1']");
    if cfg!(feature = "tls-native-roots") {
        assert!(open.unwrap().tls.is_some());
    } else {
        let told = told(open);
        assert!(told.contains("line 1: endpoints: endpoint number 2 does not say"), "{told}");
    }
    for text in ["endpoints: http://a", "endpoints: b:1\ninsecure-transport: true"] {
        assert!(Config::from_yaml(text).unwrap().tls.is_none(), "{text}");
    }
    let told = Config::from_yaml("endpoints: ['http://a', 'b:1']\nca-file: ca.pem");
    assert_eq!(told.is_ok(), cfg!(feature = "_tls"), "{told:?}");
}

// C29
#[test]
fn a_file_is_read_by_its_name() {
    let folder = std::env::temp_dir().join(format!("etcd3-config-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let yaml = write("a.yml", "endpoints: http://a\n");
    assert_eq!(Config::from_file(&yaml).unwrap().endpoints.texts(), ["http://a"]);
    let toml = write("a.toml", "endpoints = 'http://b'\n");
    assert_eq!(Config::from_file(&toml).unwrap().endpoints.texts(), ["http://b"]);
    for (path, expected) in [
        (write("a.ini", ""), "the name must end in"),
        (folder.join("none.yaml"), "none.yaml: "),
        (write("b.toml", "x = 1"), "b.toml: line 1: \"x\" is unknown"),
        (write("long.yaml", &"#".repeat(1 << 21)), "longer than"),
    ] {
        let told = told(Config::from_file(&path));
        assert!(told.contains(expected), "{told}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
