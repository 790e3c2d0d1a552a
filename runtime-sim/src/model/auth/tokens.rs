//! Simple tokens: 16 letters, a dot, and the index of the log entry that made them.

// A8

use etcd3::runtime::Instant;
use std::collections::BTreeMap;
use std::time::Duration;

/// The tokens that one member knows.
#[derive(Debug, Clone)]
pub(super) struct Tokens {
    ttl: Duration,
    tokens: BTreeMap<String, Token>,
}

#[derive(Debug, Clone)]
struct Token {
    user: String,
    expiry: Instant,
}

impl Tokens {
    pub(super) fn new(ttl: Duration) -> Self {
        Self { ttl, tokens: BTreeMap::new() }
    }

    pub(super) fn assign(&mut self, now: Instant, user: &str, token: String) {
        self.tokens.retain(|_, token| token.expiry > now);
        self.tokens.insert(token, Token { user: user.to_owned(), expiry: now + self.ttl });
    }

    /// Returns the user of a token; its life starts anew with each use.
    pub(super) fn find(&mut self, now: Instant, token: &str) -> Option<String> {
        let found = self.tokens.get_mut(token).filter(|token| token.expiry > now)?;
        found.expiry = now + self.ttl;
        Some(found.user.clone())
    }

    pub(super) fn forget_user(&mut self, user: &str) {
        self.tokens.retain(|_, token| token.user != user);
    }

    pub(super) fn clear(&mut self) {
        self.tokens.clear();
    }
}
