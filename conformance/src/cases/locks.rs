//! Locks of the recipes, and the sessions that they are held by.

use crate::{BoxError, Case, CaseResult, Ctx, case};
use etcd3::recipes::{DoubleBarrier, Election, Mutex, MutexGuard, RecipeError, RwLock, Semaphore};
use etcd3::{Client, LossReason, Session, prefix, put};
use futures_lite::future::{or, poll_once};
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

/// Nothing here takes longer.
const LIMIT: Duration = Duration::from_secs(10);

pub(super) const CASES: &[Case] = &[
    case!(a_session_is_its_lease, ["CONC-004", "CONC-005", "CONC-006"]),
    case!(a_lock_goes_from_one_to_the_next, ["CONC-008", "CONC-009", "REC-007", "REC-008"]),
    case!(a_lock_is_one_lock_on_all_members, ["REC-009"]),
    case!(waiters_wait_for_all_who_came_before, ["CONC-002", "REC-012"]),
    case!(a_lock_is_unlocked_once, ["CONC-003", "CONC-021", "REC-011"]),
    case!(what_is_given_up_before_a_close_is_free_after_it, []),
];

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Polls until a lock is waited for by so many keys, the holder's included.
async fn until_keys(ctx: &Ctx, client: &Client, count: u64) -> CaseResult {
    ctx.until("the keys of the lock", LIMIT, || {
        let client = client.clone();
        async move { client.get(prefix("lock/")).await.is_ok_and(|it| it.count == count) }
    })
    .await
}

/// Sees that a future does not complete for a while.
async fn still_waits<T>(ctx: &Ctx, future: impl Future<Output = T>) -> CaseResult {
    match ctx.within(Duration::from_millis(300), future).await {
        None => Ok(()),
        Some(_) => Err("two holders".into()),
    }
}

/// CONC-004, CONC-005, CONC-006, X1, X3
async fn a_session_is_its_lease(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let lease = client.grant(seconds(100)).await?.id;
    let session = client.session_on(lease).await?;
    assert_eq!(session.id(), lease);
    // What hangs on a session ends with it.
    let lost = session.lost();
    let child = ctx.spawn(async move { lost.await.reason });
    let begin = ctx.rt.now();
    session.orphan();
    assert_eq!(session.lost().await.reason, LossReason::Orphaned);
    assert_eq!(child.await, LossReason::Orphaned);
    let took = ctx.rt.now().saturating_since(begin);
    assert!(took < ctx.at_most(Duration::from_millis(100)), "{took:?}");
    assert!(client.time_to_live(lease).await?.ttl.is_some());

    let session = client.session(seconds(90)).await?;
    let left = client.time_to_live(session.id()).await?.ttl.ok_or("the lease is gone")?;
    assert!(left >= seconds(70) && left < seconds(91), "{left:?}");
    let error = {
        let guard = Mutex::new(&session, "lock").lock().await?;
        session.close().await?;
        guard.lost().await
    };
    assert!(error.is_session_lost(), "{error}");
    assert_eq!(client.get(prefix("lock/")).await?.count, 0);
    Ok(())
}

/// Has contenders lock one after the other, each of which sees that it is alone.
async fn hold_in_turns(ctx: &Ctx, sessions: &[Session]) -> CaseResult {
    let tasks: Vec<_> = sessions
        .iter()
        .cloned()
        .map(|session| {
            ctx.spawn(async move {
                let guard = Mutex::new(&session, "lock").lock().await?;
                let client = session.client();
                let free = etcd3::key("holder").missing();
                let enter = client.txn().when([guard.fence(), free]).then([put("holder", "")]);
                assert!(enter.await?.succeeded, "another one holds it");
                client.delete("holder").await?;
                let revision = guard.create_revision();
                guard.unlock().await?;
                Ok::<_, RecipeError>(revision)
            })
        })
        .collect();
    let mut revisions = Vec::new();
    for task in tasks {
        revisions.push(task.await?);
    }
    revisions.sort_unstable();
    revisions.dedup();
    assert_eq!(revisions.len(), sessions.len());
    Ok(())
}

/// CONC-008, CONC-009, REC-007, REC-008, X10, X13
async fn a_lock_goes_from_one_to_the_next(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let mut sessions = Vec::new();
    for _ in 0..5 {
        sessions.push(client.session(seconds(60)).await?);
    }
    ctx.within(seconds(5), hold_in_turns(&ctx, &sessions))
        .await
        .ok_or("five locks take long")??;

    let tries: Vec<_> = sessions
        .iter()
        .map(|session| {
            let mutex = Mutex::new(session, "lock");
            ctx.spawn(async move { mutex.try_lock().await })
        })
        .collect();
    let mut guards: Vec<MutexGuard> = Vec::new();
    for task in tries {
        guards.extend(task.await?);
    }
    let [guard] = &guards[..] else { return Err(format!("{} holders", guards.len()).into()) };
    // Those who did not get it left nothing.
    until_keys(&ctx, &client, 1).await?;
    assert!(Mutex::new(&sessions[0], "lock").lock_timeout(Duration::ZERO).await?.is_none());
    guard.unlock().await?;
    until_keys(&ctx, &client, 0).await?;
    let again = Mutex::new(&sessions[1], "lock").try_lock().await?.ok_or("it is free")?;

    let next = Mutex::new(&sessions[2], "lock");
    let mut waiting = pin!(next.lock());
    assert!(poll_once(waiting.as_mut()).await.is_none());
    again.unlock().await?;
    let guard = ctx.within(LIMIT, waiting).await.ok_or("waited for the next one")??;
    assert_eq!(guard.key(), &format!("lock/{:x}", sessions[2].id().0).into_bytes());
    Ok(())
}

