//! When a JWT expires, as far as it says so.

// A9, A17

use crate::Secret;
use std::time::Duration;
use zeroize::Zeroizing;

/// The longest token that is looked at, in bytes.
const MAX_LEN: usize = 64 << 10;

/// Returns when a token expires, as the time since 1970: the claim `exp` of a JWT. `None` for
/// whatever cannot be read, since nothing depends on it.
pub(super) fn expiry(token: &Secret) -> Option<Duration> {
    let token = token.expose();
    if token.len() > MAX_LEN {
        return None;
    }
    let mut parts = token.split('.');
    let (_head, payload, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let claims = decode(payload)?;
    exp_of(&claims)
}

/// Decodes base64url, padded or not.
fn decode(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let text = text.trim_end_matches('=');
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len() * 3 / 4 + 1));
    let (mut bits, mut count) = (0_u32, 0_u32);
    for digit in text.bytes() {
        let digit = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(digit);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from((bits >> count) & 0xff).ok()?);
        }
    }
    Some(bytes)
}

/// Finds the claim `exp` of the outermost object, a number of seconds.
fn exp_of(json: &[u8]) -> Option<Duration> {
    let (mut depth, mut at) = (0_u32, 0);
    while let Some(byte) = json.get(at) {
        at += 1;
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.checked_sub(1)?,
            b'"' => {
                let end = end_of_string(json, at)?;
                let (name, rest) = (json.get(at..end)?, json.get(end + 1..)?.trim_ascii_start());
                if depth == 1 && name == b"exp" && rest.first() == Some(&b':') {
                    return seconds(rest.get(1..)?.trim_ascii_start());
                }
                at = end + 1;
            }
            _ => {}
        }
    }
    None
}

/// Returns where the string ends that begins here.
fn end_of_string(json: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        match json.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// Reads a number of seconds, a fraction or an exponent included.
fn seconds(text: &[u8]) -> Option<Duration> {
    let is_part =
        |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-');
    let len = text.iter().position(|byte| !is_part(byte))?;
    let number: f64 = std::str::from_utf8(text.get(..len)?).ok()?.parse().ok()?;
    Duration::try_from_secs_f64(number).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(text: &str) -> String {
        const DIGITS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut encoded = String::new();
        for chunk in text.as_bytes().chunks(3) {
            let mut bits = [0_u8; 4];
            bits[1..=chunk.len()].copy_from_slice(chunk);
            let bits = u32::from_be_bytes(bits);
            for n in 0..=chunk.len() {
                let digit = (bits >> (18 - 6 * n)) & 63;
                encoded.push(char::from(DIGITS[usize::try_from(digit).unwrap()]));
            }
        }
        encoded
    }

    fn expiry_of(claims: &str) -> Option<u64> {
        let token = Secret::new(format!("e30.{}.c2ln", encode(claims)));
        expiry(&token).map(|at| at.as_secs())
    }

    // A17
    #[test]
    fn the_expiry_of_a_jwt_is_read() {
        for (claims, seconds) in [
            (r#"{"exp":1700000000,"revision":7,"username":"a"}"#, Some(1_700_000_000)),
            (r#"{ "username" : "exp" , "exp" : 1.7e9 }"#, Some(1_700_000_000)),
            (r#"{"username":"\"exp\":1,","exp":12.9}"#, Some(12)),
            (r#"{"a":{"exp":1},"b":["exp",{"exp":2}],"exp":3}"#, Some(3)),
            (r#"{"a":{"exp":1}}"#, None),
            (r#"{"exp":"1700000000"}"#, None),
            (r#"{"exp":-1}"#, None),
            (r#"{"exp":1e400}"#, None),
            (r#"{"exp":null}"#, None),
            (r#"{"exp":12"#, None),
            (r#"{"exp"#, None),
            (r#"{"e\"#, None),
            ("}}}", None),
            ("", None),
        ] {
            assert_eq!(expiry_of(claims), seconds, "{claims}");
        }
    }

    #[test]
    fn what_is_no_jwt_has_no_expiry() {
        let good = encode(r#"{"exp":5}"#);
        assert_eq!(expiry(&Secret::new(format!("a.{good}=.b"))), Some(Duration::from_secs(5)));
        for token in [
            "FYRKzpAbcDefGhIj.19".to_owned(),
            String::new(),
            "..".to_owned(),
            format!("a.{good}"),
            format!("a.{good}.b.c"),
            format!("a.{good}+.b"),
            format!("a.{}.b", good.repeat(1 << 14)),
        ] {
            assert_eq!(expiry(&Secret::new(token)), None);
        }
    }
}
