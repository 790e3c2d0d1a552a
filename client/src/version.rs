//! Refuses a cluster with members of an old version, and remembers what it was told.

// B25

use crate::{Client, Version};
use etcd3_core::error::Error;
use etcd3_core::method::{self, Effect};
use etcd3_core::proto::etcdserverpb::StatusRequest;

impl Client {
    /// Asks every member that can be reached for its version.
    ///
    /// Unlike in Go's client, a member that is down is no reason to fail, unless no member answers.
    pub(crate) async fn require_version(&self, least: Version) -> Result<(), Error> {
        let timeout = self.connect_timeout();
        let (mut is_known, mut failure) = (false, None);
        for endpoint in self.endpoints() {
            let member = self.pinned_to(endpoint.as_str())?;
            match member.rpc(StatusRequest {}).timeout(timeout).await {
                Err(error) => failure = Some(error),
                Ok(status) => {
                    let found = Version::parse(&status.version).ok_or_else(|| {
                        Error::protocol(format!("{:?} is no version", status.version))
                            .with_method(method::STATUS.path)
                            .with_effect(Effect::Read)
                            .with_endpoint(Some(endpoint.as_str().into()))
                    })?;
                    self.shared().pool.note_version(member.only(), found);
                    if found < least {
                        let error = Error::old_server(least, found);
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
