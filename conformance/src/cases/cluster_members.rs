//! Members are listed, added, removed and changed, and what is no change is refused.

use super::cluster_expect::{
    BAD_URLS, NOT_FOUND, NOT_LEARNER, TOO_MANY_LEARNERS, id_of, lenient_cluster,
};
use crate::{BoxError, Case, CaseResult, Ctx, case};
use etcd3::proto::etcdserverpb as pb;
use etcd3::{Client, Error, Member, MemberId, ServerError};
use etcd3_lab::etcd::Version;
use std::time::Duration;

pub(super) const CASES: &[Case] = &[
    case!(members_come_and_go, ["CLU-001", "CLU-002", "CLU-005", "CLU-051"]),
    case!(what_is_no_change_is_refused, ["CLU-003", "CLU-006", "CLU-013", "CLU-015", "CLU-017"]),
    case!(bad_addresses_are_not_sent, ["CLU-009", "CLU-010", "CLU-011", "CLU-012"]),
    case!(
        members_change_at_once_where_nobody_checks,
        ["CLU-021", "CLU-022", "CLU-025", "CLU-026", "CLU-029"]
    )
    .plain_and_tls(),
    case!(only_voters_that_are_started_become_endpoints, ["CLU-052"]).real("a learner that joins"),
];

const NEW: &str = "http://127.0.0.1:1234";
const OTHER: &str = "http://127.0.0.1:1235";
const THIRD: &str = "http://127.0.0.1:1236";

async fn members(client: &Client) -> Result<Vec<Member>, Error> {
    Ok(client.cluster().member_list().await?.members)
}

/// CLU-001, CLU-002, CLU-005, CLU-051, M16
async fn members_come_and_go(ctx: Ctx) -> CaseResult {
    let servers = lenient_cluster(&ctx, 3).await?;
    let client = ctx.connect(servers.client_urls()).await?;
    let cluster = client.cluster();

    let list = cluster.member_list().await?;
    assert_eq!(list.members.len(), 3);
    assert!(list.header.cluster_id > 0 && list.header.member_id > 0, "{:?}", list.header);
    assert_eq!(list.header.revision, 0);
    assert!(list.members.iter().all(|it| it.has_started() && !it.is_learner));
    assert!(list.members.windows(2).all(|pair| pair[0].id < pair[1].id));
    let mut urls: Vec<_> = list.members.iter().flat_map(|it| it.client_urls.clone()).collect();
    let mut expected = servers.client_urls();
    urls.sort();
    expected.sort();
    assert_eq!(urls, expected);

    let updated = list.members[0].clone();
    let answer = cluster.member_update(updated.id, [NEW]).await?;
    assert_eq!((answer.members[0].peer_urls[0].as_str(), answer.members.len()), (NEW, 3));
    assert_eq!(members(&client).await?, answer.members);
    let answer = cluster.member_update(updated.id, updated.peer_urls.clone()).await?;
    assert_eq!(answer.members, list.members);

    for is_learner in [false, true] {
        let add = cluster.member_add([NEW]);
        let added = if is_learner { add.learner().await? } else { add.await? };
        assert_eq!((&added.member.peer_urls[..], added.members.len()), (&[NEW.to_owned()][..], 4));
        assert_eq!((added.member.is_learner, added.member.has_started()), (is_learner, false));
        assert!(added.members.contains(&added.member), "{added:?}");
        assert_eq!(members(&client).await?, added.members);

        let removed = cluster.member_remove(added.member.id).await?;
        assert_eq!(removed.members, list.members);
        NOT_FOUND.is_answered(&cluster.member_remove(added.member.id).await.unwrap_err());
        // The id of a member is made of its addresses and the second.
        ctx.pause(Duration::from_millis(1100)).await;
    }
    NOT_FOUND.is_answered(&cluster.member_update(7, [NEW]).await.unwrap_err());
    NOT_FOUND.is_answered(&cluster.member_promote(7).await.unwrap_err());
    assert_eq!(members(&client).await?, list.members);
    Ok(())
}

/// CLU-003, CLU-006, CLU-013, CLU-015, CLU-017
async fn what_is_no_change_is_refused(ctx: Ctx) -> CaseResult {
    let servers = lenient_cluster(&ctx, 3).await?;
    let client = ctx.connect(servers.client_urls()).await?;
    let cluster = client.cluster();
    let before = members(&client).await?;

    let taken = before[0].peer_urls.clone();
    let error = cluster.member_add(taken.clone()).await.unwrap_err();
    assert_eq!(error.server_error(), Some(ServerError::PeerUrlExist), "{error}");
    let error = cluster.member_update(before[1].id, taken).await.unwrap_err();
    assert_eq!(error.server_error(), Some(ServerError::PeerUrlExist), "{error}");

    let leader = servers.wait_leader()?;
    let follower = ctx.connect([servers.member((leader + 1) % 3).client_url()]).await?;
    for member in &before {
        NOT_LEARNER.is_answered(&follower.cluster().member_promote(member.id).await.unwrap_err());
    }

    let learner = cluster.member_add([NEW]).learner().await?;
    assert!(learner.member.is_learner);
    assert_eq!(learner.members.iter().filter(|member| member.is_learner).count(), 1);
    let error = cluster.member_add([NEW]).learner().await.unwrap_err();
    // Within a second it has the same id.
    let said = [Some(ServerError::PeerUrlExist), Some(ServerError::MemberExist)];
    assert!(said.contains(&error.server_error()), "{error}");
    TOO_MANY_LEARNERS.is_answered(&cluster.member_add([OTHER]).learner().await.unwrap_err());

    let id = learner.member.id;
    let updated = cluster.member_update(id, [OTHER]).await?;
    let updated = updated.members.iter().find(|member| member.id == id).ok_or("no learner")?;
    assert_eq!(updated.peer_urls, [OTHER]);
    assert_eq!(updated.is_learner, keeps_learners(ctx.etcd.version), "{updated:?}");

    let voter = cluster.member_add([THIRD]).await?.member;
    assert!(!voter.is_learner);
    for id in [voter.id, id] {
        cluster.member_remove(id).await?;
    }
    assert_eq!(members(&client).await?, before);
    Ok(())
}

