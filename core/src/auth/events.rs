//! What goes into [`Auth`](super::Auth) and comes out.

use super::Generation;
use crate::Secret;
use crate::attempt::SentToken;
use crate::backoff::Backoff;
use crate::error::Error;
use crate::server_error::ServerError;
use std::time::Duration;

/// Where tokens come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A new one is to be had: by a login, or from whoever makes them.
    Renewable,
    /// The user gave one, and there is no other.
    // A9
    Fixed(Secret),
}

/// How tokens are renewed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where they come from.
    pub source: Source,
    /// The wait after a login that failed but may pass, and after tokens that did not last.
    pub backoff: Backoff,
    /// The wait after credentials that were refused.
    pub rejection_backoff: Backoff,
    /// The seed of the jitter.
    pub seed: u64,
}

impl Settings {
    /// Returns the settings for tokens of this source: 0.1 s to 5 s after what may pass, 2.5 s to
    /// 30 s after what does not.
    #[must_use]
    pub const fn new(source: Source, seed: u64) -> Self {
        let millis = Duration::from_millis;
        Self {
            source,
            backoff: Backoff { first: millis(100), cap: millis(5_000) },
            rejection_backoff: Backoff { first: millis(2_500), cap: millis(30_000) },
            seed,
        }
    }
}

/// Why a token is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum TokenReason {
    /// There is none yet.
    First,
    /// The one that there is, a JWT, is about to expire.
    Expiring,
    /// A request was refused that was sent without a token.
    Missing,
    /// The server does not know the one that there is, or it has expired.
    Invalid,
    /// Users or roles have changed since it was made.
    OldRevision,
    /// A watch was denied. Servers before etcd 3.5.6 say so, too, when the token has expired.
    Denied,
}

impl TokenReason {
    /// Returns what a refusal says of the token, if it is about that.
    // R20
    #[must_use]
    pub const fn of(error: ServerError) -> Option<Self> {
        match error {
            ServerError::UserEmpty => Some(Self::Missing),
            ServerError::InvalidAuthToken => Some(Self::Invalid),
            ServerError::AuthOldRevision => Some(Self::OldRevision),
            _ => None,
        }
    }
}

/// A token that was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StaleToken {
    /// Which one.
    pub generation: Generation,
    /// Why.
    pub reason: TokenReason,
}

impl StaleToken {
    /// Returns the token that was refused, if one was sent and the refusal is about that.
    pub(crate) fn of(token: Option<SentToken>, refusal: Option<ServerError>) -> Option<Self> {
        Some(Self { generation: token?.generation, reason: TokenReason::of(refusal?)? })
    }
}

/// What happened.
#[derive(Debug, Clone)]
pub enum Input {
    /// A token is asked for, newer than one that was refused if there is one. To be said again
    /// after each [`Output::Changed`] as long as the [answer](super::Auth::answer) is to wait: so
    /// nothing is done for those who wait no more.
    Asked(Option<StaleToken>),
    /// [`Output::Ask`] led to this token.
    Obtained {
        /// The token.
        token: Secret,
        /// The time since 1970 on the wall clock of this machine, if it is known: what the expiry
        /// of a JWT is compared with.
        unix_time: Option<Duration>,
    },
    /// The server answered that authentication is switched off: requests need no token.
    // R23, I-A3
    NotEnabled,
    /// [`Output::Ask`] led to this.
    Failed(Error),
}

/// What the driver is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Log in, or ask whoever makes tokens, and say what came of it.
    Ask(TokenReason),
    /// What is [answered](super::Auth::answer) has changed: wake all who wait.
    Changed,
}

/// What somebody gets who asks for a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The token, or the knowledge that none is needed.
    Take(Generation),
    /// There is to be one; it is waited for.
    Wait,
    /// There is none: the credentials were refused, for this reason, or no newer one than the one
    /// that was refused can be had.
    None(Option<Error>),
}
