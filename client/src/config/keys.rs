//! The names of settings in URLs, files and the environment.

use super::Config;
use super::text::{Refusal, Text};
use etcd3_core::Version;
use std::time::Duration;

/// No name of a setting is longer.
const MAX_NAME: usize = 40;

/// A setting with all of its names.
#[derive(Debug)]
pub(super) struct Key {
    /// The name in URLs and files; that of its method on [`Config`], where it has one.
    pub(super) name: &'static str,
    /// The names that clientv3 gives to it in files; `secure.cert` is `cert` in the table `secure`.
    pub(super) others: &'static [&'static str],
    /// The name in the environment, after `ETCDCTL_`.
    pub(super) variable: Option<&'static str>,
    pub(super) setting: Setting,
}

/// What becomes of the text of a setting.
#[derive(Debug, Clone, Copy)]
pub(super) enum Setting {
    Endpoints,
    Duration(fn(Config, Duration) -> Config),
    Count(fn(Config, u32) -> Config),
    Size(fn(Config, usize) -> Config),
    Switch(fn(Config, bool) -> Config),
    MinServerVersion,
    Username,
    Password,
    Token,
    Tls(Tls),
    /// Refused when it is on, with what to do instead.
    Off(&'static str),
    /// Checked and then ignored, since it means nothing to this client.
    NoEffect(fn(&Text) -> Result<(), Refusal>),
}

/// A setting of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tls {
    CaFile,
    CertFile,
    KeyFile,
    ServerName,
    InsecureTransport,
    InsecureSkipTlsVerify,
}

const fn key(name: &'static str, setting: Setting) -> Key {
    Key { name, others: &[], variable: None, setting }
}

impl Key {
    const fn or(self, others: &'static [&'static str]) -> Self {
        Self { others, ..self }
    }

    const fn variable(self, variable: &'static str) -> Self {
        Self { variable: Some(variable), ..self }
    }
}

/// Every setting that a text can have.
// C25, C27
pub(super) const KEYS: &[Key] = &[
    key("endpoints", Setting::Endpoints).variable("ENDPOINTS"),
    key("request-timeout", Setting::Duration(Config::request_timeout)).variable("COMMAND_TIMEOUT"),
    key("attempt-timeout", Setting::Duration(Config::attempt_timeout)),
    key("connect-timeout", Setting::Duration(Config::connect_timeout))
        .or(&["dial-timeout"])
        .variable("DIAL_TIMEOUT"),
    key("ping-interval", Setting::Duration(Config::ping_interval))
        .or(&["keepalive-time", "dial-keep-alive-time"])
        .variable("KEEPALIVE_TIME"),
    key("ping-timeout", Setting::Duration(Config::ping_timeout))
        .or(&["keepalive-timeout", "dial-keep-alive-timeout"])
        .variable("KEEPALIVE_TIMEOUT"),
    key("auto-sync", Setting::Duration(Config::auto_sync)).or(&["auto-sync-interval"]),
    key("min-server-version", Setting::MinServerVersion),
    key("max-attempts", Setting::Count(Config::max_attempts)).or(&["max-unary-retries"]),
    key("retry-backoff-min", Setting::Duration(Config::retry_backoff_min))
        .or(&["backoff-wait-between"]),
    key("retry-backoff-max", Setting::Duration(Config::retry_backoff_max)),
    key("reconnect-backoff-min", Setting::Duration(Config::reconnect_backoff_min)),
    key("reconnect-backoff-max", Setting::Duration(Config::reconnect_backoff_max)),
    key("max-request-bytes", Setting::Size(Config::max_request_bytes))
        .or(&["MaxCallSendMsgSize"])
        .variable("MAX_REQUEST_BYTES"),
    key("max-response-bytes", Setting::Size(Config::max_response_bytes))
        .or(&["max-recv-bytes", "MaxCallRecvMsgSize"])
        .variable("MAX_RECV_BYTES"),
    key("max-txn-ops", Setting::Size(Config::max_txn_ops)),
    key("watch-probe-interval", Setting::Duration(Config::watch_probe_interval)),
    key("stream-window", Setting::Count(Config::stream_window)),
    key("connection-window", Setting::Count(Config::connection_window)),
    key("require-leader", Setting::Switch(Config::require_leader)),
    key(
        "allow-plaintext-passwords",
        Setting::Switch(
            |config, is_on| {
                if is_on { config.allow_plaintext_passwords() } else { config }
            },
        ),
    ),
    key("username", Setting::Username).or(&["auth.username"]).variable("USER"),
    key("password", Setting::Password).or(&["auth.password"]).variable("PASSWORD"),
    key("token", Setting::Token).or(&["auth.token"]).variable("AUTH_JWT_TOKEN"),
    key("ca-file", Setting::Tls(Tls::CaFile))
        .or(&["trusted-ca-file", "secure.cacert"])
        .variable("CACERT"),
    key("cert-file", Setting::Tls(Tls::CertFile)).or(&["secure.cert"]).variable("CERT"),
    key("key-file", Setting::Tls(Tls::KeyFile)).or(&["secure.key"]).variable("KEY"),
    key("server-name", Setting::Tls(Tls::ServerName)).or(&["secure.server-name"]),
    key("insecure-transport", Setting::Tls(Tls::InsecureTransport))
        .or(&["secure.insecure-transport"])
        .variable("INSECURE_TRANSPORT"),
    key("insecure-skip-tls-verify", Setting::Tls(Tls::InsecureSkipTlsVerify))
        .or(&["secure.insecure-skip-tls-verify"])
        .variable("INSECURE_SKIP_TLS_VERIFY"),
    key("reject-old-cluster", Setting::Off("say which version it must be: min-server-version")),
    key("permit-without-stream", Setting::NoEffect(|text| text.switch().map(drop))),
    key("backoff-jitter-fraction", Setting::NoEffect(fraction)),
];

