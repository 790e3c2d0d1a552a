//! The services `Lock` and `Election` that run within servers, as they are.
//!
//! etcd offers locks and elections over gRPC for clients that have none of their own. They have
//! traps that a client cannot mend, which is why they stand apart here:
//!
//! - **A dead candidate can be elected, and a lock be held for nobody.** The key of whoever waits
//!   is attached to a lease; if the call is cut off and the server does not notice, or dies, the
//!   key stays, and has its turn, until that lease ends. Use a short lease that you keep alive
//!   ([`Client::lease`]), so that it ends with your program.
//! - **A lease of 0 is one of 60 seconds** that the server grants and nobody renews: the lock or
//!   the leadership is lost after a minute at the latest, without a word.
//! - **The end of a lease is not told**: a call that has returned watches nothing. What must only
//!   be done by the holder goes into a transaction that compares the create revision of its key.
//! - **A call waits in the server**, for as long as its timeout: set one with
//!   [`timeout`](Request::timeout). A call that is cancelled, or whose time is over, has its key
//!   deleted by the server, as soon as that notices; until then its outcome is *unknown*.
//! - Servers answer errors with the code `Unknown` and plain text; those that are known are of kind
//!   [`Service`](crate::ErrorKind::Service).

// X36

mod observe;

pub use etcd3_core::request::services::{
    Campaign, CampaignResponse, ElectedKey, Leader, LeaderResponse, Lock, LockResponse, Proclaim,
    ProclaimResponse, Resign, ResignResponse, Unlock, UnlockResponse,
};
pub use etcd3_core::server_error::ServiceError;
pub use observe::Observe;

use crate::{Client, IntoBytes, LeaseId, Request};
use etcd3_core::request::services;

/// The services `Lock` and `Election` of servers; see the [module](self), which has the warnings,
/// and [`Client::raw`].
///
/// A handle of the client, cheap to make and to clone.
#[derive(Debug, Clone)]
pub struct Services {
    client: Client,
}

impl Client {
    /// Returns the services `Lock` and `Election` that run within servers, as they are. They have
    /// traps: see [`raw`](crate::raw).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # etcd3_sim::example(|client| async move {
    /// let lease = client.lease(Duration::from_secs(10)).await?;
    /// let lock = client.raw().lock("jobs", lease.id()).timeout(Duration::from_secs(5)).await?;
    /// client.raw().unlock(lock.key).await?;
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub fn raw(&self) -> Services {
        Services { client: self.clone() }
    }
}

impl Services {
    /// Waits for the lock of this name, and holds it as long as the lease lives, or until it is
    /// [unlocked](Self::unlock).
    ///
    /// # Errors
    ///
    /// Those of any write, and [`is_lease_not_found`](crate::Error::is_lease_not_found). After one
    /// of *unknown* outcome, such as that the time is over, the lock may be held until the lease
    /// ends.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the call: the server gives the lock up when it notices.
    ///
    /// # Examples
    ///
    /// ```
    /// use etcd3::{key, put};
    /// use std::time::Duration;
    ///
    /// # etcd3_sim::example(|client| async move {
    /// let lease = client.lease(Duration::from_secs(10)).await?;
    /// let lock = client.raw().lock("jobs", lease.id()).timeout(Duration::from_secs(5)).await?;
    ///
    /// // Done only as long as the lock is held.
    /// let held = key(lock.key.clone()).exists();
    /// let done = client.txn().when([held]).then([put("jobs-done", "1")]).await?;
    /// assert!(done.succeeded);
    ///
    /// client.raw().unlock(lock.key).await?;
    /// # Ok(())
    /// # });
    /// ```
    pub fn lock(&self, name: impl IntoBytes, lease: impl Into<LeaseId>) -> Request<Lock> {
        self.client.request(services::lock(name, lease))
    }

    /// Releases a lock by its key. One that is not held any more is no error.
    ///
    /// # Errors
    ///
    /// Those of any write.
    ///
    /// # Examples
    ///
    /// ```
    /// # etcd3_sim::example(|client| async move {
    /// # let lease = client.grant(std::time::Duration::from_secs(10)).await?.id;
    /// let lock = client.raw().lock("jobs", lease).await?;
    /// client.raw().unlock(lock.key.clone()).await?;
    /// client.raw().unlock(lock.key).await?;
    /// # Ok(())
    /// # });
    /// ```
    pub fn unlock(&self, key: impl IntoBytes) -> Request<Unlock> {
        self.client.request(services::unlock(key))
    }

