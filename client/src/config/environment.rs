//! A configuration from the environment.

use super::draft::{Draft, Origin, refused};
use super::keys::{KEYS, Key, Setting};
use super::text::{Refusal, Text};
use super::{Config, Error};
use std::ffi::{OsStr, OsString};

const PREFIX: &str = "ETCDCTL_";

/// Variables that would change what the others mean, and what to do instead.
const REFUSED: [(&str, &str); 1] =
    [("DISCOVERY_SRV", "there is no discovery by DNS: name the members in ETCDCTL_ENDPOINTS")];

impl Config {
    /// Reads the variables of the process that `etcdctl` reads, such as `ETCDCTL_ENDPOINTS`;
    /// `docs/configuration.md` has all of them.
    ///
    /// What is set on the configuration afterwards takes precedence. Variables that mean nothing
    /// here are ignored, and so are empty ones; without `ETCDCTL_ENDPOINTS`, the endpoints are
    /// still to be [set](Self::endpoints). A user that has no password with it,
    /// `ETCDCTL_USER=name:password`, has it in `ETCDCTL_PASSWORD`.
    ///
    /// # Errors
    ///
    /// Kind [`InvalidConfig`], with the name of the variable that cannot be read, and never its
    /// value. So are those that cannot be complied with: `ETCDCTL_DISCOVERY_SRV`, and
    /// `ETCDCTL_INSECURE_SKIP_TLS_VERIFY`, since a variable for another program must not keep this
    /// one from verifying its servers.
    ///
    /// # Examples
    ///
    /// ```
    /// use etcd3::Config;
    ///
    /// let config = Config::from_env()?.endpoints(["http://10.0.0.1:2379"]);
    /// # let _ = config;
    /// # Ok::<(), etcd3::Error>(())
    /// ```
    ///
    /// [`InvalidConfig`]: crate::ErrorKind::InvalidConfig
    // case 11
    pub fn from_env() -> Result<Self, Error> {
        Self::from_vars(std::env::vars_os())
    }

    /// Reads variables as [`from_env`](Self::from_env) does, from elsewhere than the process.
    ///
    /// # Errors
    ///
    /// As [`from_env`](Self::from_env).
    ///
    /// # Examples
    ///
    /// ```
    /// use etcd3::Config;
    ///
    /// let variables = [("ETCDCTL_ENDPOINTS", "10.0.0.1"), ("ETCDCTL_DIAL_TIMEOUT", "5x")];
    /// let error = Config::from_vars(variables).unwrap_err();
    /// assert!(error.report().to_string().contains("ETCDCTL_DIAL_TIMEOUT"));
    /// ```
    pub fn from_vars<N, V>(variables: impl IntoIterator<Item = (N, V)>) -> Result<Self, Error>
    where
        N: Into<OsString>,
        V: Into<OsString>,
    {
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into()));
        read(variables.collect()).map_err(refused)
    }
}

fn read(variables: Vec<(OsString, OsString)>) -> Result<Config, Refusal> {
    let mut found: Vec<(String, OsString)> = Vec::new();
    for (name, value) in variables {
        let own = name.to_str().and_then(|name| name.strip_prefix(PREFIX)).map(str::to_owned);
        if let Some(name) = own.filter(|_| !value.is_empty()) {
            found.push((name, value));
        }
    }
    let is_set = |name: &str| found.iter().any(|(found, _)| found == name);
    if let Some((name, why)) = REFUSED.iter().find(|(name, _)| is_set(name)) {
        return Err(format!("{PREFIX}{name}: {why}"));
    }
    let mut draft = Draft::new(Origin::Environment);
    // In the order of the settings, so that of two errors it is always the same one.
    for (key, name) in KEYS.iter().filter_map(|key| Some((key, key.variable?))) {
        if let Some((_, value)) = found.iter().find(|(found, _)| found == name) {
            let called = format!("{PREFIX}{name}");
            let value = Text::quoted(utf8(value).map_err(|why| format!("{called}: {why}"))?);
            let with_password = matches!(key.setting, Setting::Username) && !is_set("PASSWORD");
            draft.note(key, called.clone())?;
            let set = if with_password {
                user(&mut draft, key, &value)
            } else {
                draft.set(key.setting, &value, true)
            };
            set.map_err(|why| format!("{called}: {why}"))?;
        }
    }
    draft.finish_without_endpoints()
}

/// Takes over the name of a user with the password, which may have colons.
fn user(draft: &mut Draft, key: &'static Key, value: &Text) -> Result<(), Refusal> {
    let (name, password) = value
        .as_str()
        .split_once(':')
        .ok_or("give name:password, or the password in ETCDCTL_PASSWORD")?;
    draft.set(key.setting, &Text::quoted(name), true)?;
    draft.set(Setting::Password, &Text::quoted(password), true)
}

