//! Elections of the recipes: who leads, who follows, and what is proclaimed.

use super::auth_expect::Guarded;
use crate::{BoxError, Case, CaseResult, Ctx, case};
use etcd3::recipes::{Election, Leader, LeaderChange, LeaderChanges};
use etcd3::{Client, Session, prefix};
use std::time::Duration;

/// Nothing here takes longer.
const LIMIT: Duration = Duration::from_secs(30);

pub(super) const CASES: &[Case] = &[
    case!(a_session_is_one_candidate, ["CONC-001", "CONC-007", "CONC-013", "CONC-015"]),
    case!(every_follower_sees_every_leader, ["CONC-011", "CONC-012", "CONC-016", "CONC-017"]),
    case!(users_lead_within_what_they_may_write, ["CONC-018"]),
];

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Waits for the next change.
async fn next(ctx: &Ctx, changes: &mut LeaderChanges) -> Result<LeaderChange, BoxError> {
    let next = ctx.within(LIMIT, changes.next()).await.ok_or("no change of the leader")?;
    Ok(next.ok_or("the changes of the leader ended")??)
}

/// Waits until somebody leads, or proclaims something.
async fn next_leader(ctx: &Ctx, changes: &mut LeaderChanges) -> Result<Leader, BoxError> {
    loop {
        if let Some(leader) = next(ctx, changes).await?.leader() {
            return Ok(leader.clone());
        }
    }
}

/// Waits until an election has so many candidates.
async fn until_candidates(ctx: &Ctx, client: &Client, name: &str, count: u64) -> CaseResult {
    ctx.until("the candidates", LIMIT, || {
        let keys = client.get(prefix(format!("{name}/")));
        async move { keys.await.is_ok_and(|it| it.count == count) }
    })
    .await
}

async fn a_session_is_one_candidate(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    resumed(&ctx, &client).await?;
    one_after_the_other(&ctx, &client).await?;
    campaigned_again(&ctx, &client).await?;
    restarted(&ctx, &client).await
}

/// CONC-001, X21
async fn resumed(ctx: &Ctx, client: &Client) -> CaseResult {
    let session = client.session(seconds(60)).await?;
    let election = Election::new(&session, "resumed");
    let first = election.campaign("candidate1").await?;
    let leader = election.leader().await?.ok_or("a leader")?;
    assert_eq!((leader.key(), &leader.value()[..]), (first.key(), &b"candidate1"[..]));
    let again = Election::new(&session, "resumed").resume().await?.ok_or("it leads")?;
    assert_eq!(again.create_revision(), leader.create_revision());
    let mut changes = Election::new(&session, "resumed").observe();
    assert_eq!(next(ctx, &mut changes).await?, LeaderChange::Elected(leader));
    client.put("foo", "bar").await?;
    again.resign().await?;
    let second = election.campaign("candidate2").await?;
    let leader = next_leader(ctx, &mut changes).await?;
    assert_eq!((leader.key(), &leader.value()[..]), (second.key(), &b"candidate2"[..]));
    assert!(leader.key().starts_with(b"resumed/"));
    session.close().await?;
    assert_eq!(next(ctx, &mut changes).await?, LeaderChange::Vacant);
    Ok(())
}

/// CONC-007
async fn one_after_the_other(ctx: &Ctx, client: &Client) -> CaseResult {
    let (one, two) = (client.session(seconds(60)).await?, client.session(seconds(60)).await?);
    let mut changes = LeaderChanges::new(client, "order");
    let second = Election::new(&two, "order").campaign("e2").await?;
    let later = ctx.spawn(async move { Election::new(&one, "order").campaign("e1").await });
    until_candidates(ctx, client, "order", 2).await?;
    assert_eq!(next_leader(ctx, &mut changes).await?.value(), "e2");
    second.resign().await?;
    assert_eq!(next_leader(ctx, &mut changes).await?.value(), "e1");
    later.await?.resign().await?;
    Ok(())
}

/// CONC-013, X22
async fn campaigned_again(ctx: &Ctx, client: &Client) -> CaseResult {
    let session = client.session(seconds(60)).await?;
    let first = Election::new(&session, "again").campaign("abc").await?;
    let again = Election::new(&session, "again");
    let second = ctx.within(LIMIT, again.campaign("def")).await.ok_or("a deadlock")??;
    assert_eq!(first.create_revision(), second.create_revision());
    assert_eq!(next_leader(ctx, &mut again.observe()).await?.value(), "def");
    session.close().await?;
    Ok(())
}

/// CONC-015
async fn restarted(ctx: &Ctx, client: &Client) -> CaseResult {
    let session = client.session(seconds(60)).await?;
    let first = Election::new(&session, "restarted").campaign("abc").await?;
    let waiting = client.session(seconds(60)).await?;
    let other = ctx.spawn({
        let waiting = waiting.clone();
        async move { Election::new(&waiting, "restarted").campaign("other").await }
    });
    until_candidates(ctx, client, "restarted", 2).await?;
    let restarted = client.session_on(session.id()).await?;
    let election = Election::new(&restarted, "restarted");
    let second = ctx.within(LIMIT, election.campaign("def")).await.ok_or("it leads")??;
    assert_eq!(first.create_revision(), second.create_revision());
    assert_eq!(next_leader(ctx, &mut election.observe()).await?.value(), "def");
    waiting.close().await?;
    assert!(other.await.is_err_and(|error| error.is_session_lost()));
    restarted.close().await?;
    Ok(())
}

async fn every_follower_sees_every_leader(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster().await?;
    let mut clients = Vec::new();
    for url in cluster.client_urls() {
        clients.push(ctx.connect([url]).await?);
    }
    in_rounds(&ctx, &clients).await?;
    failed_over(&ctx, &clients).await?;
    compacted(&ctx, &clients[0]).await?;
    proclaimed(&ctx, &clients[0], &clients[1]).await
}

