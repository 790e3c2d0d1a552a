//! The operations on leases.

use super::begin::{BeginKeepAlive, BeginLease, KeepAliveOnce};
use super::grant::Grant;
use super::revoke::Revoke;
use crate::Client;
use crate::request::{BeginRegistration, BeginSession, Request};
use etcd3_core::request::{self, Leases, TimeToLive};
use etcd3_core::{IntoBytes, LeaseId};
use std::time::Duration;

impl Client {
    /// Grants a lease: what is attached to it is deleted when it ends, which it does after this
    /// time unless it is renewed.
    ///
    /// Time counts in whole seconds: a fraction is rounded up. Servers raise a shorter time to live
    /// to their least, 2 s with the defaults, so go by [`ttl`](crate::GrantResponse::ttl) of the
    /// answer; over 9,000,000,000 s they refuse.
    ///
    /// The id is drawn at random unless [`id`](Request::id) sets one. When an answer is lost, the
    /// grant is repeated with the same id, and a lease that turns out to exist counts as granted:
    /// no lease is left behind that nobody knows of.
    ///
    /// # Errors
    ///
    /// [`LeaseTtlTooLarge`](crate::ServerError::LeaseTtlTooLarge), and for an id that was set and
    /// is taken [`LeaseExist`](crate::ServerError::LeaseExist). When the outcome is *unknown*, the
    /// lease may exist until its time is over.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may leave a lease behind until its time is over.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # etcd3_sim::example(|client| async move {
    /// let lease = client.grant(Duration::from_secs(30)).await?;
    /// client.put("session", "me").lease(lease.id).await?;
    ///
    /// let short = client.grant(Duration::from_millis(100)).await?;
    /// assert_eq!(short.ttl, Duration::from_secs(2));
    /// # Ok(())
    /// # });
    /// ```
    // I-L7, I-L9, L-18
    pub fn grant(&self, ttl: Duration) -> Request<Grant> {
        self.request(Grant(request::grant(ttl)))
    }

    /// Ends a lease now, and deletes the keys that are attached to it, all in one revision. Handles
    /// that this client has of the lease are [lost](crate::LossReason::Revoked) with the answer.
    ///
    /// # Errors
    ///
    /// [`is_lease_not_found`](crate::Error::is_lease_not_found) for a lease that has ended before.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # etcd3_sim::example(|client| async move {
    /// let lease = client.grant(Duration::from_secs(30)).await?.id;
    /// client.put("session", "me").lease(lease).await?;
    ///
    /// client.revoke(lease).await?;
    /// assert_eq!(client.get("session").await?.count, 0);
    /// let error = client.revoke(lease).await.unwrap_err();
    /// assert!(error.is_lease_not_found());
    /// # Ok(())
    /// # });
    /// ```
    pub fn revoke(&self, id: impl Into<LeaseId>) -> Request<Revoke> {
        self.request(Revoke(id.into()))
    }

    /// Asks how much time a lease has left, and with [`keys`](Request::keys) which keys are
    /// attached to it. A lease that does not exist is no error.
    ///
    /// # Errors
    ///
    /// Those of any read.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # etcd3_sim::example(|client| async move {
    /// let lease = client.grant(Duration::from_secs(30)).await?.id;
    /// client.put("session", "me").lease(lease).await?;
    ///
    /// let found = client.time_to_live(lease).keys().await?;
    /// println!("{:?} of {:?} left", found.ttl, found.granted);
    /// assert_eq!(found.keys, ["session"]);
    ///
    /// client.revoke(lease).await?;
    /// assert_eq!(client.time_to_live(lease).await?.ttl, None);
    /// # Ok(())
    /// # });
    /// ```
    // L3
    pub fn time_to_live(&self, id: impl Into<LeaseId>) -> Request<TimeToLive> {
        self.request(request::time_to_live(id))
    }

    /// Lists all leases. The member that is asked does not ask the others: a lease that was granted
    /// a moment ago may be missing.
    ///
    /// # Errors
    ///
    /// Those of any read.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # etcd3_sim::example(|client| async move {
    /// let lease = client.grant(Duration::from_secs(30)).await?.id;
    /// for id in client.leases().await?.leases {
    ///     println!("{id}: {:?} left", client.time_to_live(id).await?.ttl);
    /// }
    /// # Ok(())
    /// # });
    /// ```
    // L4
    pub fn leases(&self) -> Request<Leases> {
        self.request(request::leases())
    }

    /// Grants a lease and keeps it alive: awaiting the request gives a [`Lease`](crate::Lease),
    /// which is renewed in the background until its last clone is dropped.
    ///
    /// Time counts in whole seconds, and servers have a least time to live, as for
    /// [`grant`](Self::grant).
    ///
    /// # Errors
    ///
    /// Those of [`grant`](Self::grant).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may leave a lease behind until its time is over.
    ///
    /// # Examples
    ///
    /// ```
    /// use etcd3::LeaseStatus;
    /// use std::time::Duration;
    ///
    /// # etcd3_sim::example(|client| async move {
    /// let lease = client.lease(Duration::from_secs(10)).await?;
    /// client.put("leader", "me").lease(lease.id()).await?;
    /// match lease.status() {
    ///     LeaseStatus::Ok => {}
    ///     LeaseStatus::Late { since, .. } => println!("not renewed since {since:?}"),
    ///     LeaseStatus::Lost(lost) => println!("to be given up: {lost}"),
    ///     _ => {}
    /// }
    /// # Ok(())
    /// # });
    /// ```
    // L45, I-L1
    pub fn lease(&self, ttl: Duration) -> Request<BeginLease> {
        self.request(BeginLease(Grant(request::grant(ttl))))
    }

