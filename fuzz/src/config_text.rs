//! Configurations from any text: a list, a URL, YAML and TOML (C1, C27, I-A5).

use etcd3::{Config, Error};

/// What stands before an at sign may be a password.
const CANARY: &str = "canary";

/// Every text is read or refused, and no error shows a password or forges a line of a log.
pub fn config_text(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let secret = match text.find('@') {
        Some(at) if !text.contains(CANARY) => format!("{}{CANARY}{}", &text[..at], &text[at..]),
        _ => text.to_owned(),
    };
    check(Config::parse(text));
    check(Config::from_yaml(text));
    check(Config::from_toml(text));
    if let Some(shown) = check(Config::parse(&secret)) {
        assert!(!shown.contains(CANARY) || text.contains(CANARY), "a secret is shown: {shown}");
    }
    // What is only read when the client is made is not shown before, either.
    let later = Config::from(&secret[..]);
    assert!(Config::parse(&secret).is_ok() || !format!("{later:?}").contains("canary@"));
}

fn check(read: Result<Config, Error>) -> Option<String> {
    let shown = read.err()?.report().to_string();
    assert!(!shown.contains(char::is_control), "a log line could be forged: {shown:?}");
    Some(shown)
}
