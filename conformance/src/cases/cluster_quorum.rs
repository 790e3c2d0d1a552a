//! A cluster that a change of its members has left without a majority.

use super::cluster_expect::LIMIT;
use crate::{Case, CaseResult, Ctx, case};
use etcd3::proto::etcdserverpb as pb;
use etcd3::{ErrorKind, ServerError};
use etcd3_lab::etcd::Version;
use std::time::Duration;

pub(super) const CASES: &[Case] = &[
    case!(the_list_of_a_cluster_without_a_majority, ["CLU-031", "CLU-032"])
        .since(Version::minor(3, 5)),
    case!(a_leader_is_not_moved_to_a_learner_that_goes, ["CLU-038"]),
];

const NEW: &str = "http://127.0.0.1:1234";

/// CLU-031, CLU-032, M10, M14
async fn the_list_of_a_cluster_without_a_majority(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let cluster = client.cluster();
    let added = cluster.member_add([NEW]).await?;
    assert_eq!(added.members.len(), 2);

    let known = cluster.member_list().serializable().await?;
    assert_eq!(known.members, added.members);
    let error = cluster.member_list().timeout(Duration::from_secs(1)).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::TimedOut(_)), "{error}");
    let error = cluster.member_add(["http://127.0.0.1:1235"]).await.unwrap_err();
    assert_eq!(error.server_error(), Some(ServerError::MemberNotEnoughStarted), "{error}");

    // An operator sees that there is none, and which member it lacks.
    let view = cluster.view().timeout(Duration::from_secs(3)).await?;
    assert!(!view.is_confirmed);
    assert_eq!(view.tolerated_failures(), None);
    let missing = view.member(added.member.id).ok_or("the new member is not in the view")?;
    assert!(missing.endpoint.is_none() && missing.status.is_none(), "{missing:?}");
    let there = view.members.iter().find(|it| it.member.has_started()).ok_or("nobody")?;
    assert_eq!(there.status().ok_or("no status")?.version, ctx.etcd.version.to_string());
    Ok(())
}

/// CLU-038
async fn a_leader_is_not_moved_to_a_learner_that_goes(ctx: Ctx) -> CaseResult {
    let (server, client) = ctx.server_and_client().await?;
    for _ in 0..2 {
        let learner = client.cluster().member_add([NEW]).learner().await?.member.id;
        let moving = pb::MoveLeaderRequest { target_id: learner.0 };
        let moving = ctx.spawn(client.rpc(moving).timeout(LIMIT).into_future());
        let removed = client.cluster().member_remove(learner).timeout(LIMIT).await?;
        assert_eq!(removed.members.len(), 1);
        let error = moving.await.map(drop).unwrap_err();
        assert_eq!(error.server_error(), Some(ServerError::BadLeaderTransferee), "{error}");
        assert!(server.is_running());
        client.put("it", "works").timeout(LIMIT).await?;
        ctx.pause(Duration::from_millis(1100)).await;
    }
    Ok(())
}
