//! How a client shows who it is.

use super::Config;
use crate::tokens::Credentials;
use crate::{Secret, TokenReason};
use std::error::Error as StdError;
use std::future::Future;

impl Config {
    /// Sets the user that the client logs in as.
    ///
    /// [`Client::connect_on`](crate::Client::connect_on) logs in, and fails where the server
    /// refuses that; a lazy client does so with its first request. All requests carry the token
    /// that comes of it. One that the server refuses, since it has expired or is of another time,
    /// is replaced by another login, one for all requests that wait for it; a JWT also before it
    /// expires. The requests are made again, writes included: servers look at tokens before they do
    /// anything. Watches and leases go on. While authentication is switched off requests go without
    /// a token, and a login follows when it is switched on.
    ///
    /// A password that is refused ends what waits for it in
    /// [`AuthFailed`](crate::ServerError::AuthFailed); what comes later has it tried again, at
    /// growing intervals of up to 30 seconds. A login may take as long as
    /// [`request_timeout`](Self::request_timeout), and 5 seconds at least, since servers hash
    /// passwords slowly; whoever waits for it does so within the timeout of its own call.
    ///
    /// Passwords and tokens go only over TLS, to unix sockets, and to loopback addresses, unless
    /// [`allow_plaintext_passwords`](Self::allow_plaintext_passwords) says otherwise. A client that
    /// shows who it is by a certificate (`--client-cert-auth`) needs neither this nor a token.
    ///
    /// The last of this, [`token`](Self::token) and [`token_source`](Self::token_source) counts.
    ///
    /// # Examples
    ///
    /// ```
    /// use etcd3::Config;
    ///
    /// let password = std::env::var("ETCD_PASSWORD").unwrap_or_default();
    /// let config = Config::new(["https://etcd-0:2379"]).user("app", password);
    /// assert!(format!("{config:?}").contains("redacted"));
    /// ```
    // A8, A13, R20-R23, I-A1, I-A2, I-A3
    #[must_use]
    pub fn user(mut self, name: impl Into<String>, password: impl Into<Secret>) -> Self {
        let (name, password) = (name.into(), password.into());
        self.credentials = Some(Credentials::Password { name, password });
        self
    }

    /// Sets the token that all requests carry, such as a JWT that was signed elsewhere.
    ///
    /// There is no other: when the server refuses it, requests end in
    /// [`InvalidAuthToken`](crate::ServerError::InvalidAuthToken) or
    /// [`AuthOldRevision`](crate::ServerError::AuthOldRevision). The latter comes with each change
    /// of users and roles: use [`token_source`](Self::token_source) to go on after that.
    ///
    /// One that is empty or that no header can hold, such as one with a line break at its end, is
    /// refused when the client is made.
    // A9
    #[must_use]
    pub fn token(mut self, token: impl Into<Secret>) -> Self {
        self.credentials = Some(Credentials::Token(token.into()));
        self
    }

    /// Sets where the tokens come from that all requests carry: a function that is asked for the
    /// first one, and for another when the server refuses that or it is about to expire. It is told
    /// [why](TokenReason), and is asked once for all requests that wait.
    ///
    /// One that makes the same token again ends what waits for it in the refusal of the server;
    /// after 2.5 to 30 seconds that token is tried again. One that fails, panics, or takes longer
    /// than [`request_timeout`](Self::request_timeout), is asked again after 0.1 to 5 seconds, as
    /// long as somebody waits. It is called by a task of the client, so
    /// it must not block.
    ///
    /// # Examples
    ///
    /// ```
    /// use etcd3::{Config, Secret};
    /// use std::io;
    ///
    /// async fn sign() -> io::Result<Secret> {
    ///     Ok(Secret::new(std::fs::read_to_string("/run/secrets/etcd-token")?.trim_end()))
    /// }
    ///
    /// let config = Config::new(["https://etcd-0:2379"]).token_source(|_reason| sign());
    /// # let _ = config;
    /// ```
    // A9
    #[must_use]
    pub fn token_source<F, E>(
        mut self,
        make: impl Fn(TokenReason) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Secret, E>> + Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        self.credentials = Some(Credentials::hook(make));
        self
    }
}
