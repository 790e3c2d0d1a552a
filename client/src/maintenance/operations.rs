//! The operations on maintenance.

use super::Statuses;
use super::{At, DisarmAll, EnsureDowngrade, Maintenance, MoveLeader, ServingChanges, StatusOf};
use crate::request::Request;
use crate::{Error, MemberId, Version};
use etcd3_core::request::maintenance as core;
use etcd3_core::request::maintenance::{
    Alarm, Alarms, Defragment, Downgrade, Hash, HashKv, HealthCheck,
};
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
    pub fn status(&self, endpoint: impl Into<String>) -> Request<StatusOf> {
        self.client.request(StatusOf { endpoint: endpoint.into() })
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
        let operation = At::new(endpoint, core::defragment());
        self.client.request(operation.timeout(DEFRAGMENT_TIMEOUT))
    }

    /// Lists the alarms of all members.
    ///
    /// # Errors
    ///
    /// Those of any read.
    ///
    /// # Examples
    ///
    /// ```
    /// # etcd3_sim::example(|client| async move {
    /// for alarm in client.maintenance().alarms().await?.alarms {
    ///     println!("{} of member {}", alarm.kind, alarm.member_id);
    /// }
    /// # Ok(())
    /// # });
    /// ```
    // M20
    pub fn alarms(&self) -> Request<Alarms> {
        self.client.request(core::alarms())
    }

    /// Raises an alarm in the name of a member, as an operator may to stop all writes. To arm one
    /// twice is the same as once.
    ///
    /// # Errors
    ///
    /// Those of any write.
    ///
    /// # Examples
    ///
    /// ```
    /// use etcd3::{Alarm, AlarmKind, ServerError};
    ///
    /// # etcd3_sim::example(|client| async move {
    /// let maintenance = client.maintenance();
    /// let alarm = Alarm::new(1, AlarmKind::NoSpace);
    /// maintenance.arm(alarm).await?;
    /// let error = client.put("k", "v").await.unwrap_err();
    /// assert_eq!(error.server_error(), Some(ServerError::NoSpace));
    ///
    /// maintenance.disarm(alarm).await?;
    /// client.put("k", "v").await?;
    /// # Ok(())
    /// # });
    /// ```
    // M20, M21
    pub fn arm(&self, alarm: Alarm) -> Request<Alarms> {
        self.client.request(core::arm(alarm))
    }

    /// Disarms one alarm, and lists it if it was armed. One that is not armed is no error.
    ///
    /// A member whose database is still over its quota raises the alarm anew with the next write:
    /// delete keys, [compact](crate::Client::compact) and [defragment](Self::defragment) before.
    ///
    /// # Errors
    ///
    /// Those of any write. A disarmament of *unknown* outcome may be repeated.
    ///
    /// # Examples
    ///
    /// ```
    /// # etcd3_sim::example(|client| async move {
    /// let maintenance = client.maintenance();
    /// # use etcd3::{Alarm, AlarmKind};
    /// # maintenance.arm(Alarm::new(1, AlarmKind::NoSpace)).await?;
    /// for alarm in maintenance.alarms().await?.alarms {
    ///     assert_eq!(maintenance.disarm(alarm).await?.alarms, [alarm]);
    /// }
    /// # assert!(maintenance.alarms().await?.alarms.is_empty());
    /// # Ok(())
    /// # });
    /// ```
    // M20
    pub fn disarm(&self, alarm: Alarm) -> Request<Alarms> {
        self.client.request(core::disarm(alarm))
    }

    /// Disarms all alarms that there are, one after the other, and lists them. What is raised
    /// meanwhile is left.
    ///
    /// # Errors
    ///
    /// Those of [`disarm`](Self::disarm) and [`alarms`](Self::alarms), of the first call that
    /// fails; those before it have disarmed theirs.
    ///
    /// # Examples
    ///
    /// ```
    /// # etcd3_sim::example(|client| async move {
    /// let maintenance = client.maintenance();
    /// # use etcd3::{Alarm, AlarmKind};
    /// # maintenance.arm(Alarm::new(1, AlarmKind::NoSpace)).await?;
    /// # maintenance.arm(Alarm::new(2, AlarmKind::Corrupt)).await?;
    /// let disarmed = maintenance.disarm_all().await?;
    /// println!("{} alarms were armed", disarmed.alarms.len());
    /// assert!(maintenance.alarms().await?.alarms.is_empty());
    /// # assert_eq!(disarmed.alarms.len(), 2);
    /// # Ok(())
    /// # });
    /// ```
    // M20
    pub fn disarm_all(&self) -> Request<DisarmAll> {
        self.client.request(DisarmAll(()))
    }

    /// Asks a member for a hash of its keys, from its last compaction up to this revision; 0 is the
    /// current revision of the member.
    ///
    /// Members whose hashes of one revision are the same have the same data. Only those with the
    /// same [`compact_revision`](crate::HashKvResponse::compact_revision) can be compared.
    ///
    /// # Errors
    ///
    /// Those of any read, each of which names the endpoint; among them
    /// [`Compacted`](crate::ServerError::Compacted) and
    /// [`FutureRev`](crate::ServerError::FutureRev) by the revisions of that member.
    ///
    /// # Examples
    ///
    /// ```
    /// # etcd3_sim::example(|client| async move {
    /// let revision = client.put("k", "v").await?.header.revision;
    /// let mut hashes = Vec::new();
    /// for endpoint in client.endpoints() {
    ///     // A linearizable read, so that the member has the revision.
    ///     client.pinned_to(&endpoint)?.get("k").await?;
    ///     hashes.push(client.maintenance().hash_kv(&endpoint, revision).await?.hash);
    /// }
    /// assert!(hashes.iter().all(|hash| *hash == hashes[0]), "the members differ");
    /// # Ok(())
    /// # });
    /// ```
    // M25
    pub fn hash_kv(&self, endpoint: impl Into<String>, revision: i64) -> Request<At<HashKv>> {
        self.client.request(At::new(endpoint, core::hash_kv(revision)))
    }

    /// Asks a member for a hash of its whole database. It covers what differs between members by
    /// right, so compare them by [`hash_kv`](Self::hash_kv).
    ///
    /// # Errors
    ///
    /// Those of any read, each of which names the endpoint.
    ///
    /// # Examples
    ///
    /// ```
    /// # etcd3_sim::example(|client| async move {
    /// # let endpoint = client.endpoints().remove(0);
    /// let hash = client.maintenance().hash(&endpoint).await?.hash;
    /// assert_ne!(hash, 0);
    /// # Ok(())
    /// # });
    /// ```
    // M5
    pub fn hash(&self, endpoint: impl Into<String>) -> Request<At<Hash>> {
        self.client.request(At::new(endpoint, core::hash()))
    }

    /// Hands the leadership to the member with this id, a voting one. Finds the leader by asking
    /// all endpoints, and has it hand over; once more, if the leadership moved meanwhile.
    ///
    /// Where the member leads already nothing happens.
    ///
    /// # Errors
    ///
    /// [`BadLeaderTransferee`](crate::ServerError::BadLeaderTransferee) for a learner, and for an
    /// id that no member has; [`NoLeader`](crate::ServerError::NoLeader), not sent, where none is
    /// known. After an error of *unknown* outcome the leadership may have moved, or may yet.
    ///
    /// # Examples
    ///
    /// ```
    /// # etcd3_sim::example(|client| async move {
    /// let maintenance = client.maintenance();
    /// let answers = maintenance.statuses().await;
    /// let mut members = answers.into_iter().filter_map(|it| it.status.ok());
    /// let follower = members.find(|it| !it.is_leader() && !it.is_learner).expect("a follower");
    ///
    /// maintenance.move_leader(follower.member_id()).await?;
    /// # Ok(())
    /// # });
    /// ```
    // M3
    pub fn move_leader(&self, to: impl Into<MemberId>) -> Request<MoveLeader> {
        self.client.request(MoveLeader { to: to.into() })
    }

    /// Asks whether the cluster could go down to this version: the minor version before its own.
    ///
    /// # Errors
    ///
    /// Those of any read;
    /// [`InvalidDowngradeTargetVersion`](crate::ServerError::InvalidDowngradeTargetVersion) if not,
    /// [`DowngradeInProcess`](crate::ServerError::DowngradeInProcess) while another one is under
    /// way, and [`Unsupported`](crate::ErrorKind::Unsupported) before etcd 3.5.
    ///
    /// # Examples
    ///
    /// ```
    /// use etcd3::Version;
    ///
    /// # etcd3_sim::example(|client| async move {
    /// let answer = client.maintenance().validate_downgrade((3, 6)).await?;
    /// assert_eq!(answer.cluster_version, Some(Version::new(3, 7)));
    /// assert!(client.maintenance().validate_downgrade((3, 5)).await.is_err());
    /// # Ok(())
    /// # });
    /// ```
    // M26
    pub fn validate_downgrade(&self, to: impl Into<Version>) -> Request<Downgrade> {
        self.client.request(core::validate_downgrade(to))
    }

    /// Has the cluster go down to this version: the minor version before its own. Replace the
    /// servers one by one after that; the downgrade ends by itself once all run that version.
    ///
    /// [`ensure_downgrade`](Self::ensure_downgrade) may be repeated, and this not.
    ///
    /// # Errors
    ///
    /// Those of any write, and of [`validate_downgrade`](Self::validate_downgrade). After one of
    /// *unknown* outcome the downgrade may be under way.
    ///
    /// # Examples
    ///
    /// ```
    /// # etcd3_sim::example(|client| async move {
    /// let maintenance = client.maintenance();
    /// maintenance.enable_downgrade((3, 6)).await?;
    /// # let endpoint = client.endpoints().remove(0);
    /// let downgrade = maintenance.status(&endpoint).await?.downgrade.expect("etcd 3.6 or later");
    /// assert_eq!(downgrade.target, Some((3, 6).into()));
    /// # Ok(())
    /// # });
    /// ```
    // M26
    pub fn enable_downgrade(&self, to: impl Into<Version>) -> Request<Downgrade> {
        self.client.request(core::enable_downgrade(to))
    }

    /// Calls off the downgrade that is under way. Without one nothing happens.
    ///
    /// # Errors
    ///
    /// Those of any write, and [`Unsupported`](crate::ErrorKind::Unsupported) before etcd 3.5.
    ///
    /// # Examples
    ///
    /// ```
    /// # etcd3_sim::example(|client| async move {
    /// let maintenance = client.maintenance();
    /// maintenance.enable_downgrade((3, 6)).await?;
    /// maintenance.cancel_downgrade().await?;
    /// # let endpoint = client.endpoints().remove(0);
    /// let downgrade = maintenance.status(&endpoint).await?.downgrade.expect("etcd 3.6 or later");
    /// assert!(!downgrade.is_enabled);
    /// # Ok(())
    /// # });
    /// ```
    // M26
    pub fn cancel_downgrade(&self) -> Request<Downgrade> {
        self.client.request(core::cancel_downgrade())
    }

    /// Has the cluster go down to this version, unless it does already or has: may be repeated,
    /// also after an error of *unknown* outcome.
    ///
    /// Where a downgrade is under way the status of a member tells whether it is this one; where
    /// the version is refused otherwise, all [endpoints](crate::Client::endpoints) are asked
    /// whether they run it.
    ///
    /// # Errors
    ///
    /// Those of [`enable_downgrade`](Self::enable_downgrade), and kind
    /// [`DowngradeInProgress`](crate::ErrorKind::DowngradeInProgress) while one to another version
    /// is under way.
    ///
    /// # Examples
    ///
    /// ```
    /// # etcd3_sim::example(|client| async move {
    /// let maintenance = client.maintenance();
    /// maintenance.ensure_downgrade((3, 6)).await?;
    /// maintenance.ensure_downgrade((3, 6)).await?;
    /// # Ok(())
    /// # });
    /// ```
    // M26, case 10
    pub fn ensure_downgrade(&self, to: impl Into<Version>) -> Request<EnsureDowngrade> {
        self.client.request(EnsureDowngrade { to: to.into() })
    }

    /// Asks a server whether it serves, by the health service of gRPC.
    ///
    /// It says nothing about a leader or a quorum: to find out whether a member can serve, read a
    /// key from it. etcd says *no* only while it defragments, and only if it was started with the
    /// feature gate `StopGRPCServiceOnDefrag`.
    ///
    /// # Errors
    ///
    /// Those of any read, each of which names the endpoint.
    ///
    /// # Examples
    ///
    /// ```
    /// use etcd3::Serving;
    ///
    /// # etcd3_sim::example(|client| async move {
    /// # let endpoint = client.endpoints().remove(0);
    /// assert_eq!(client.maintenance().serving(&endpoint).await?, Serving::Yes);
    ///
    /// // What says more: a read at that member.
    /// client.pinned_to(&endpoint)?.get("health").await?;
    /// # Ok(())
    /// # });
    /// ```
    pub fn serving(&self, endpoint: impl Into<String>) -> Request<At<HealthCheck>> {
        self.client.request(At::new(endpoint, core::health_check()))
    }

    /// Has a server tell whether it serves, now and after each change: see
    /// [`serving`](Self::serving) for what that means.
    ///
    /// # Errors
    ///
    /// Kind [`InvalidConfig`](crate::ErrorKind::InvalidConfig) when the endpoint cannot be read.
    ///
    /// # Examples
    ///
    /// ```
    /// use etcd3::Serving;
    ///
    /// # etcd3_sim::example(|client| async move {
    /// # let endpoint = client.endpoints().remove(0);
    /// let mut changes = client.maintenance().serving_changes(&endpoint)?;
    /// while let Some(serving) = changes.next().await {
    ///     println!("{endpoint}: {:?}", serving?);
    /// #   break;
    /// }
    /// # Ok(())
    /// # });
    /// ```
    pub fn serving_changes(&self, endpoint: impl AsRef<str>) -> Result<ServingChanges, Error> {
        ServingChanges::new(&self.client, endpoint.as_ref())
    }
}