/// Campaigns so often; each value is another one.
async fn lead_often(session: Session, rounds: usize) -> CaseResult {
    let election = Election::new(&session, "rounds");
    for round in 0..rounds {
        let value = format!("{} {round}", session.id());
        let leadership = election.campaign(value).await?;
        assert!(leadership.is_valid());
        leadership.resign().await?;
    }
    session.close().await?;
    Ok(())
}

/// CONC-011, I-S6: three candidates and three followers, each of another member.
async fn in_rounds(ctx: &Ctx, clients: &[Client]) -> CaseResult {
    const ROUNDS: usize = 3;
    let mut followers = Vec::new();
    for client in clients {
        let mut changes = LeaderChanges::new(client, "rounds");
        assert_eq!(next(ctx, &mut changes).await?, LeaderChange::Vacant);
        let (ctx, count) = (ctx.clone(), ROUNDS * clients.len());
        followers.push(ctx.clone().spawn(async move {
            let mut seen = Vec::new();
            while seen.len() < count {
                let leader = next_leader(&ctx, &mut changes).await?;
                seen.push((leader.create_revision(), leader.value().clone()));
            }
            Ok::<_, BoxError>(seen)
        }));
    }
    let mut candidates = Vec::new();
    for client in clients {
        let session = client.session(seconds(60)).await?;
        candidates.push(ctx.spawn(lead_often(session, ROUNDS)));
    }
    for candidate in candidates {
        candidate.await?;
    }
    let mut all = Vec::new();
    for follower in followers {
        all.push(follower.await?);
    }
    let first = &all[0];
    assert!(first.is_sorted_by(|a, b| a.0 < b.0), "{first:?}");
    assert!(all.iter().all(|seen| seen == first), "{all:?}");
    Ok(())
}

/// CONC-012
async fn failed_over(ctx: &Ctx, clients: &[Client]) -> CaseResult {
    let leading = clients[0].session(seconds(60)).await?;
    let _led = Election::new(&leading, "failover").campaign("foo").await?;
    let waiting = clients[1].session(seconds(60)).await?;
    let mut changes = LeaderChanges::new(&clients[2], "failover");
    assert_eq!(next_leader(ctx, &mut changes).await?.value(), "foo");
    let next = ctx.spawn(async move { Election::new(&waiting, "failover").campaign("bar").await });
    until_candidates(ctx, &clients[2], "failover", 2).await?;
    leading.close().await?;
    assert_eq!(next_leader(ctx, &mut changes).await?.value(), "bar");
    next.await?.resign().await?;
    Ok(())
}

/// CONC-016, S-08
async fn compacted(ctx: &Ctx, client: &Client) -> CaseResult {
    let session = client.session(seconds(60)).await?;
    let leadership = Election::new(&session, "compacted").campaign("abc").await?;
    let revision = client.put("foo", "bar").await?.header.revision;
    client.compact(revision).await?;
    let mut changes = LeaderChanges::new(client, "compacted");
    assert_eq!(next_leader(ctx, &mut changes).await?.value(), "abc");
    leadership.proclaim("def").await?;
    assert_eq!(next_leader(ctx, &mut changes).await?.value(), "def");
    Ok(())
}

/// CONC-017, X24, X27
async fn proclaimed(ctx: &Ctx, client: &Client, follower: &Client) -> CaseResult {
    let session = client.session(seconds(60)).await?;
    let leadership = Election::new(&session, "proclaimed").campaign("abc").await?;
    let mut changes = LeaderChanges::new(follower, "proclaimed");
    let mut seen = vec![next(ctx, &mut changes).await?];
    for value in ["def", "ghi"] {
        leadership.proclaim(value).await?;
    }
    for _ in 0..2 {
        seen.push(next(ctx, &mut changes).await?);
    }
    let leaders: Vec<_> = seen.iter().filter_map(LeaderChange::leader).collect();
    let values: Vec<_> = leaders.iter().map(|it| (&it.value()[..], it.kv().version)).collect();
    assert_eq!(values, [(&b"abc"[..], 1), (b"def", 2), (b"ghi", 3)]);
    assert!(leaders.is_sorted_by(|a, b| a.kv().mod_revision < b.kv().mod_revision));
    Ok(())
}

/// CONC-018: tokens end while a candidate waits for the lease of the one before.
async fn users_lead_within_what_they_may_write(ctx: Ctx) -> CaseResult {
    let short =
        |cluster: etcd3_lab::ClusterBuilder| cluster.members(1).flag("--auth-token-ttl", "1");
    let guarded = Guarded::by_password(&ctx, short).await?;
    // Not dropped, which would resign.
    let (mut held, mut campaigns) = (Vec::new(), Vec::new());
    for (name, election) in [("user1", "/foo1"), ("user2", "/bar1")] {
        let client = guarded.add_user(name, prefix(election)).await?;
        let before = client.session(seconds(2)).await?;
        held.push(Election::new(&before, election).campaign("one").await?);
        before.orphan();
        let session = client.session(seconds(10)).await?;
        campaigns.push(ctx.spawn(async move {
            let leadership = Election::new(&session, election).campaign("two").await?;
            leadership.resign().await?;
            let other = Election::new(&session, "elsewhere").campaign("x").await;
            assert!(other.is_err_and(|error| {
                error.call().is_some_and(etcd3::Error::is_permission_denied)
            }));
            session.close().await?;
            Ok::<_, BoxError>(())
        }));
    }
    for campaign in campaigns {
        ctx.within(LIMIT, campaign).await.ok_or("it does not lead")??;
    }
    Ok(())
}
