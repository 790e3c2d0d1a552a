//! A configuration as one URL.

use super::draft::{Draft, Origin, refused};
use super::keys::{self, Setting};
use super::text::{Refusal, Text};
use super::{Config, Error};
use etcd3_core::Secret;

/// Returns what follows the scheme of a URL that is a whole configuration, and whether its
/// endpoints speak TLS.
pub(super) fn strip(text: &str) -> Option<(&str, bool)> {
    let text = text.trim();
    let (scheme, rest) = text.split_once("://")?;
    match scheme {
        _ if scheme.eq_ignore_ascii_case("etcd") => Some((rest, false)),
        _ if scheme.eq_ignore_ascii_case("etcds") => Some((rest, true)),
        _ => None,
    }
}

/// Reads what follows the scheme.
pub(super) fn parse(rest: &str, is_tls: bool) -> Result<Config, Error> {
    read(rest, is_tls).map_err(|why| refused(format!("in the URL: {why}")))
}

/// What stands where in a URL.
struct Parts<'a> {
    user: Option<&'a str>,
    hosts: &'a str,
    query: &'a str,
}

// What an error shows of a URL must not be part of a password: so it shows the names of parameters,
// and those only when nothing can have been cut off a password.
fn read(rest: &str, is_tls: bool) -> Result<Config, Refusal> {
    let Parts { user, hosts, query } = split(rest)?;
    let mut draft = Draft::new(Origin::Url);
    let prefix = if is_tls { "https://" } else { "" };
    let hosts = hosts.split(',').map(str::trim).filter(|host| !host.is_empty());
    // In a URL the percent sign of an IPv6 zone is escaped.
    let endpoints = hosts.map(|host| format!("{prefix}{}", host.replace("%25", "%"))).collect();
    draft.endpoints(endpoints);
    draft.hosts_only()?;
    if let Some(user) = user {
        let (name, password) = user.split_once(':').unwrap_or((user, ""));
        for (key, text) in [("username", name), ("password", password)] {
            set(&mut draft, key, &format!("the {key}"), text)?;
        }
    }
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let name = decode(name).map_err(|why| format!("the name of a parameter: {why}"))?;
        set(&mut draft, name.expose(), name.expose(), value)?;
    }
    draft.finish()
}

fn split(rest: &str) -> Result<Parts<'_>, Refusal> {
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, after) = rest.split_at(end);
    if after.contains('@') {
        let why = "write %40 for an at sign in a parameter, and percent-encode the name and the \
                   password of a user";
        return Err(why.to_owned());
    }
    let (user, hosts) = match authority.rsplit_once('@') {
        Some((user, hosts)) => (Some(user), hosts),
        None => (None, authority),
    };
    let (path, query) = after.split_once('?').unwrap_or((after, ""));
    if !matches!(path, "" | "/") {
        return Err("there is a path after the endpoints".to_owned());
    }
    if query.contains('#') {
        return Err("there is a fragment".to_owned());
    }
    Ok(Parts { user, hosts, query })
}

fn set(draft: &mut Draft, name: &str, called: &str, value: &str) -> Result<(), Refusal> {
    let known = keys::find(name, false).filter(|(key, _)| !is_hosts(key.setting));
    let Some((key, is_clientv3)) = known else {
        return Err(keys::unknown("the parameter ", name));
    };
    let value = decode(value).map_err(|why| format!("{called}: {why}"))?;
    draft.note(key, called.to_owned())?;
    let text = Text::quoted(value.expose());
    if text.is_nothing() {
        return Err(format!("{called}: a value is missing"));
    }
    draft.set(key.setting, &text, is_clientv3).map_err(|why| format!("{called}: {why}"))
}

fn is_hosts(setting: Setting) -> bool {
    matches!(setting, Setting::Endpoints)
}

