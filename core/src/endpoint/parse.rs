//! Reads the string of an endpoint.

use super::{DEFAULT_PORT, Place, Security};
use core::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;

/// No interface of any system has a longer name.
const MAX_ZONE: usize = 64;

/// Reads an endpoint: its transport, and the authority of requests to it.
pub(super) fn parse(text: &str) -> Result<(Security, Place, String), &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    if let Some((scheme, path)) = text.split_once(':') {
        let path = path.strip_prefix("//").unwrap_or(path);
        match scheme.to_ascii_lowercase().as_str() {
            "unix" => return unix(Security::Unspecified, path),
            "unixs" => return unix(Security::Tls, path),
            _ => {}
        }
    }
    let (security, rest) = match text.split_once("://") {
        None => (Security::Unspecified, text),
        Some((scheme, rest)) => match scheme.to_ascii_lowercase().as_str() {
            "http" => (Security::Plaintext, rest),
            "https" => (Security::Tls, rest),
            _ => return Err("the scheme is none of http, https, unix and unixs"),
        },
    };
    let is_url = security != Security::Unspecified;
    let rest = if is_url { rest.strip_suffix('/').unwrap_or(rest) } else { rest };
    let (place, authority) = host_and_port(rest, is_url)?;
    Ok((security, place, authority))
}

fn unix(security: Security, path: &str) -> Result<(Security, Place, String), &'static str> {
    if path.is_empty() || path.contains('\0') {
        return Err("the path of the socket is missing");
    }
    // The name of a socket may hold anything; an authority may not.
    let name = path.rsplit('/').next().filter(|name| is_authority(name));
    let authority = name.unwrap_or("localhost").to_owned();
    Ok((security, Place::Unix(PathBuf::from(path)), authority))
}

fn is_authority(text: &str) -> bool {
    // Without brackets the end of an IPv6 address would be read as a port.
    let is_bare = text.parse::<Ipv6Addr>().is_ok();
    let Ok((host, port)) = split_port(text) else { return false };
    let is_host = is_name(host) || host.parse::<IpAddr>().is_ok();
    !is_bare && is_host && port.is_none_or(|port| parse_port(port).is_ok())
}

fn host_and_port(text: &str, is_url: bool) -> Result<(Place, String), &'static str> {
    if text.contains(['/', '?', '#']) {
        return Err("there is something after the port");
    }
    if text.contains('@') {
        return Err("credentials do not belong into an endpoint");
    }
    let (host, port) = split_port(text)?;
    let port = match port {
        None => DEFAULT_PORT,
        Some(digits) => parse_port(digits)?,
    };
    let (address, zone) = split_zone(host, is_url)?;
    if address.parse::<Ipv6Addr>().is_ok() {
        let host = match zone {
            None => address.to_owned(),
            Some(zone) => format!("{address}%{zone}"),
        };
        return Ok((Place::Host { host, port }, format!("[{address}]:{port}")));
    }
    let known = zone.is_none() && (host.parse::<IpAddr>().is_ok() || is_name(host));
    if !known {
        return Err("the host is neither a name nor an address");
    }
    Ok((Place::Host { host: host.to_owned(), port }, format!("{host}:{port}")))
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
    if is_v6(text) {
        return Ok((text, None));
    }
    match text.split_once(':') {
        None => Ok((text, None)),
        Some((host, port)) => Ok((host, Some(port))),
    }
}

/// Whether this is an IPv6 address, with a zone or without.
fn is_v6(host: &str) -> bool {
    let address = host.split_once('%').map_or(host, |(address, _)| address);
    address.parse::<Ipv6Addr>().is_ok()
}

/// Splits an address from its zone, whose percent sign URLs escape (RFC 6874).
fn split_zone(host: &str, is_url: bool) -> Result<(&str, Option<&str>), &'static str> {
    let Some((address, zone)) = host.split_once('%') else { return Ok((host, None)) };
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
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    host.len() <= 253 && host.split('.').all(label)
}
