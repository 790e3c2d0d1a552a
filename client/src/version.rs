//! Refuses a cluster with members of an old version.

// B25

use crate::Client;
use etcd3_core::error::{Error, ErrorKind};
use etcd3_core::method::{self, Effect};
use etcd3_core::proto::etcdserverpb::StatusRequest;

impl Client {
    /// Asks every member that can be reached for its version.
    ///
    /// Unlike in Go's client, a member that is down is no reason to fail, unless no member answers.
    pub(crate) async fn require_version(&self, least: (u16, u16)) -> Result<(), Error> {
        let timeout = self.connect_timeout();
        let (mut is_known, mut failure) = (false, None);
        for endpoint in self.endpoints() {
            let member = self.pinned_to(endpoint.as_str())?;
            match member.rpc(StatusRequest {}).timeout(timeout).await {
                Err(error) => failure = Some(error),
                Ok(status) => {
                    let found = parse(&status.version).ok_or_else(|| {
                        Error::protocol(format!("{:?} is no version", status.version))
                            .with_method(method::STATUS.path)
                            .with_effect(Effect::Read)
                            .with_endpoint(Some(endpoint.as_str().into()))
                    })?;
                    if found < least {
                        let (major, minor) = found;
                        let error = Error::new(ErrorKind::OldServer { major, minor });
                        return Err(error.with_endpoint(Some(endpoint.into())));
                    }
                    is_known = true;
                }
            }
        }
        match failure {
            Some(error) if !is_known => Err(error),
            _ => Ok(()),
        }
    }
}

/// Reads major and minor version of `3.5.16`, or of `3.7.0-alpha`.
fn parse(version: &str) -> Option<(u16, u16)> {
    let mut parts = version.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        assert_eq!(parse("3.5.16"), Some((3, 5)));
        assert_eq!(parse("3.7.0-alpha"), Some((3, 7)));
        assert!(parse("3.10.0") > parse("3.9.0"));
        for version in ["", "3", "x.5.0", "3.x"] {
            assert_eq!(parse(version), None, "{version}");
        }
    }
}
