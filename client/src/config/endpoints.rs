//! The endpoints of a configuration, in whatever form they are given.

use super::{Config, invalid};
use crate::Error;
use etcd3_core::endpoint::Endpoint;
use etcd3_core::error::Cause;
use std::str::FromStr;

impl Config {
    /// Reads a list of endpoints with commas between them, as `etcdctl --endpoints` takes it; the
    /// rest is as in [`new`](Self::new).
    ///
    /// # Errors
    ///
    /// Kind [`InvalidConfig`] when there is none, or one that cannot be read.
    ///
    /// [`InvalidConfig`]: crate::ErrorKind::InvalidConfig
    // C1
    pub fn parse(endpoints: &str) -> Result<Self, Error> {
        let config = Self::from(endpoints);
        if config.endpoints.is_empty() {
            return Err(invalid(Cause::new("no endpoints are given")));
        }
        for text in &config.endpoints {
            text.parse::<Endpoint>().map_err(|error| invalid(Cause::new(error)))?;
        }
        Ok(config)
    }
}

impl FromStr for Config {
    type Err = Error;

    fn from_str(endpoints: &str) -> Result<Self, Error> {
        Self::parse(endpoints)
    }
}

/// Endpoints with commas between them, read when the client is made.
impl From<&str> for Config {
    fn from(endpoints: &str) -> Self {
        Self::new(endpoints.split(',').map(str::trim).filter(|endpoint| !endpoint.is_empty()))
    }
}

/// Endpoints with commas between them, read when the client is made.
impl From<String> for Config {
    fn from(endpoints: String) -> Self {
        Self::from(&endpoints[..])
    }
}

/// Endpoints with commas between them, read when the client is made.
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
            assert_eq!(config.unwrap().endpoints, ["http://a:1", "b"]);
        }
        assert_eq!(Config::from("a,b").endpoints, Config::from(["a", "b"]).endpoints);
        let list = vec!["a".to_owned()];
        assert_eq!(Config::from(&list).endpoints, Config::from(&list[0]).endpoints);
        assert_eq!(Config::from(&["a"]).endpoints, Config::from(&list[..]).endpoints);
        assert_eq!(Config::from(vec!["a"]).endpoints, Config::from("a".to_owned()).endpoints);
        for bad in ["", " , ", "http://a:99999", "a,ftp://b"] {
            let error = bad.parse::<Config>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{bad}");
        }
    }
}