    /// Waits to be elected, and then leads with this value as long as the lease lives, or until it
    /// [resigns](Self::resign).
    ///
    /// # Errors
    ///
    /// Those of [`lock`](Self::lock).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the call: the server withdraws the candidate when it notices. If
    /// it does not, a candidate that nobody stands for can be elected.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # etcd3_sim::example(|client| async move {
    /// let lease = client.lease(Duration::from_secs(10)).await?;
    /// let elected = client.raw().campaign("boss", lease.id(), "10.0.0.7").await?.elected;
    /// assert_eq!(elected.lease, lease.id());
    /// client.raw().resign(elected).await?;
    /// # Ok(())
    /// # });
    /// ```
    pub fn campaign(
        &self,
        name: impl IntoBytes,
        lease: impl Into<LeaseId>,
        value: impl IntoBytes,
    ) -> Request<Campaign> {
        self.client.request(services::campaign(name, lease, value))
    }

    /// Replaces the value of the leader.
    ///
    /// # Errors
    ///
    /// [`NotElectionLeader`](ServiceError::NotElectionLeader) for one who does not lead any more;
    /// nothing is written then. And those of any write.
    ///
    /// # Examples
    ///
    /// ```
    /// use etcd3::ErrorKind;
    /// use etcd3::raw::ServiceError;
    ///
    /// # etcd3_sim::example(|client| async move {
    /// # let lease = client.grant(std::time::Duration::from_secs(10)).await?.id;
    /// let services = client.raw();
    /// let elected = services.campaign("boss", lease, "10.0.0.7").await?.elected;
    /// services.proclaim(elected.clone(), "10.0.0.8").await?;
    /// assert_eq!(services.leader("boss").await?.kv.value, "10.0.0.8");
    ///
    /// services.resign(elected.clone()).await?;
    /// let error = services.proclaim(elected, "10.0.0.9").await.unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Service(ServiceError::NotElectionLeader));
    /// # Ok(())
    /// # });
    /// ```
    pub fn proclaim(&self, elected: ElectedKey, value: impl IntoBytes) -> Request<Proclaim> {
        self.client.request(services::proclaim(elected, value))
    }

    /// Asks who leads.
    ///
    /// # Errors
    ///
    /// [`NoElectionLeader`](ServiceError::NoElectionLeader) where there is no candidate, and those
    /// of any read.
    ///
    /// # Examples
    ///
    /// ```
    /// use etcd3::ErrorKind;
    /// use etcd3::raw::ServiceError;
    ///
    /// # etcd3_sim::example(|client| async move {
    /// match client.raw().leader("boss").await {
    ///     Ok(leader) => println!("{}", leader.kv.value_str()?),
    ///     Err(error) if error.kind() == ErrorKind::Service(ServiceError::NoElectionLeader) => {
    ///         println!("nobody");
    ///     }
    ///     Err(error) => return Err(error.into()),
    /// }
    /// # Ok(())
    /// # });
    /// ```
    pub fn leader(&self, name: impl IntoBytes) -> Request<Leader> {
        self.client.request(services::leader(name))
    }

    /// Gives the leadership up. One that is lost already is no error.
    ///
    /// # Errors
    ///
    /// Those of any write.
    ///
    /// # Examples
    ///
    /// ```
    /// # etcd3_sim::example(|client| async move {
    /// # let lease = client.grant(std::time::Duration::from_secs(10)).await?.id;
    /// let elected = client.raw().campaign("boss", lease, "10.0.0.7").await?.elected;
    /// client.raw().resign(elected).await?;
    /// assert!(client.raw().leader("boss").await.is_err());
    /// # Ok(())
    /// # });
    /// ```
    pub fn resign(&self, elected: ElectedKey) -> Request<Resign> {
        self.client.request(services::resign(elected))
    }

    /// Observes an election: a stream of the leaders and of what they proclaim, the present one
    /// first. Leaders that come and go quickly may be passed over.
    ///
    /// # Examples
    ///
    /// ```
    /// # etcd3_sim::example(|client| async move {
    /// # let lease = client.grant(std::time::Duration::from_secs(10)).await?.id;
    /// # client.raw().campaign("boss", lease, "10.0.0.7").await?;
    /// let mut leaders = client.raw().observe("boss");
    /// while let Some(leader) = leaders.next().await {
    ///     println!("{} leads", leader?.kv.value_str()?);
    /// #   break;
    /// }
    /// # Ok(())
    /// # });
    /// ```
    pub fn observe(&self, name: impl IntoBytes) -> Observe {
        Observe::new(self.client.clone(), name.into_bytes())
    }
}