fn utf8(value: &OsStr) -> Result<&str, Refusal> {
    value.to_str().ok_or_else(|| "it is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::tokens::Credentials;
    use std::time::Duration;

    fn told(variables: &[(&str, &str)]) -> String {
        let error = Config::from_vars(variables.iter().copied()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        error.report().to_string()
    }

    // case 11
    #[test]
    fn what_the_program_sets_wins_over_the_environment() {
        let variables = [
            ("ETCDCTL_ENDPOINTS", "127.0.0.1:1"),
            ("ETCDCTL_DIAL_TIMEOUT", "5s"),
            ("ETCDCTL_COMMAND_TIMEOUT", "1m"),
            ("ETCDCTL_KEEPALIVE_TIME", ""),
            ("ETCDCTL_UNKNOWN", "1"),
            ("ETCDCTL_API", "3"),
            ("ENDPOINTS", "nothing:1"),
        ];
        for _ in 0..2 {
            let config = Config::from_vars(variables).unwrap();
            assert_eq!(config.endpoints.texts(), ["127.0.0.1:1"]);
            let config = config.endpoints(["good"]).request_timeout(Duration::from_secs(2));
            assert_eq!(config.endpoints.texts(), ["good"]);
            assert_eq!(config.connect_timeout, Duration::from_secs(5));
            assert_eq!(config.request_timeout, Duration::from_secs(2));
        }
        // The endpoints may be set later, and must be by then.
        let config = Config::from_vars([("ETCDCTL_DIAL_TIMEOUT", "5s")]).unwrap();
        assert!(config.endpoints.texts().is_empty());
    }

    // case 11, I-A5
    #[test]
    fn errors_name_the_variable_and_never_its_value() {
        for (name, value) in [
            ("DIAL_TIMEOUT", "canary"),
            ("COMMAND_TIMEOUT", "5x"),
            ("KEEPALIVE_TIME", "5"),
            ("KEEPALIVE_TIMEOUT", "-5s"),
            ("MAX_REQUEST_BYTES", "canary"),
            ("MAX_RECV_BYTES", "-1"),
            ("ENDPOINTS", "http://u:canary@a"),
            ("USER", "canary"),
            ("PASSWORD", "canary"),
            ("CERT", "canary"),
            ("KEY", "canary"),
            ("INSECURE_TRANSPORT", "canary"),
            ("INSECURE_SKIP_TLS_VERIFY", "canary"),
            ("INSECURE_SKIP_TLS_VERIFY", "true"),
            ("DISCOVERY_SRV", "canary"),
        ] {
            let variable = format!("ETCDCTL_{name}");
            let told = told(&[(&variable, value), ("ETCDCTL_AUTH_JWT_TOKEN", "")]);
            assert!(told.contains(&format!("{variable}: ")), "{told}");
            assert!(!told.contains("canary"), "{told}");
        }
        let both = told(&[("ETCDCTL_USER", "u:canary"), ("ETCDCTL_AUTH_JWT_TOKEN", "canary")]);
        assert!(both.contains("ETCDCTL_AUTH_JWT_TOKEN: that contradicts ETCDCTL_USER"), "{both}");
        assert!(!both.contains("canary"), "{both}");
    }

    // case 11, C10
    #[test]
    fn a_password_may_have_colons() {
        let user = ("ETCDCTL_USER", "root:p:w");
        for (variables, name, password) in [
            (vec![user], "root", "p:w"),
            (vec![user, ("ETCDCTL_PASSWORD", "q:w")], "root:p:w", "q:w"),
        ] {
            let config = Config::from_vars(variables).unwrap();
            let debug = format!("{config:?}");
            match config.credentials {
                Some(Credentials::Password { name: read, password: secret }) => {
                    assert_eq!((&read[..], secret.expose()), (name, password));
                }
                other => panic!("{other:?}"),
            }
            assert!(!debug.contains(password), "{debug}");
        }
    }

    // C26
    #[test]
    fn tls_is_spoken_when_a_variable_says_whom_to_trust() {
        let variables = [
            ("ETCDCTL_ENDPOINTS", "a:1"),
            ("ETCDCTL_CACERT", "ca.pem"),
            ("ETCDCTL_CERT", "c.pem"),
            ("ETCDCTL_KEY", "k.pem"),
            ("ETCDCTL_INSECURE_TRANSPORT", "true"),
        ];
        match Config::from_vars(variables) {
            Ok(config) => assert!(config.tls.is_some() && cfg!(feature = "_tls")),
            Err(error) => {
                let told = error.report().to_string();
                assert!(told.contains("ETCDCTL_CACERT: this build has no TLS"), "{told}");
            }
        }
        let plain = Config::from_vars(variables.into_iter().take(1)).unwrap();
        assert!(plain.tls.is_none());
        if !cfg!(feature = "tls-native-roots") {
            let told = told(&[variables[0], ("ETCDCTL_INSECURE_TRANSPORT", "false")]);
            assert!(told.contains("ETCDCTL_ENDPOINTS: endpoint number 1 does not say"), "{told}");
        }
    }
}
