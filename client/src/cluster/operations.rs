//! The operations on members, one by one.

use super::{Cluster, MemberAdd, MemberPromote, MemberRemove, MemberUpdate};
use crate::request::Request;
use etcd3_core::MemberId;
use etcd3_core::request::cluster::{self, MemberList};

impl Cluster {
    /// Adds a member that the others reach at these addresses; its process is started afterwards,
    /// with `--initial-cluster-state existing`. A voter, unless the request says
    /// [`learner`](Request::learner).
    ///
    /// A voter counts for the majority at once, started or not: one that is added to a single
    /// member stops the cluster until it is started. A learner does not: add one, and
    /// [promote](Self::member_promote) it when it is in sync.
    ///
    /// When the answer is lost, the list of members tells whether the member was added, and it is
    /// asked for again if not: it is there once, or the error says *unknown*.
    ///
    /// # Errors
    ///
    /// [`MemberBadUrls`](crate::ServerError::MemberBadUrls) for addresses that no server takes,
    /// and nothing is sent: each must be `http://host:port`, `https://host:port` without a path,
    /// `unix:…` or `unixs:…`. [`PeerUrlExist`](crate::ServerError::PeerUrlExist) for those of
    /// another member, and [`MemberExist`](crate::ServerError::MemberExist) within a second.
    /// [`TooManyLearners`](crate::ServerError::TooManyLearners): one is allowed by default.
    ///
    /// [`Unhealthy`](crate::ServerError::Unhealthy), *rejected*, in the first five seconds of a
    /// cluster and while members are out of touch, and
    /// [`MemberNotEnoughStarted`](crate::ServerError::MemberNotEnoughStarted) while too few are
    /// started: [`wait_until_accepted`](Request::wait_until_accepted) waits that out.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves open whether the member is added.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # etcd3_sim::example(|client| async move {
    /// let added = client
    ///     .cluster()
    ///     .member_add(["http://etcd-3:2380"])
    ///     .learner()
    ///     .wait_until_accepted(Duration::from_secs(10))
    ///     .await?;
    /// // For the new process, its name and this:
    /// let initial: Vec<_> = added.members.iter().flat_map(|member| &member.peer_urls).collect();
    /// println!("{} is one of {initial:?}", added.member.id);
    /// # assert!(added.member.is_learner);
    /// # Ok(())
    /// # });
    /// ```
    // M11, M14, M17
    pub fn member_add<U: Into<String>>(
        &self,
        peer_urls: impl IntoIterator<Item = U>,
    ) -> Request<MemberAdd> {
        self.client.request(MemberAdd::new(cluster::member_add(peer_urls)))
    }

    /// Removes a member. Its process ends by itself when it hears of that; one that was the leader
    /// hands the leadership over first, or there is an election.
    ///
    /// When the answer is lost, the list of members tells whether it is gone.
    ///
    /// # Errors
    ///
    /// [`MemberNotFound`](crate::ServerError::MemberNotFound) for an id that is not there or was
    /// removed before. [`Unhealthy`](crate::ServerError::Unhealthy) and
    /// [`MemberNotEnoughStarted`](crate::ServerError::MemberNotEnoughStarted), *rejected*, while
    /// the rest would be no majority that works:
    /// [`wait_until_accepted`](Request::wait_until_accepted) waits that out.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves open whether the member is removed.
    ///
    /// # Examples
    ///
    /// ```
    /// # etcd3_sim::example(|client| async move {
    /// let cluster = client.cluster();
    /// let members = cluster.member_list().await?.members;
    ///
    /// let removed = cluster.member_remove(members[0].id).await?;
    /// assert_eq!(removed.members, members[1..]);
    /// # Ok(())
    /// # });
    /// ```
    // M15
    pub fn member_remove(&self, id: impl Into<MemberId>) -> Request<MemberRemove> {
        self.client.request(MemberRemove::new(cluster::member_remove(id)))
    }

    /// Sets where the others reach a member, as after it has moved to another machine with its
    /// data.
    ///
    /// On servers before 3.5.31 and 3.6.12 the update of a learner makes the list, and the learner
    /// itself, take it for a voter. When the answer is lost, the list of members tells whether the
    /// addresses are set.
    ///
    /// # Errors
    ///
    /// [`MemberBadUrls`](crate::ServerError::MemberBadUrls) as for
    /// [`member_add`](Self::member_add), and nothing is sent;
    /// [`MemberNotFound`](crate::ServerError::MemberNotFound);
    /// [`PeerUrlExist`](crate::ServerError::PeerUrlExist) for the addresses of another member.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves open whether the addresses are set.
    ///
    /// # Examples
    ///
    /// ```
    /// # etcd3_sim::example(|client| async move {
    /// let cluster = client.cluster();
    /// let id = cluster.member_list().await?.members[0].id;
    ///
    /// let updated = cluster.member_update(id, ["http://10.0.0.7:2380"]).await?;
    /// assert_eq!(updated.members[0].peer_urls, ["http://10.0.0.7:2380"]);
    /// # Ok(())
    /// # });
    /// ```
    // M11, M15
    pub fn member_update<U: Into<String>>(
        &self,
        id: impl Into<MemberId>,
        peer_urls: impl IntoIterator<Item = U>,
    ) -> Request<MemberUpdate> {
        self.client.request(MemberUpdate::new(cluster::member_update(id, peer_urls)))
    }

    /// Makes a learner a voter. Any voter can be asked.
    ///
    /// When the answer is lost, the list of members tells whether the learner is a voter.
    ///
    /// # Errors
    ///
    /// [`LearnerNotReady`](crate::ServerError::LearnerNotReady), *rejected*, until the learner is
    /// in sync with the leader: [`wait_until_in_sync`](Request::wait_until_in_sync) waits that out.
    /// [`MemberNotLearner`](crate::ServerError::MemberNotLearner) for a voter, and
    /// [`MemberNotFound`](crate::ServerError::MemberNotFound).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves open whether the learner is promoted.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # etcd3_sim::example_with(|client, etcd, _| async move {
    /// let cluster = client.cluster();
    /// let added = cluster.member_add(["http://etcd-3:2380"]).learner().await?.member;
    /// # etcd.join(added.id.0);
    /// // Once its process is started:
    /// let promoted =
    ///     cluster.member_promote(added.id).wait_until_in_sync(Duration::from_secs(60)).await?;
    /// assert!(promoted.members.iter().all(|member| !member.is_learner));
    /// # Ok(())
    /// # });
    /// ```
    // M13, case 8
    pub fn member_promote(&self, id: impl Into<MemberId>) -> Request<MemberPromote> {
        self.client.request(MemberPromote::new(cluster::member_promote(id)))
    }

    /// Lists the members: what a majority has agreed on, or with
    /// [`serializable`](Request::serializable) what the member that is asked knows.
    ///
    /// Servers before 3.5 answer from what they know in any case.
    ///
    /// # Errors
    ///
    /// Those of any read.
    ///
    /// # Examples
    ///
    /// ```
    /// # etcd3_sim::example(|client| async move {
    /// let members = client.cluster().member_list().await?.members;
    /// let voters = members.iter().filter(|member| !member.is_learner).count();
    /// println!("{voters} of {} members vote", members.len());
    ///
    /// // Also answered without a majority.
    /// let known = client.cluster().member_list().serializable().await?;
    /// assert_eq!(known.members, members);
    /// # Ok(())
    /// # });
    /// ```
    // M10
    pub fn member_list(&self) -> Request<MemberList> {
        self.client.request(cluster::member_list())
    }
}