/// Decodes what is percent-encoded; a plus stands for itself.
fn decode(text: &str) -> Result<Secret, Refusal> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|b| char::from(b).to_digit(16));
        let decoded = digit().zip(digit()).and_then(|(a, b)| u8::try_from(a * 16 + b).ok());
        bytes.push(decoded.ok_or("two hexadecimal digits must follow a percent sign")?);
    }
    // What cannot be decoded is handed back by the error, and must not be kept in it.
    let text = String::from_utf8(bytes).map_err(|_| "what is percent-encoded is not UTF-8")?;
    Ok(Secret::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use std::time::Duration;

    fn report(url: &str) -> String {
        let error = url.parse::<Config>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        error.report().to_string()
    }

    // C1, C34
    #[test]
    fn a_url_is_a_whole_configuration() {
        let url = " etcd://a:1,b,[fe80::1%25eth0]:2/?request_timeout=1m30s&max-attempts=3&\
                   require_leader=true&dial-timeout=2s ";
        let error = report(url);
        assert!(error.contains("\"dial-timeout\" is unknown"), "{error}");
        let config = Config::parse(&url.replace("dial-timeout", "connect%5Ftimeout")).unwrap();
        assert_eq!(config.endpoints.texts(), ["a:1", "b", "[fe80::1%eth0]:2"]);
        assert_eq!(config.request_timeout, Duration::from_secs(90));
        assert_eq!(config.connect_timeout, Duration::from_secs(2));
        assert_eq!((config.max_attempts, config.require_leader), (3, true));
        let config = Config::from("ETCDS://a,b:1");
        assert_eq!(config.endpoints.texts(), ["https://a", "https://b:1"]);
        assert_eq!(Config::parse("etcd://a").unwrap().endpoints.texts(), ["a"]);
    }

    #[test]
    fn what_is_wrong_in_a_url_is_named() {
        for (url, told) in [
            ("etcd://", "no endpoints"),
            ("etcd://u:p@/", "no endpoints"),
            ("etcd://a/b", "a path after the endpoints"),
            ("etcd://a/#b", "a path"),
            ("etcd://a?#b", "a fragment"),
            ("etcd://a:0", "endpoint \"a:0\": the port"),
            ("etcd://b,unix:", "endpoint \"unix:\": the path"),
            ("etcd://a?requst_timeout=5s", "the parameter \"requst_timeout\" is unknown"),
            ("etcd://a?endpoints=b", "the parameter \"endpoints\" is unknown"),
            ("etcd://a?ping_interval=5x", "ping_interval: give a duration such as 5s"),
            ("etcd://a?ping_interval", "ping_interval: a value is missing"),
            ("etcd://a?max_attempts=1&max-attempts=2", "max-attempts: the same was given as max_"),
            ("etcd://a?token=%4", "token: two hexadecimal digits"),
            ("etcd://a?token=%ff", "token: what is percent-encoded is not UTF-8"),
            ("etcd://root@a", "the password: a value is missing"),
            ("etcd://root:p@a?token=t", "token: that contradicts the username"),
            ("etcd://root:p@a?username=r", "username: the same was given as the username"),
            ("etcd://a?cert_file=c", "cert_file: its key must be given, too"),
            ("etcd://a?ca_file=c&insecure_skip_tls_verify=true", "that contradicts ca_file"),
        ] {
            let report = report(url);
            assert!(report.contains(told), "{url}: {report}");
        }
    }

    // Whatever is mistaken in a URL, no part of a password is shown. I-A5
    #[test]
    fn no_error_about_a_url_shows_a_secret() {
        for url in [
            "etcd://u:canary@:0",
            "etcd://u:can/ary@a",
            "etcd://u:1/canary@a",
            "etcd://u:1?canary=x@a",
            "etcd://u:1?canary@a",
            "etcd://u:1#canary@a",
            "etcd://u:p@q?canary@a",
            "etcd://u:canary,ary@:0",
            "etcd://u:canary%4@a",
            "etcd://u:canary%ff@a",
            "etcd://u:canary@a?ping_interval=canary",
            "etcd://u:canary@a?what=canary",
            "etcd://a?password=canary",
            "etcd://a?password:canary",
            "etcd://a?token=canary&token=canary",
            "http://u:canary@a",
            "u:canary@a",
            "b,u:canary,c@a",
            "b,u:canary",
            "u:p@canary:x@a",
        ] {
            let config = Config::from(url);
            let refused = [config.validate().err(), Config::parse(url).err()];
            for error in refused.into_iter().flatten() {
                for told in [format!("{error:?}"), format!("{error:#?}"), format!("{error}")] {
                    let is_shown = told.contains("canary") || told.contains("ary");
                    // Nothing tells that this is a password, and not a port.
                    assert!(!is_shown || url == "b,u:canary", "{url}: {told}");
                }
            }
            assert!(Config::parse(url).is_err(), "{url}");
            let debug = format!("{config:?}");
            assert!(!debug.contains("canary") || url == "b,u:canary", "{url}: {debug}");
        }
    }
}