fn fraction(text: &Text) -> Result<(), Refusal> {
    let fraction = text.as_str().parse::<f64>().ok().filter(|it| (0.0..=1.0).contains(it));
    fraction.map(drop).ok_or_else(|| "give a number from 0 to 1".to_owned())
}

impl Setting {
    /// Puts a text into a configuration; only for those that concern nothing else.
    ///
    /// `is_clientv3` tells that it was given by a name of clientv3, where zero is the default.
    pub(super) fn apply(
        self,
        config: Config,
        text: &Text,
        is_clientv3: bool,
    ) -> Result<Config, Refusal> {
        let is_default = |is_zero: bool| is_zero && is_clientv3;
        Ok(match self {
            Self::Duration(set) => match text.duration()? {
                duration if is_default(duration.is_zero()) => config,
                duration => set(config, duration),
            },
            Self::Count(set) => match text.number()? {
                count if is_default(count == 0) => config,
                count => set(config, count),
            },
            Self::Size(set) => match text.number()? {
                bytes if is_default(bytes == 0) => config,
                bytes => set(config, bytes),
            },
            Self::Switch(set) => set(config, text.switch()?),
            Self::MinServerVersion => match Version::parse(text.as_str()) {
                Some(version) => config.min_server_version(version),
                None => return Err("give a version such as 3.5".to_owned()),
            },
            Self::Off(instead) if text.switch()? => return Err(instead.to_owned()),
            Self::NoEffect(check) => check(text).map(|()| config)?,
            Self::Off(_)
            | Self::Endpoints
            | Self::Username
            | Self::Password
            | Self::Token
            | Self::Tls(_) => config,
        })
    }
}

/// Returns the setting of this name in a URL or, if `in_file`, in a file, and whether the name is
/// one of clientv3 alone. A dash may be written as an underscore.
pub(super) fn find(name: &str, in_file: bool) -> Option<(&'static Key, bool)> {
    let is = |own: &str| same(own, name);
    let by_name = KEYS.iter().find(|key| is(key.name)).map(|key| (key, false));
    let other = |key: &&Key| key.others.iter().any(|other| is(other));
    by_name.or_else(|| KEYS.iter().filter(|_| in_file).find(other).map(|key| (key, true)))
}

/// Returns how an unknown name is shown: not when it may be more than a name, such as one with the
/// value of a password after it.
pub(super) fn unknown(what: &str, name: &str) -> Refusal {
    let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if name.len() <= MAX_NAME && name.bytes().all(is_name) {
        format!("{what}{name:?} is unknown")
    } else {
        format!("{what}a name is none of a setting")
    }
}

fn same(own: &str, name: &str) -> bool {
    let dashed = |b: u8| if b == b'_' { b'-' } else { b };
    own.bytes().eq(name.bytes().map(dashed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Returns the rows of the table of settings on the page, as names, other names and variable.
    fn of_page(page: &str) -> Vec<[String; 3]> {
        let rows = page.lines().skip_while(|line| !line.starts_with("| setting |")).skip(2);
        let rows = rows.take_while(|line| line.starts_with('|'));
        rows.map(|row| {
            let mut cells = row.split('|').skip(1).map(|cell| cell.trim().replace('`', ""));
            [(); 3].map(|()| cells.next().unwrap_or_default())
        })
        .collect()
    }

    // C25, C27
    #[test]
    fn the_page_on_configuration_has_every_name() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
        let told = of_page(&std::fs::read_to_string(path).unwrap());
        let known: Vec<[String; 3]> = KEYS
            .iter()
            .map(|key| {
                let variable = key.variable.map(|name| format!("ETCDCTL_{name}"));
                [key.name.to_owned(), key.others.join(", "), variable.unwrap_or_default()]
            })
            .collect();
        assert_eq!(told, known);
    }

    #[test]
    fn no_name_stands_for_two_settings_and_all_can_be_shown() {
        let names: Vec<&str> =
            KEYS.iter().flat_map(|key| [&[key.name], key.others].concat()).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
        assert!(names.iter().all(|name| unknown("", name).contains(name)));
        assert!(names.iter().all(|name| find(&name.replace('-', "_"), true).is_some()));
        assert!(find("dial-timeout", false).is_none());
    }
}
