//! etcd's JSON gateway, for looking at a server without the client under test.

use crate::{Error, Result, http};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

/// The state of a member and of its cluster, as the member sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemberStatus {
    /// The member's own id.
    pub member_id: u64,
    /// The id of the leader, or 0 when the member knows none.
    pub leader: u64,
    /// The member's raft term.
    pub raft_term: u64,
    /// The revision of the member's own store.
    pub revision: i64,
}

impl MemberStatus {
    /// Tells whether the member takes itself for the leader.
    pub fn is_leader(&self) -> bool {
        self.leader != 0 && self.leader == self.member_id
    }
}

/// The gRPC gateway of one member, which speaks JSON over HTTP.
#[derive(Debug, Clone, Copy)]
pub(crate) struct JsonGateway {
    pub(crate) addr: SocketAddr,
    pub(crate) limit: Duration,
}

impl JsonGateway {
    pub(crate) fn status(self) -> Result<MemberStatus> {
        let body = self.post("/v3/maintenance/status", "{}")?;
        let number = |name| field(&body, name).and_then(|number| number.parse::<u64>().ok());
        Ok(MemberStatus {
            member_id: number("member_id")
                .ok_or_else(|| Error::new(format!("no member id in {body}")))?,
            // What is zero is left out of etcd's JSON.
            leader: number("leader").unwrap_or_default(),
            raft_term: number("raft_term").unwrap_or_default(),
            revision: field(&body, "revision").and_then(|it| it.parse().ok()).unwrap_or_default(),
        })
    }

    pub(crate) fn put(self, key: &[u8], value: &[u8]) -> Result<()> {
        let (key, value) = (encode(key), encode(value));
        self.post("/v3/kv/put", &format!(r#"{{"key":"{key}","value":"{value}"}}"#))?;
        Ok(())
    }

    pub(crate) fn range(self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let body = self.post("/v3/kv/range", &format!(r#"{{"key":"{}"}}"#, encode(key)))?;
        if field(&body, "kvs").is_none() {
            return Ok(None);
        }
        // An empty value is left out of etcd's JSON.
        decode(field(&body, "value").unwrap_or_default()).map(Some)
    }

    /// Adds a member and returns the peer addresses of all members.
    pub(crate) fn member_add(self, peer_url: &str, learner: bool) -> Result<Vec<String>> {
        let request = format!(r#"{{"peerURLs":["{peer_url}"],"isLearner":{learner}}}"#);
        let body = self.post("/v3/cluster/member/add", &request)?;
        let (_, members) = body.split_once("\"members\":").unwrap_or_default();
        Ok(peer_urls(members))
    }

    fn post(self, path: &str, json: &str) -> Result<String> {
        http::post(self.addr, path, json, self.limit)?.ok().map_err(Error::doing(path))
    }
}

/// Finds the value of the first field with that name: a number, a string without its quotes, or
/// the beginning of what is nested.
fn field<'a>(json: &'a str, name: &str) -> Option<&'a str> {
    let (_, value) = json.split_once(&format!("\"{name}\":"))?;
    let value = value.trim_start();
    match value.strip_prefix('"') {
        Some(string) => string.split('"').next(),
        None => value.split([',', '}', ']']).next(),
    }
}

fn peer_urls(members: &str) -> Vec<String> {
    members
        .split("\"peerURLs\":[")
        .skip(1)
        .filter_map(|rest| rest.split(']').next())
        .flat_map(|list| list.split(','))
        .map(|url| url.trim().trim_matches('"').to_owned())
        .collect()
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn encode(bytes: &[u8]) -> String {
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let word = (0..3).fold(0, |word, i| word << 8 | usize::from(*group.get(i).unwrap_or(&0)));
        for i in 0..4 {
            let letter = char::from(ALPHABET[word >> (18 - 6 * i) & 63]);
            // A String takes every character.
            let _ = text.write_char(if i <= group.len() { letter } else { '=' });
        }
    }
    text
}

fn decode(text: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let (mut word, mut bits) = (0_u32, 0);
    for letter in text.bytes().take_while(|&letter| letter != b'=') {
        let value = ALPHABET.iter().position(|&known| known == letter);
        let value = value.and_then(|value| u32::try_from(value).ok());
        word = word << 6 | value.ok_or_else(|| Error::new(format!("not base64: {text}")))?;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(word >> bits & 0xff).unwrap_or_default());
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_has_the_values_of_the_standard() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encode(plain.as_bytes()), coded);
            assert_eq!(decode(coded), Ok(plain.as_bytes().to_vec()));
        }
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(decode(&encode(&all)), Ok(all));
        assert!(decode("a-b").is_err());
    }

    #[test]
    fn fields_are_found_whatever_their_kind() {
        let json = r#"{"header":{"member_id":"17","raft_term":"2"},"n":5,"kvs":[{"key":"YQ=="}]}"#;
        assert_eq!(field(json, "member_id"), Some("17"));
        assert_eq!(field(json, "n"), Some("5"));
        assert_eq!(field(json, "key"), Some("YQ=="));
        assert!(field(json, "kvs").is_some());
        assert_eq!(field(json, "value"), None);
    }

    #[test]
    fn all_peer_addresses_are_found() {
        let members = r#"[{"ID":"1","peerURLs":["http://a:1","http://a:2"]},{"peerURLs":["b"]}]"#;
        assert_eq!(peer_urls(members), ["http://a:1", "http://a:2", "b"]);
    }
}
