//! Stands in for TLS in a build without it: endpoints that speak it are refused.

use crate::runtime::Io;
use etcd3_core::channel::ConnectionError;
use etcd3_core::endpoint::Endpoint;
use etcd3_core::error::{Cause, ConnectFailure};
use std::future::{Ready, ready};
use std::io;

/// What a configuration of TLS would be; there is none.
#[derive(Debug, Clone)]
pub(crate) enum TlsConfig {}

impl TlsConfig {
    pub(crate) fn validate(&self) -> Result<(), Cause> {
        match *self {}
    }

    #[cfg(feature = "config-file")]
    pub(crate) fn check_files(&self) -> Result<(), Cause> {
        match *self {}
    }
}

pub(crate) fn check_endpoint(_: Option<&TlsConfig>, endpoint: &Endpoint) -> Result<(), Cause> {
    let why = "speaks TLS, which this build does not support: enable the feature `tls`";
    Err(Cause::new(format!("endpoint {endpoint} {why}")))
}

pub(crate) fn handshake(
    tls: Option<&TlsConfig>,
    endpoint: &Endpoint,
    _: Box<dyn Io>,
) -> Ready<Result<Box<dyn Io>, ConnectionError>> {
    let cause = check_endpoint(tls, endpoint).err();
    ready(Err(ConnectionError { failure: ConnectFailure::TlsConfig, cause }))
}

pub(crate) fn failed(_: Option<&TlsConfig>, error: io::Error) -> ConnectionError {
    ConnectionError { failure: ConnectFailure::Tls, cause: Some(Cause::new(error)) }
}
