//! The operations on the members of a cluster.

use crate::Client;

/// The operations on the members of a cluster; see [`Client::cluster`].
///
/// A handle of the client, cheap to make and to clone.
#[derive(Debug, Clone)]
pub struct Cluster {
    #[expect(dead_code, reason = "its operations follow")]
    client: Client,
}

impl Client {
    /// Returns the operations on the members of a cluster.
    #[must_use]
    pub fn cluster(&self) -> Cluster {
        Cluster { client: self.clone() }
    }
}