    /// Keeps a lease alive that was granted elsewhere: awaiting the request gives a
    /// [`Lease`](crate::Lease) once a first renewal was acknowledged.
    ///
    /// # Errors
    ///
    /// Those of any read, and [`is_lease_not_found`](crate::Error::is_lease_not_found) for a lease
    /// that does not exist.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops the renewals.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # etcd3_sim::example(|client| async move {
    /// let id = client.grant(Duration::from_secs(10)).await?.id;
    ///
    /// let lease = client.keep_alive(id).await?;
    /// assert_eq!(lease.ttl(), Duration::from_secs(10));
    /// // Not renewed any more, but not revoked either.
    /// lease.orphan();
    /// # Ok(())
    /// # });
    /// ```
    pub fn keep_alive(&self, id: impl Into<LeaseId>) -> Request<BeginKeepAlive> {
        self.request(BeginKeepAlive(id.into()))
    }

    /// Renews a lease once, on the stream that all leases of the client share. A renewal that was
    /// sent just before and is not answered yet may count as this one; its answer tells the time to
    /// live all the same.
    ///
    /// # Errors
    ///
    /// Those of any read, and [`is_lease_not_found`](crate::Error::is_lease_not_found) for a lease
    /// that does not exist.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves open whether the lease is renewed.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # etcd3_sim::example(|client| async move {
    /// let id = client.grant(Duration::from_secs(10)).await?.id;
    /// let renewed = client.keep_alive_once(id).await?;
    /// assert_eq!(renewed.ttl, Duration::from_secs(10));
    /// # Ok(())
    /// # });
    /// ```
    // L35, L36
    pub fn keep_alive_once(&self, id: impl Into<LeaseId>) -> Request<KeepAliveOnce> {
        self.request(KeepAliveOnce(id.into()))
    }

    /// Begins a session: awaiting the request gives a [`Session`](crate::Session), a lease that is
    /// kept alive, with the keys that are registered on it.
    ///
    /// # Errors
    ///
    /// Those of [`lease`](Self::lease).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may leave a lease behind until its time is over.
    ///
    /// # Examples
    ///
    /// ```
    /// use etcd3::OnLoss;
    /// use std::time::Duration;
    ///
    /// # etcd3_sim::example(|client| async move {
    /// let session = client.session(Duration::from_secs(10)).on_loss(OnLoss::Regrant).await?;
    /// session.register("workers/7/address", "10.0.0.7:80").await?;
    /// session.register("workers/7/zone", "a").await?;
    /// # Ok(())
    /// # });
    /// ```
    // X1
    pub fn session(&self, ttl: Duration) -> Request<BeginSession> {
        self.request(BeginSession::new(ttl))
    }

    /// Begins a session on a lease that exists: awaiting the request gives a
    /// [`Session`](crate::Session) once a first renewal was acknowledged.
    ///
    /// With [`OnLoss::Regrant`](crate::OnLoss::Regrant) the leases after it have its time to live.
    /// [`Session::close`](crate::Session::close) revokes it; after
    /// [`Session::orphan`](crate::Session::orphan) it lives until its time is over, or goes on with
    /// others who have it.
    ///
    /// # Errors
    ///
    /// Those of [`keep_alive`](Self::keep_alive).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops the renewals.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # etcd3_sim::example(|client| async move {
    /// let id = client.grant(Duration::from_secs(10)).await?.id;
    ///
    /// let session = client.session_on(id).await?;
    /// session.register("workers/7", "10.0.0.7:80").await?;
    /// assert_eq!(session.id(), id);
    /// # Ok(())
    /// # });
    /// ```
    // X1, X4
    pub fn session_on(&self, id: impl Into<LeaseId>) -> Request<BeginSession> {
        self.request(BeginSession::on(id.into()))
    }

    /// Registers a key for as long as the program runs: awaiting the request gives a
    /// [`Registration`](crate::Registration). What service discovery needs.
    ///
    /// # Errors
    ///
    /// Those of [`lease`](Self::lease) and of any write.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may leave the key behind until the time of its lease is over.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # etcd3_sim::example(|client| async move {
    /// let service = client.register("services/web/7", "10.0.0.7:80").ttl(Duration::from_secs(5));
    /// let service = service.await?;
    /// service.set_value("10.0.0.7:8080").await?;
    ///
    /// service.close().await?;
    /// assert_eq!(client.get("services/web/7").await?.count, 0);
    /// # Ok(())
    /// # });
    /// ```
    pub fn register(
        &self,
        key: impl IntoBytes,
        value: impl IntoBytes,
    ) -> Request<BeginRegistration> {
        self.request(BeginRegistration::new(key, value))
    }
}
