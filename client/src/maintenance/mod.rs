//! The operations on maintenance: status, alarms, snapshots and what else members do for an
//! operator.

mod alarms;
pub(crate) mod at;
mod downgrade;
mod leader;
mod operations;
mod serving;
mod statuses;

pub use alarms::DisarmAll;
pub use at::{At, StatusOf};
pub use downgrade::EnsureDowngrade;
pub use leader::MoveLeader;
pub use serving::ServingChanges;
pub(crate) use statuses::Asked;
pub use statuses::{EndpointStatus, Statuses};

use crate::Client;

/// The operations on maintenance: status, alarms, snapshots and what else members do for an
/// operator; see [`Client::maintenance`].
///
/// What is for one member names its endpoint, which need not be one of the client's. The connection
/// that the client has to it is used; one that is made for the call is closed after it. No call
/// waits for another endpoint than its own.
///
/// A handle of the client, cheap to make and to clone.
// M1–M6
#[derive(Debug, Clone)]
pub struct Maintenance {
    pub(crate) client: Client,
}

impl Client {
    /// Returns the operations on maintenance: status, alarms, snapshots and what else members do
    /// for an operator.
    ///
    /// # Examples
    ///
    /// ```
    /// # etcd3_sim::example(|client| async move {
    /// for member in client.maintenance().statuses().await {
    ///     println!("{}: {:?}", member.endpoint, member.status);
    /// }
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub fn maintenance(&self) -> Maintenance {
        Maintenance { client: self.clone() }
    }
}
