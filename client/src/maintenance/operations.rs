//! The operations on maintenance that are one call.

use super::{At, Maintenance, Statuses};
use crate::request::Request;
use etcd3_core::request::maintenance::{self, Defragment, Status};
use std::time::Duration;

/// How long a defragmentation may take unless the request says otherwise.
const DEFRAGMENT_TIMEOUT: Duration = Duration::from_secs(600);

impl Maintenance {
    /// Asks a member how it does: version, size, leader, alarms.
    ///
    /// Learners answer, too, and so does a member without a leader or a quorum.
    ///
    /// # Errors
    ///
    /// Those of any read, each of which names the endpoint; an endpoint that cannot be connected to
    /// is waited for until the timeout. With authentication
    /// [`PermissionDenied`](crate::ServerError::PermissionDenied) on some versions unless the user
    /// is root: 3.5.28 to 3.5.31, and 3.6.9 to 3.6.11.
    ///
    /// # Examples
    ///
    /// ```
    /// # etcd3_sim::example(|client| async move {
    /// for endpoint in client.endpoints() {
    ///     let status = client.maintenance().status(&endpoint).await?;
    ///     println!("{endpoint} runs etcd {}, {} bytes", status.version, status.db_size);
    ///     match status.fill_level() {
    ///         Some(level) => println!("{:.0} % of its quota", level * 100.0),
    ///         None => println!("its quota is unknown"),
    ///     }
    /// }
    /// # Ok(())
    /// # });
    /// ```
    // M24
    pub fn status(&self, endpoint: impl Into<String>) -> Request<At<Status>> {
        self.client.request(At::new(endpoint, maintenance::status()))
    }

    /// Asks all [endpoints](crate::Client::endpoints) how they do, at once, and gives what each of
    /// them answered, in their order. The slowest one counts, so set a
    /// [`timeout`](crate::Request::timeout).
    ///
    /// Gives a list of [`EndpointStatus`](crate::EndpointStatus) and never fails as a whole.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # etcd3_sim::example(|client| async move {
    /// let maintenance = client.maintenance();
    /// for member in maintenance.statuses().timeout(Duration::from_secs(2)).await {
    ///     match member.status {
    ///         Ok(status) if status.is_leader() => println!("{} leads", member.endpoint),
    ///         Ok(status) => println!("{} is at {}", member.endpoint, status.raft_index),
    ///         Err(error) => println!("{}: {}", member.endpoint, error.report()),
    ///     }
    /// }
    /// # Ok(())
    /// # });
    /// ```
    // Case 9
    pub fn statuses(&self) -> Request<Statuses> {
        self.client.request(Statuses(()))
    }

    /// Has a member write its database anew, without the space that compactions and deletions left
    /// unused in it: see [`db_size_in_use`](crate::MemberStatus::db_size_in_use).
    ///
    /// The member answers no reads and no writes meanwhile, which takes seconds for each gigabyte:
    /// do one after the other, the leader last. The timeout is ten minutes, whatever the
    /// configuration says, unless the request sets one.
    ///
    /// # Errors
    ///
    /// Those of any write, each of which names the endpoint. A defragmentation of *unknown* outcome
    /// may be under way; it does no harm to repeat it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops waiting; the member goes on.
    ///
    /// # Examples
    ///
    /// ```
    /// # etcd3_sim::example(|client| async move {
    /// for endpoint in client.endpoints() {
    ///     client.maintenance().defragment(&endpoint).await?;
    /// }
    /// # Ok(())
    /// # });
    /// ```
    // M23
    pub fn defragment(&self, endpoint: impl Into<String>) -> Request<At<Defragment>> {
        let operation = At::new(endpoint, maintenance::defragment());
        self.client.request(operation.timeout(DEFRAGMENT_TIMEOUT))
    }
}
