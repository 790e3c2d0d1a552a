//! Refuses a cluster with members of an old version, and remembers what it was told.

// B25

use crate::call::CallOptions;
use crate::maintenance::Asked;
use crate::{Client, Version, trace};
use etcd3_core::error::Error;
use etcd3_core::method::{self, Effect};

impl Client {
    /// Asks every member that can be reached for its version, all at once.
    ///
    /// Unlike in Go's client, a member that is down is no reason to fail, unless no member answers;
    /// nor is one that does not tell its version to this user, as some versions do to all but root.
    // Case 3
    pub(crate) async fn require_version(&self, least: Version) -> Result<(), Error> {
        let timeout = Some(self.connect_timeout());
        let mut asked = Asked::new(self, CallOptions { timeout, ..CallOptions::default() });
        let (mut has_answered, mut failure) = (false, None);
        while let Some((endpoint, answer)) = asked.next().await {
            match answer {
                Err(error) if error.is_permission_denied() => {
                    trace::version_unknown(endpoint, error);
                    has_answered = true;
                }
                Err(error) => failure = Some(error.clone()),
                Ok(status) => {
                    let found = status.minor_version().ok_or_else(|| {
                        Error::protocol(format!("{:?} is no version", status.version))
                            .with_method(method::STATUS.path)
                            .with_effect(Effect::Read)
                            .with_endpoint(Some(endpoint.into()))
                    })?;
                    if found < least {
                        let error = Error::old_server(least, found);
                        return Err(error.with_endpoint(Some(endpoint.into())));
                    }
                    has_answered = true;
                }
            }
        }
        match failure {
            Some(error) if !has_answered => Err(error),
            _ => Ok(()),
        }
    }
}
