//! Reads the string of an endpoint.

use super::{DEFAULT_PORT, Destination, Security};
use core::net::Ipv6Addr;
use std::fmt::Write;
use std::path::PathBuf;

/// No interface of any system has a longer name.
const MAX_ZONE: usize = 64;

/// Reads an endpoint: its transport, and the authority of requests to it.
pub(super) fn parse(text: &str) -> Parsed {
    if text.is_empty() {
        return Err("it is empty");
    }
    let (scheme, after) = split_once(text, b':').unwrap_or(("", text));
    let is = |name: &str| scheme.eq_ignore_ascii_case(name);
    let rest = after.strip_prefix("//");
    let (security, rest) = match rest {
        _ if is("unix") => return unix(Security::Unspecified, rest.unwrap_or(after)),
        _ if is("unixs") => return unix(Security::Tls, rest.unwrap_or(after)),
        _ if is("unix-abstract") => {
            return abstract_unix(Security::Unspecified, rest.unwrap_or(after));
        }
        _ if text.contains(',') => return Err("there is a comma in it: give endpoints one by one"),
        Some(rest) if is("http") => (Security::Plaintext, rest),
        Some(rest) if is("https") => (Security::Tls, rest),
        None if !text.contains("://") => (Security::Unspecified, text),
        _ => return Err("the scheme is none of http, https, unix, unixs and unix-abstract"),
    };
    let is_url = security != Security::Unspecified;
    let rest = if is_url { rest.strip_suffix('/').unwrap_or(rest) } else { rest };
    let (destination, authority) = host_and_port(rest, is_url)?;
    Ok((security, destination, authority))
}

type Parsed = Result<(Security, Destination, String), &'static str>;

fn unix(security: Security, path: &str) -> Parsed {
    if let Some(name) = path.strip_prefix('@') {
        return abstract_unix(security, name);
    }
    if path.is_empty() || path.contains('\0') {
        return Err("the path of the socket is missing");
    }
    Ok((security, Destination::Unix(PathBuf::from(path)), unix_authority(path)))
}

fn abstract_unix(security: Security, name: &str) -> Parsed {
    if name.is_empty() || name.contains('\0') {
        return Err("the name of the socket is missing");
    }
    Ok((security, Destination::UnixAbstract(name.to_owned()), unix_authority(name)))
}

/// Returns the authority of requests to a socket, whose name may hold what no authority may.
fn unix_authority(path: &str) -> String {
    let name = path.rsplit('/').next().filter(|name| is_authority(name));
    name.unwrap_or("localhost").to_owned()
}

fn is_authority(text: &str) -> bool {
    let Ok((host, port)) = split_port(text) else { return false };
    let is_host = is_name(host) || host.parse::<Ipv6Addr>().is_ok();
    is_host && port.is_none_or(|port| parse_port(port).is_ok())
}

fn host_and_port(text: &str, is_url: bool) -> Result<(Destination, String), &'static str> {
    if text.bytes().any(|b| matches!(b, b'/' | b'?' | b'#')) {
        return Err("there is something after the port");
    }
    if text.bytes().any(|b| b == b'@') {
        return Err("credentials do not belong into an endpoint");
    }
    let (host, port) = split_port(text)?;
    let port = match port {
        None => DEFAULT_PORT,
        Some(digits) => parse_port(digits)?,
    };
    let (address, zone) = split_zone(host, is_url)?;
    if is_v6(address) {
        let host = match zone {
            None => address.to_owned(),
            Some(zone) => format!("{address}%{zone}"),
        };
        return Ok((Destination::Host { host, port }, format!("[{address}]:{port}")));
    }
    // An IPv4 address reads like a name.
    if zone.is_some() || !is_name(host) {
        return Err("the host is neither a name nor an address");
    }
    Ok((Destination::Host { host: host.to_owned(), port }, authority(host, port)))
}

fn authority(host: &str, port: u16) -> String {
    let digits = port.checked_ilog10().map_or(1, |log| log as usize + 1);
    // Not more than it takes: it would be copied for that.
    let mut text = String::with_capacity(host.len() + 1 + digits);
    // A string takes all that is written.
    let _ = write!(text, "{host}:{port}");
    text
}

/// Splits a text at the first such byte of ASCII, quickly if it is short.
fn split_once(text: &str, byte: u8) -> Option<(&str, &str)> {
    let at = text.bytes().position(|b| b == byte)?;
    Some((&text[..at], &text[at + 1..]))
}

/// Splits a host from its port; brackets of an IPv6 address are taken off.
fn split_port(text: &str) -> Result<(&str, Option<&str>), &'static str> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or("a bracket is not closed")?;
        if !is_v6(host) {
            return Err("what stands in brackets is not an IPv6 address");
        }
        return match after.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if after.is_empty() => Ok((host, None)),
            None => Err("there is something after the bracket"),
        };
    }
    // Its last group may be a port, whatever was meant.
    if is_v6(text) || text.rsplit_once(':').is_some_and(|(before, _)| is_v6(before)) {
        return Err("write an IPv6 address in brackets, as in [::1]:2379");
    }
    match split_once(text, b':') {
        None => Ok((text, None)),
        Some((host, port)) => Ok((host, Some(port))),
    }
}

/// Returns whether this is an IPv6 address, with a zone or without.
fn is_v6(host: &str) -> bool {
    let mut colons = host.bytes().filter(|b| *b == b':');
    if colons.nth(1).is_none() {
        return false;
    }
    let address = split_once(host, b'%').map_or(host, |(address, _)| address);
    address.parse::<Ipv6Addr>().is_ok()
}

/// Splits an address from its zone, whose percent sign URLs escape (RFC 6874).
fn split_zone(host: &str, is_url: bool) -> Result<(&str, Option<&str>), &'static str> {
    let Some((address, zone)) = split_once(host, b'%') else { return Ok((host, None)) };
    let zone = if is_url { zone.strip_prefix("25").unwrap_or(zone) } else { zone };
    let is_fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~');
    if zone.is_empty() || zone.len() > MAX_ZONE || !zone.bytes().all(is_fine) {
        return Err("what follows the percent sign is not a zone");
    }
    Ok((address, Some(zone)))
}

fn parse_port(digits: &str) -> Result<u16, &'static str> {
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let port = plain.then(|| digits.parse::<u16>().ok()).flatten();
    port.filter(|&port| port != 0).ok_or("the port is not a number from 1 to 65535")
}

fn is_name(host: &str) -> bool {
    let is_fine = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let is_label = |label: &[u8]| (1..=63).contains(&label.len()) && label.iter().all(is_fine);
    let host = host.strip_suffix('.').unwrap_or(host);
    host.len() <= 253 && host.as_bytes().split(|b| *b == b'.').all(is_label)
}
