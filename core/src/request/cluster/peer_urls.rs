//! The addresses at which members reach each other, checked as servers check those of a new member.
//!
//! Those of a member that is there they do not check at all, and end if they cannot read them.

// M11

use crate::error::Cause;
use crate::{Error, ErrorKind, ServerError};
use core::net::Ipv6Addr;

/// Takes addresses over, without white space around them.
pub(super) fn trimmed<U: Into<String>>(urls: impl IntoIterator<Item = U>) -> Vec<String> {
    urls.into_iter().map(|url| url.into().trim().to_owned()).collect()
}

/// Returns whether these are the same addresses in whatever order: servers sort them.
pub(super) fn are_same(some: &[String], others: &[String]) -> bool {
    let sorted = |urls: &[String]| {
        let mut urls: Vec<String> = urls.iter().map(|url| with_lower_scheme(url)).collect();
        urls.sort_unstable();
        urls.dedup();
        urls
    };
    sorted(some) == sorted(others)
}

/// Returns a URL as servers write it, which may have been given with another scheme.
fn with_lower_scheme(url: &str) -> String {
    let (scheme, rest) = url.split_at(url.find(':').unwrap_or(0));
    scheme.to_ascii_lowercase() + rest
}

/// Refuses addresses that no server takes; outcome not sent.
pub(crate) fn check(urls: &[String]) -> Result<(), Error> {
    if urls.is_empty() {
        return Err(refused("there is none".to_owned()));
    }
    urls.iter().try_for_each(|url| check_one(url).map_err(|why| refused(format!("{url:?}: {why}"))))
}

fn refused(why: String) -> Error {
    Error::new(ErrorKind::Server(ServerError::MemberBadUrls)).with_cause(Cause::new(why))
}

/// Accepts what all servers can read beyond doubt.
fn check_one(url: &str) -> Result<(), &'static str> {
    const FORM: &str = "it is not of the form http://host:port";
    let Some((scheme, rest)) = url.split_once(':') else { return Err(FORM) };
    let is = |name: &str| scheme.eq_ignore_ascii_case(name);
    if is("unix") || is("unixs") {
        return if is_socket(rest) { Ok(()) } else { Err("it names no socket") };
    }
    if !is("http") && !is("https") {
        return Err("the scheme is none of http, https, unix and unixs");
    }
    let authority = rest.strip_prefix("//").ok_or(FORM)?;
    if authority.contains('/') {
        return Err("it has a path");
    }
    if is_host_and_port(authority) { Ok(()) } else { Err(FORM) }
}

fn is_host_and_port(authority: &str) -> bool {
    let Some((host, port)) = authority.rsplit_once(':') else { return false };
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_host = match bracketed {
        // The percent sign before a zone is escaped.
        Some(host) => match host.split_once("%25") {
            Some((address, zone)) => is_v6(address) && !zone.is_empty() && is_plain(zone, ""),
            None => is_v6(host),
        },
        None => is_plain(host, ""),
    };
    // A port may be empty to a server.
    is_host && port.bytes().all(|b| b.is_ascii_digit())
}

fn is_v6(address: &str) -> bool {
    address.parse::<Ipv6Addr>().is_ok()
}

/// Returns whether this is the path of a socket, or a name in the place of a host, which may end in
/// a port.
fn is_socket(rest: &str) -> bool {
    let (authority, path) = match rest.strip_prefix("//") {
        Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
        None => ("", rest),
    };
    let is_authority = match authority.split_once(':') {
        Some(_) => is_host_and_port(authority),
        None => is_plain(authority, ""),
    };
    !rest.trim_matches('/').is_empty() && is_authority && is_plain(path, "/:@")
}

/// Returns whether a text is of letters, digits, a few signs and these.
fn is_plain(text: &str, more: &str) -> bool {
    let is_fine = |c: char| c.is_alphanumeric() || "-_.~".contains(c) || more.contains(c);
    text.chars().all(is_fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    // CLU-009, CLU-010, CLU-011, CLU-012
    #[test]
    fn addresses_are_judged_as_servers_judge_them() {
        for good in [
            "http://127.0.0.1:1234",
            "https://host.example:1",
            "HTTP://a:1",
            "http://[::1]:2380",
            "http://[fe80::1%25eth0]:2380",
            "http://\u{fc}mlaut.example:1",
            "http://a:",
            "unix:a",
            "unix:/var/run/etcd.sock:1",
            "unix:///var/run/etcd",
            "unix://a/b",
            "unixs://localhost:1",
        ] {
            assert_eq!(check_one(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "http",
            "http:",
            "http://",
            "http://127.0.0.1",
            "http://127.0.0.1:2379/path",
            "http://127.0.0.1:2379/",
            "127.0.0.1:1234",
            "localhost:1234",
            "http:a:1",
            "http://a:b",
            "http://a:-1",
            "http://::1:2380",
            "http://[::1]",
            "http://[::1]2380",
            "http://a b:1",
            "http://a%zz:1",
            "http://a\":1",
            "http://user:word@a:1",
            "http://a:1?b",
            "http://a:1#%",
            "http://[fe80::1%eth0]:2380",
            "http://[::g]:1",
            "unix:",
            "unix://",
            "unix://a:b",
            "unix://a b",
            "unix:%zz",
            "ftp://a:1",
            "://a:1",
        ] {
            assert!(check_one(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_error_names_the_address() {
        let text = check(&["http://a:1".into(), "http://b".into()]).unwrap_err();
        let text = text.report().to_string();
        assert!(text.contains("http://b") && !text.contains("http://a"), "{text}");
        assert!(text.contains("given member URLs are invalid"), "{text}");
        assert!(check(&[]).unwrap_err().report().to_string().contains("there is none"));
    }

    #[test]
    fn order_and_repetition_make_no_difference() {
        let of = |urls: &[&str]| urls.iter().map(|url| (*url).to_owned()).collect::<Vec<_>>();
        assert!(are_same(&of(&["b", "a", "b"]), &of(&["a", "b"])));
        assert!(!are_same(&of(&["a"]), &of(&["a", "b"])));
        // Servers write the scheme in lower case.
        assert!(are_same(&of(&["HTTP://a:1"]), &of(&["http://a:1"])));
        assert!(!are_same(&of(&["http://A:1"]), &of(&["http://a:1"])));
        assert_eq!(trimmed([" a\n"]), ["a"]);
    }
}