/// Returns whether a learner is one still after its addresses changed.
// M15
fn keeps_learners(version: Version) -> bool {
    let since = |minor, patch| version >= Version { major: 3, minor, patch };
    since(7, 0) || since(6, 12) || (since(5, 31) && version < Version::minor(3, 6))
}

/// CLU-009, CLU-010, CLU-011, CLU-012, M11: what is refused here is refused by servers, too, when
/// a member is added.
async fn bad_addresses_are_not_sent(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let cluster = client.cluster();
    for url in
        ["http://127.0.0.1", "http://127.0.0.1:2379/path", "127.0.0.1:1234", "localhost:1234"]
    {
        BAD_URLS.is_foreseen(&cluster.member_add([url]).await.unwrap_err());
        BAD_URLS.is_foreseen(&cluster.member_add([NEW, url]).learner().await.unwrap_err());
        BAD_URLS.is_foreseen(&cluster.member_update(0, [url]).await.unwrap_err());

        let peer_urls = vec![url.to_owned()];
        let add = pb::MemberAddRequest { peer_urls: peer_urls.clone(), is_learner: false };
        BAD_URLS.is_answered(&client.rpc(add).await.unwrap_err());
        // Servers take any addresses for a member that is there, and the others end when they
        // apply that: not even a message of its own leaves the client.
        let update = pb::MemberUpdateRequest { id: 0, peer_urls };
        BAD_URLS.is_foreseen(&client.rpc(update).await.unwrap_err());
    }
    BAD_URLS.is_foreseen(&cluster.member_add([""; 0]).await.unwrap_err());
    BAD_URLS.is_answered(&client.rpc(pb::MemberAddRequest::default()).await.unwrap_err());
    assert_eq!(members(&client).await?.len(), 1);
    Ok(())
}

/// CLU-021, CLU-022, CLU-025, CLU-026, CLU-029: without the check of servers nothing is to be
/// waited for, and who is ready to wait does not.
async fn members_change_at_once_where_nobody_checks(ctx: Ctx) -> CaseResult {
    let servers = lenient_cluster(&ctx, 3).await?;
    let client = ctx.connect(servers.client_urls()).await?;
    let cluster = client.cluster();
    for (number, budget) in [Duration::ZERO, Duration::from_secs(60)].into_iter().enumerate() {
        for is_learner in [false, true] {
            let url = format!("http://127.0.0.1:{}", 1234 + 2 * number + usize::from(is_learner));
            let add = cluster.member_add([url.as_str()]).wait_until_accepted(budget);
            let added = if is_learner { add.learner().await? } else { add.await? }.member;
            assert!(added.id.0 != 0 && added.peer_urls == [url.as_str()], "{added:?}");
            cluster.member_remove(added.id).await?;
        }
    }
    let removed = id_of(&ctx, &servers, 2).await?;
    let client = ctx.connect(servers.client_urls().into_iter().take(2)).await?;
    let left = client.cluster().member_remove(removed).await?.members;
    assert_eq!(left.len(), 2);
    assert!(left.iter().all(|member| member.id != removed));
    Ok(())
}

/// CLU-052, B21
async fn only_voters_that_are_started_become_endpoints(ctx: Ctx) -> CaseResult {
    let servers = lenient_cluster(&ctx, 3).await?;
    let voters = servers.client_urls();
    let client = ctx.connect([voters[0].as_str()]).await?;
    let (_, learner) = super::cluster_expect::grow(&ctx, &servers, &client, true).await?;
    client.cluster().member_add([NEW]).await?;
    ctx.until("the learner to say where it is", super::cluster_expect::LIMIT, || async {
        has_started(&client, learner.member.id).await.unwrap_or(false)
    })
    .await?;
    client.sync_endpoints().await?;
    let (mut endpoints, mut voters) = (client.endpoints(), voters);
    endpoints.sort();
    voters.sort();
    assert_eq!(endpoints, voters);
    Ok(())
}

async fn has_started(client: &Client, id: MemberId) -> Result<bool, BoxError> {
    let listed = members(client).await?;
    Ok(listed.iter().any(|member| member.id == id && member.has_started()))
}
