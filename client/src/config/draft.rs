//! A configuration that is read from text, one setting after the other.

use super::keys::{Key, Setting, Tls};
use super::text::{Refusal, Text};
use super::{Config, invalid};
use crate::Error;
use etcd3_core::Secret;
use etcd3_core::endpoint::{Endpoint, Security};
use etcd3_core::error::Cause;

/// Where settings come from, which decides about what clientv3 decides differently there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    Url,
    #[cfg(feature = "config-file")]
    File,
    Environment,
}

/// A configuration, as far as it was read.
#[derive(Debug)]
pub(super) struct Draft {
    origin: Origin,
    config: Config,
    /// The settings so far, and how each was called where it was given.
    given: Vec<(&'static str, String)>,
    username: Option<String>,
    password: Option<Secret>,
    token: Option<Secret>,
    pub(super) tls: TlsDraft,
}

/// What was said about TLS.
#[derive(Debug, Default)]
pub(super) struct TlsDraft {
    ca_file: Option<String>,
    cert_file: Option<String>,
    key_file: Option<String>,
    server_name: Option<String>,
    is_plaintext: Option<bool>,
    is_unverified: bool,
}

impl Draft {
    pub(super) fn new(origin: Origin) -> Self {
        Self {
            origin,
            config: Config::new::<&str>([]),
            given: Vec::new(),
            username: None,
            password: None,
            token: None,
            tls: TlsDraft::default(),
        }
    }

    pub(super) fn endpoints(&mut self, endpoints: Vec<String>) {
        self.config = self.config.clone().endpoints(endpoints);
    }

    /// Notes that a setting is given, and how it is called there; once is enough.
    pub(super) fn note(&mut self, key: &'static Key, called: String) -> Result<(), Refusal> {
        if let Some((_, first)) = self.given.iter().find(|(name, _)| *name == key.name) {
            return Err(format!("{called}: the same was given as {first} already"));
        }
        self.given.push((key.name, called));
        Ok(())
    }

    /// Takes the text of a setting over.
    pub(super) fn set(
        &mut self,
        setting: Setting,
        text: &Text,
        is_clientv3: bool,
    ) -> Result<(), Refusal> {
        if text.is_nothing() {
            return Ok(());
        }
        let owned = || Some(text.as_str().to_owned());
        match setting {
            Setting::Endpoints => self.endpoints(split(text.as_str())),
            Setting::Username => self.username = owned(),
            Setting::Password => self.password = Some(text.secret()),
            Setting::Token => self.token = Some(text.secret()),
            Setting::Tls(tls) => self.tls.set(tls, text)?,
            _ => self.config = setting.apply(self.config.clone(), text, is_clientv3)?,
        }
        Ok(())
    }

    /// Checks the endpoints alone, before anything else is read.
    pub(super) fn hosts_only(&self) -> Result<(), Refusal> {
        self.unspecified().map(drop)
    }

    /// Checks what settings mean together, and makes the configuration, which must have endpoints.
    pub(super) fn finish(self) -> Result<Config, Refusal> {
        if self.config.endpoints.texts().is_empty() {
            return Err("no endpoints are given".to_owned());
        }
        self.finish_without_endpoints()
    }

    /// Makes the configuration, whose endpoints may be set later.
    pub(super) fn finish_without_endpoints(mut self) -> Result<Config, Refusal> {
        self.check_files()?;
        let says_nothing = self.unspecified()?;
        self.config = self.tls_of(says_nothing)?;
        self.with_credentials()
    }

    /// Returns how a setting was called where it was given.
    fn called(&self, name: &str) -> &str {
        let given = self.given.iter().find(|(given, _)| *given == name);
        given.map_or("", |(_, called)| called)
    }

    // C26
    fn check_files(&self) -> Result<(), Refusal> {
        let (has, lacks) = match (&self.tls.cert_file, &self.tls.key_file) {
            (Some(_), None) => ("cert-file", "its key"),
            (None, Some(_)) => ("key-file", "its certificate"),
            _ => return Ok(()),
        };
        Err(format!("{}: {lacks} must be given, too", self.called(has)))
    }

    /// Reads the endpoints; returns the number of the first that does not say whether it speaks
    /// TLS.
    fn unspecified(&self) -> Result<Option<usize>, Refusal> {
        let endpoints = &self.config.endpoints;
        let endpoints = endpoints.read().map_err(|error| self.in_endpoints(error))?;
        let is_open = |endpoint: &Endpoint| endpoint.security() == Security::Unspecified;
        Ok(endpoints.iter().position(is_open))
    }

    fn in_endpoints(&self, error: String) -> Refusal {
        match self.called("endpoints") {
            "" => error,
            called => format!("{called}: {error}"),
        }
    }

    /// Whether endpoints that do not say speak plaintext when nothing else was said about TLS.
    // C26, C29
    fn is_plaintext(&self) -> bool {
        self.tls.is_plaintext.unwrap_or(match self.origin {
            Origin::Url | Origin::Environment => true,
            #[cfg(feature = "config-file")]
            Origin::File => false,
        })
    }

