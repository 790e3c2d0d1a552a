//! The endpoints of a configuration, in whatever form they are given.

use super::draft::{refused, split};
use super::{Config, url};
use crate::Error;
use etcd3_core::endpoint::Endpoint;
use std::fmt;
use std::str::FromStr;

/// The endpoints as they were given.
#[derive(Clone)]
pub(crate) struct Endpoints {
    texts: Vec<String>,
    /// Why what the configuration was made of cannot be read, to be said when the client is made.
    refused: Option<Error>,
}

impl Endpoints {
    pub(super) fn new(texts: Vec<String>) -> Self {
        Self { texts, refused: None }
    }

    pub(crate) fn texts(&self) -> &[String] {
        &self.texts
    }

    pub(super) fn refused(&self) -> Option<Error> {
        self.refused.clone()
    }

    /// Reads all of them; fails with what is wrong with the first that cannot be read.
    pub(super) fn read(&self) -> Result<Vec<Endpoint>, String> {
        read(&self.texts)
    }
}

impl fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.refused {
            None if !may_have_secrets(&self.texts) => self.texts.fmt(f),
            _ => f.write_str("[<redacted>]"),
        }
    }
}

/// Reads endpoints.
pub(super) fn read(texts: &[String]) -> Result<Vec<Endpoint>, String> {
    let hide = may_have_secrets(texts);
    let each = (1..).zip(texts).map(|(number, text)| {
        text.parse::<Endpoint>().map_err(|error| {
            if hide {
                format!("endpoint number {number}: {}", error.reason())
            } else {
                error.to_string()
            }
        })
    });
    each.collect()
}

/// Returns whether a part of these texts may be a password: there is an at sign where no endpoint
/// has one, and commas may have cut what stands before it.
fn may_have_secrets(texts: &[String]) -> bool {
    texts.iter().any(|text| text.contains('@') && text.parse::<Endpoint>().is_err())
}

impl Config {
    /// Reads a configuration from one text: endpoints, or a URL that has everything.
    ///
    /// - A list of endpoints with commas between them, as `etcdctl --endpoints` takes it, or the
    ///   URL of one: `http://10.0.0.1:2379`. The rest is as in [`new`](Self::new).
    /// - `etcd://user:password@10.0.0.1:2379,10.0.0.2:2379/?request_timeout=5s`: endpoints with
    ///   a user and settings, each of which is optional. A parameter has the name of the setting;
    ///   those of TLS, and all others, stand in `docs/configuration.md`. Name, password and
    ///   parameters are percent-encoded. With `etcds://` the endpoints speak TLS, with `etcd://`
    ///   they do so if a parameter such as `ca_file` says whom to trust.
    ///
    /// `FromStr` does the same, and so does `From<&str>`, which leaves errors to when the client is
    /// made.
    ///
    /// # Errors
    ///
    /// Kind [`InvalidConfig`] when there is no endpoint, one that cannot be read, or a parameter
    /// that is unknown, given twice or cannot be read: it is named. No part of a user's password
    /// is shown.
    ///
    /// # Examples
    ///
    /// ```
    /// use etcd3::Config;
    ///
    /// Config::parse("http://10.0.0.1:2379,http://10.0.0.2:2379")?;
    /// Config::parse("etcd://10.0.0.1,10.0.0.2/?request_timeout=5s&auto_sync=1m")?;
    /// let error = Config::parse("etcd://10.0.0.1/?requst_timeout=5s").unwrap_err();
    /// assert!(error.report().to_string().contains("requst_timeout"));
    /// # Ok::<(), etcd3::Error>(())
    /// ```
    ///
    /// [`InvalidConfig`]: crate::ErrorKind::InvalidConfig
    // C1, C21
    pub fn parse(text: &str) -> Result<Self, Error> {
        if let Some((rest, is_tls)) = url::strip(text) {
            return url::parse(rest, is_tls);
        }
        let config = Self::new(split(text));
        if config.endpoints.texts.is_empty() {
            return Err(refused("no endpoints are given"));
        }
        config.endpoints.read().map_err(refused)?;
        Ok(config)
    }

    /// Sets the endpoints, in place of those there were.
    #[must_use]
    pub fn endpoints<E: Into<String>>(mut self, endpoints: impl IntoIterator<Item = E>) -> Self {
        self.endpoints.texts = endpoints.into_iter().map(Into::into).collect();
        self
    }
}

impl FromStr for Config {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

/// The same as [`Config::parse`], but for its errors: they are those of the client that is made.
impl From<&str> for Config {
    fn from(text: &str) -> Self {
        let Some((rest, is_tls)) = url::strip(text) else { return Self::new(split(text)) };
        url::parse(rest, is_tls).unwrap_or_else(|error| {
            let mut config = Self::new::<&str>([]);
            config.endpoints.refused = Some(error);
            config
        })
    }
}

/// The same as [`Config::parse`], but for its errors: they are those of the client that is made.
impl From<String> for Config {
    fn from(endpoints: String) -> Self {
        Self::from(&endpoints[..])
    }
}

/// The same as [`Config::parse`], but for its errors: they are those of the client that is made.
impl From<&String> for Config {
    fn from(endpoints: &String) -> Self {
        Self::from(&endpoints[..])
    }
}

impl<E: AsRef<str>> From<&[E]> for Config {
    fn from(endpoints: &[E]) -> Self {
        Self::new(endpoints.iter().map(AsRef::as_ref))
    }
}

impl<E: AsRef<str>, const N: usize> From<&[E; N]> for Config {
    fn from(endpoints: &[E; N]) -> Self {
        Self::from(&endpoints[..])
    }
}

impl<E: AsRef<str>> From<&Vec<E>> for Config {
    fn from(endpoints: &Vec<E>) -> Self {
        Self::from(&endpoints[..])
    }
}

impl<E: Into<String>, const N: usize> From<[E; N]> for Config {
    fn from(endpoints: [E; N]) -> Self {
        Self::new(endpoints)
    }
}

impl<E: Into<String>> From<Vec<E>> for Config {
    fn from(endpoints: Vec<E>) -> Self {
        Self::new(endpoints)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn endpoints_come_in_one_text_too() {
        for config in [Config::parse(" http://a:1,b , "), Config::parse("http://a:1,b")] {
            assert_eq!(config.unwrap().endpoints.texts(), ["http://a:1", "b"]);
        }
        assert_eq!(
            Config::from("a,b").endpoints.texts(),
            Config::from(["a", "b"]).endpoints.texts()
        );
        let list = vec!["a".to_owned()];
        assert_eq!(Config::from(&list).endpoints.texts(), Config::from(&list[0]).endpoints.texts());
        assert_eq!(
            Config::from(&["a"]).endpoints.texts(),
            Config::from(&list[..]).endpoints.texts()
        );
        assert_eq!(
            Config::from(vec!["a"]).endpoints.texts(),
            Config::from("a".to_owned()).endpoints.texts()
        );
        for bad in ["", " , ", "http://a:99999", "a,ftp://b"] {
            let error = bad.parse::<Config>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{bad}");
        }
    }
}
