//! The operations on the members of a cluster.

mod change;
mod look;
mod operations;
mod requests;
mod view;

pub use requests::{MemberAdd, MemberPromote, MemberRemove, MemberUpdate};
pub use view::{ClusterView, Disagreement, MemberView, View};

use crate::Client;

/// The operations on the members of a cluster; see [`Client::cluster`].
///
/// A handle of the client, cheap to make and to clone.
#[derive(Debug, Clone)]
pub struct Cluster {
    client: Client,
}

impl Client {
    /// Returns the operations on the members of a cluster.
    ///
    /// # Examples
    ///
    /// ```
    /// # etcd3_sim::example(|client| async move {
    /// for member in client.cluster().member_list().await?.members {
    ///     println!("{}: {}, {:?}", member.id, member.name, member.client_urls);
    /// }
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub fn cluster(&self) -> Cluster {
        Cluster { client: self.clone() }
    }
}
