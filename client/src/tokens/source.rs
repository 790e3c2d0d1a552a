//! Where the tokens of a client come from.

use crate::runtime::BoxFuture;
use etcd3_core::Secret;
use etcd3_core::auth::{Source, TokenReason};
use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

/// What whoever makes tokens answers.
pub(crate) type HookResult = Result<Secret, Box<dyn StdError + Send + Sync>>;

/// Asks whoever makes the tokens of a client.
pub(crate) type TokenHook =
    Arc<dyn Fn(TokenReason) -> BoxFuture<'static, HookResult> + Send + Sync>;

/// How a client shows who it is.
#[derive(Clone)]
pub(crate) enum Credentials {
    /// By a token that the server makes for a name and a password.
    Password { name: String, password: Secret },
    /// By a token that the user gave.
    Token(Secret),
    /// By tokens that the user makes.
    Hook(TokenHook),
}

impl Credentials {
    /// Takes a function that makes tokens.
    pub(crate) fn hook<F, E>(make: impl Fn(TokenReason) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Secret, E>> + Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        Self::Hook(Arc::new(move |reason| {
            let token = make(reason);
            Box::pin(async move { token.await.map_err(Into::into) })
        }))
    }

    pub(super) fn source(&self) -> Source {
        match self {
            Self::Password { .. } | Self::Hook(_) => Source::Renewable,
            Self::Token(token) => Source::Fixed(token.clone()),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password { name, password } => {
                f.debug_struct("Password").field("name", name).field("password", password).finish()
            }
            Self::Token(token) => f.debug_tuple("Token").field(token).finish(),
            Self::Hook(_) => f.write_str("Hook"),
        }
    }
}