/// REC-009
async fn a_lock_is_one_lock_on_all_members(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster().await?;
    let mut sessions = Vec::new();
    let mut clients = Vec::new();
    for url in cluster.client_urls() {
        clients.push(ctx.connect([url]).await?);
    }
    for number in 0..5 {
        sessions.push(clients[number % clients.len()].session(seconds(60)).await?);
    }
    ctx.within(seconds(5), hold_in_turns(&ctx, &sessions)).await.ok_or("five locks take long")?
}

/// CONC-002, REC-012, X15, X18, I-S2
async fn waiters_wait_for_all_who_came_before(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let owner = client.session(seconds(60)).await?;
    let victim = client.session(seconds(60)).await?;
    let last = client.session(seconds(60)).await?;
    let held = Mutex::new(&owner, "lock").lock().await?;
    let mutex = Mutex::new(&victim, "lock");
    let victims = ctx.spawn(async move { mutex.lock().await.map(drop) });
    until_keys(&ctx, &client, 2).await?;
    let mutex = Mutex::new(&last, "lock");
    let mut waiting = pin!(mutex.lock());
    let held_twice = async { waiting.as_mut().await.map(drop).map_err(BoxError::from) };
    or(until_keys(&ctx, &client, 3), async {
        held_twice.await?;
        Err("two holders".into())
    })
    .await?;

    victim.close().await?;
    let error = ctx.within(LIMIT, victims).await.ok_or("waited for the victim")?.unwrap_err();
    assert!(error.is_session_lost(), "{error}");
    still_waits(&ctx, waiting.as_mut()).await?;
    assert!(held.is_valid());
    held.unlock().await?;
    let last = ctx.within(LIMIT, waiting).await.ok_or("waited for the last one")??;
    assert!(last.is_valid());
    Ok(())
}

/// CONC-003, CONC-021, REC-011, X16, X36
async fn a_lock_is_unlocked_once(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let session = client.session(seconds(60)).await?;
    let guard = Mutex::new(&session, "lock").lock().await?;
    // Another handle of the session is another contender.
    assert!(Mutex::new(&session, "lock").try_lock().await?.is_none());
    guard.unlock().await?;
    guard.unlock().await?;
    let again = Mutex::new(&session, "lock").try_lock().await?.ok_or("it is free")?;
    drop(guard);

    // The service of the server contends for the same lock.
    let services = client.raw();
    let lease = client.grant(seconds(60)).await?.id;
    let mut theirs = pin!(services.lock("lock", lease).timeout(seconds(60)).send());
    still_waits(&ctx, theirs.as_mut()).await?;
    again.unlock().await?;
    let held = ctx.within(LIMIT, theirs).await.ok_or("waited for the server's")??;
    let mutex = Mutex::new(&session, "lock");
    assert!(mutex.try_lock().await?.is_none());
    let mut ours = pin!(mutex.lock());
    assert!(poll_once(ours.as_mut()).await.is_none());
    services.unlock(held.key.clone()).await?;
    let last = ctx.within(LIMIT, ours).await.ok_or("waited for ours")??;
    assert!(last.create_revision() > again.create_revision());
    Ok(())
}

/// I-S5: guards that are dropped, and a future that is.
async fn what_is_given_up_before_a_close_is_free_after_it(ctx: Ctx) -> CaseResult {
    let (server, client) = ctx.server_and_client().await?;
    let observer = ctx.connect([server.client_url()]).await?;
    let session = client.session(seconds(60)).await?;
    let theirs = observer.session(seconds(60)).await?;
    let guard = Mutex::new(&session, "lock/mutex").lock().await?;
    let leads = Election::new(&session, "lock/election").campaign("us").await?;
    let permit = Semaphore::new(&session, "lock/semaphore", 1).acquire().await?;
    let reader = RwLock::new(&session, "lock/rw").read().await?;
    let inside = DoubleBarrier::new(&session, "lock/barrier", 1).enter().await?;
    let lease = client.lease(seconds(60)).await?.revoke_on_drop();
    client.put("lock/lease", "").lease(lease.id()).await?;
    let held = Mutex::new(&theirs, "lock/held").lock().await?;
    let waits = Mutex::new(&session, "lock/held");
    {
        let mut waits = pin!(waits.lock());
        assert!(poll_once(waits.as_mut()).await.is_none());
    }
    let dropped = (guard, leads, permit, reader, inside, lease);
    drop(dropped);
    client.close().await;
    let found = observer.get(prefix("lock/")).keys_only().await?;
    let mut left = found.kvs.iter().map(|pair| &pair.key);
    let barrier = "lock/barrier/ready";
    assert!(left.all(|key| key == held.key() || *key == barrier), "{:?}", found.kvs);
    Ok(())
}
