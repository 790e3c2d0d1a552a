//! What cases about members need over and over.

use super::kv_expect::Refusal;
use crate::{BoxError, Cluster, ClusterBuilder, Ctx};
use etcd3::{Client, Code, Error, MemberAddResponse, MemberId, ServerError};
use etcd3_lab::Result as LabResult;
use std::sync::Arc;
use std::time::Duration;

pub(super) const LIMIT: Duration = Duration::from_secs(20);

/// How long servers want their members to be connected before they change the membership.
// M14
pub(super) const HEALTH_INTERVAL: Duration = Duration::from_secs(5);

pub(super) const BAD_URLS: Refusal = Refusal {
    error: ServerError::MemberBadUrls,
    code: Code::InvalidArgument,
    text: "etcdserver: given member URLs are invalid",
};
pub(super) const UNHEALTHY: Refusal = Refusal {
    error: ServerError::Unhealthy,
    code: Code::Unavailable,
    text: "etcdserver: unhealthy cluster",
};
pub(super) const NOT_FOUND: Refusal = Refusal {
    error: ServerError::MemberNotFound,
    code: Code::NotFound,
    text: "etcdserver: member not found",
};
pub(super) const NOT_LEARNER: Refusal =
    failed(ServerError::MemberNotLearner, "etcdserver: can only promote a learner member");
pub(super) const NOT_READY: Refusal = failed(
    ServerError::LearnerNotReady,
    "etcdserver: can only promote a learner member which is in sync with leader",
);
pub(super) const TOO_MANY_LEARNERS: Refusal =
    failed(ServerError::TooManyLearners, "etcdserver: too many learner members in cluster");

const fn failed(error: ServerError, text: &'static str) -> Refusal {
    Refusal { error, code: Code::FailedPrecondition, text }
}

/// Lets members be added and removed at once, whatever becomes of the majority.
pub(super) fn lenient(cluster: ClusterBuilder) -> ClusterBuilder {
    cluster.flag("--strict-reconfig-check", "false")
}

/// Starts a cluster of so many members, whose membership may change at once.
pub(super) async fn lenient_cluster(ctx: &Ctx, members: usize) -> LabResult<Arc<Cluster>> {
    Ok(Arc::new(ctx.cluster_with(|cluster| lenient(cluster).members(members)).await?))
}

/// Returns the id of a member, by another way than the client under test.
pub(super) async fn id_of(ctx: &Ctx, cluster: &Cluster, member: usize) -> LabResult<MemberId> {
    let member = cluster.member(member);
    let status = ctx.blocking(move || member.status()).await?;
    Ok(MemberId(status.member_id))
}

/// Adds a member by the client, and starts it; returns its index.
pub(super) async fn grow(
    ctx: &Ctx,
    cluster: &Arc<Cluster>,
    client: &Client,
    learner: bool,
) -> Result<(usize, MemberAddResponse), BoxError> {
    let newcomer = cluster.newcomer()?;
    let add = client.cluster().member_add([newcomer.peer_url()]);
    let add = if learner { add.learner() } else { add };
    let added = add.wait_until_accepted(LIMIT).await?;
    let (joining, members) = (Arc::clone(cluster), added.members.clone());
    let index = ctx.blocking(move || joining.join(newcomer, &members)).await?;
    Ok((index, added))
}

/// Writes a key once there is a leader again: a read waits for it, and the outcome of a write that
/// meets an election is not known. Returns the revision.
pub(super) async fn write(client: &Client, key: &str) -> Result<i64, Error> {
    client.get(key).timeout(LIMIT).await?;
    Ok(client.put(key, "x").timeout(LIMIT).await?.header.revision)
}

/// Writes a key through one member, and waits until a watch at every member of these has seen it.
pub(super) async fn makes_progress(ctx: &Ctx, urls: &[String]) -> Result<(), BoxError> {
    let mut watches = Vec::new();
    for url in urls {
        let client = ctx.connect([url.as_str()]).await?;
        let watch = ctx.within(LIMIT, client.watch("progress").send()).await;
        watches.push(watch.ok_or("a watch that does not begin")??);
    }
    let first = ctx.connect([urls.first().ok_or("no members")?.as_str()]).await?;
    let written = write(&first, "progress").await?;
    for watch in &mut watches {
        let batch = ctx.within(LIMIT, watch.next()).await.ok_or("a watch that sees nothing")?;
        let batch = batch.ok_or("a watch that ended")??;
        assert_eq!(batch.events[0].kv.mod_revision, written);
    }
    Ok(())
}