    fn tls_of(&self, says_nothing: Option<usize>) -> Result<Config, Refusal> {
        let config = self.config.clone();
        if self.tls.is_unverified && self.origin == Origin::Environment {
            let why = "servers are verified unless the program itself says otherwise, by \
                       TlsConfig::dangerously_skip_server_verification";
            return Err(format!("{}: {why}", self.called("insecure-skip-tls-verify")));
        }
        if self.tls.is_unverified && self.tls.ca_file.is_some() {
            let [skip, ca] = ["insecure-skip-tls-verify", "ca-file"].map(|it| self.called(it));
            return Err(format!("{skip}: that contradicts {ca}"));
        }
        if self.tls.says_something() {
            let told = ["ca-file", "cert-file", "server-name", "insecure-skip-tls-verify"];
            let first = told.map(|name| self.called(name)).into_iter().find(|it| !it.is_empty());
            return self.tls.build(config).map_err(|e| format!("{}: {e}", first.unwrap_or("")));
        }
        let Some(at) = says_nothing.filter(|_| !self.is_plaintext()) else {
            return Ok(if self.speaks_tls() { with_system_roots(config) } else { config });
        };
        if cfg!(feature = "tls-native-roots") {
            return Ok(with_system_roots(config));
        }
        let why = "does not say whether it speaks TLS: write http:// or https:// in front, name \
                   the authorities by ca-file, or say insecure-transport: true";
        Err(self.in_endpoints(format!("endpoint number {} {why}", at + 1)))
    }

    fn speaks_tls(&self) -> bool {
        let endpoints = self.config.endpoints.read().unwrap_or_default();
        endpoints.iter().any(|endpoint| endpoint.security() == Security::Tls)
    }

    // C10, C11
    fn with_credentials(mut self) -> Result<Config, Refusal> {
        let (username, password) = (self.username.take(), self.password.take());
        let [user, secret, token] = ["username", "password", "token"].map(|it| self.called(it));
        match (username, password, self.token.clone()) {
            (None, None, None) => Ok(self.config),
            (Some(name), Some(password), None) => Ok(self.config.user(name, password)),
            (None, None, Some(token)) => Ok(self.config.token(token)),
            (Some(_), None, None) => Err(format!("{user}: a password must be given, too")),
            (None, Some(_), None) => Err(format!("{secret}: a user must be given, too")),
            (named, _, Some(_)) => {
                let other = if named.is_some() { user } else { secret };
                Err(format!("{token}: that contradicts {other}"))
            }
        }
    }
}

/// Splits a list of endpoints.
pub(super) fn split(list: &str) -> Vec<String> {
    let each = list.split(',').map(str::trim).filter(|endpoint| !endpoint.is_empty());
    each.map(str::to_owned).collect()
}

impl TlsDraft {
    fn set(&mut self, tls: Tls, text: &Text) -> Result<(), Refusal> {
        let given = Some(text.as_str().to_owned());
        match tls {
            Tls::CaFile => self.ca_file = given,
            Tls::CertFile => self.cert_file = given,
            Tls::KeyFile => self.key_file = given,
            Tls::ServerName => self.server_name = given,
            Tls::InsecureTransport => self.is_plaintext = Some(text.switch()?),
            Tls::InsecureSkipTlsVerify => self.is_unverified = text.switch()?,
        }
        Ok(())
    }

    /// Returns whether anything was said that only TLS can do.
    // C26
    fn says_something(&self) -> bool {
        let Self { ca_file, cert_file, server_name, is_unverified, .. } = self;
        ca_file.is_some() || cert_file.is_some() || server_name.is_some() || *is_unverified
    }

    #[cfg(feature = "_tls")]
    fn build(&self, config: Config) -> Result<Config, Refusal> {
        let mut tls = crate::TlsConfig::new();
        if let Some(file) = self.ca_file.clone() {
            tls = tls.ca_file(file);
        } else if self.is_unverified {
            tls = tls.dangerously_skip_server_verification();
        } else {
            tls = system_roots(tls).ok_or("name the authorities, too, by ca-file")?;
        }
        if let (Some(chain), Some(key)) = (self.cert_file.clone(), self.key_file.clone()) {
            tls = tls.identity_files(chain, key);
        }
        if let Some(name) = self.server_name.clone() {
            tls = tls.server_name(name);
        }
        Ok(config.tls(tls))
    }

    #[cfg(not(feature = "_tls"))]
    #[allow(clippy::unused_self, clippy::needless_pass_by_value, reason = "as with TLS")]
    fn build(&self, _: Config) -> Result<Config, Refusal> {
        Err("this build has no TLS: enable the feature `tls`".to_owned())
    }
}

/// Trusts whom the machine trusts, as Go does when nobody is named; not without the feature.
// C34c
#[cfg(feature = "_tls")]
#[cfg_attr(feature = "tls-native-roots", allow(clippy::unnecessary_wraps, reason = "as without"))]
fn system_roots(tls: crate::TlsConfig) -> Option<crate::TlsConfig> {
    #[cfg(feature = "tls-native-roots")]
    return Some(tls.native_roots());
    #[cfg(not(feature = "tls-native-roots"))]
    {
        drop(tls);
        None
    }
}

/// Leaves a configuration as it is when the machine's authorities cannot be had: that is said when
/// the client is made, unless the program has named others by then.
fn with_system_roots(config: Config) -> Config {
    #[cfg(feature = "_tls")]
    if let Some(tls) = system_roots(crate::TlsConfig::new()) {
        return config.tls(tls);
    }
    config
}

/// The error about a text that cannot be read.
pub(super) fn refused(why: impl Into<String>) -> Error {
    invalid(Cause::new(why.into()))
}
