//! Mirrors: the base at one revision, what changes after it, and keys with leases.

use super::auth_expect::{DENIED, Guarded, ROLE};
use crate::{BoxError, Case, CaseResult, Ctx, case};
use etcd3::PermissionType::ReadWrite;
use etcd3::recipes::mirror::{Leased, Mirror, Step, SyncItem, Syncer};
use etcd3::{Client, KeyValue, ResumeToken, prefix};
use etcd3_lab::etcd::Version;
use futures_lite::future::or;
use std::collections::BTreeSet;
use std::time::Duration;

pub(super) const CASES: &[Case] = &[
    case!(a_base_and_then_updates, ["MIR-001"]).plain_and_tls(),
    case!(a_base_of_many_pages_is_of_one_revision, ["MIR-002"]),
    case!(nothing_is_read_beside_the_prefix, ["MIR-003"]),
    case!(attached_keys_go_when_the_source_is_gone, []).since(Version::minor(3, 6)),
];

/// How long what comes at once may take.
const LIMIT: Duration = Duration::from_secs(10);

async fn next(ctx: &Ctx, syncer: &mut Syncer) -> Result<SyncItem, BoxError> {
    Ok(ctx.within(LIMIT, syncer.next()).await.ok_or("no item comes")??)
}

/// Reads the base: its pairs, and the position after it.
async fn base(
    ctx: &Ctx,
    syncer: &mut Syncer,
) -> Result<(Vec<Vec<KeyValue>>, ResumeToken), BoxError> {
    assert_eq!(next(ctx, syncer).await?, SyncItem::Listing);
    let mut pages = Vec::new();
    loop {
        match next(ctx, syncer).await? {
            SyncItem::Page { pairs, .. } => pages.push(pairs),
            SyncItem::Synced(position) => return Ok((pages, position)),
            other => return Err(format!("not of a base: {other:?}").into()),
        }
    }
}

/// Reads the one pair of the revision that comes next.
async fn update(ctx: &Ctx, syncer: &mut Syncer) -> Result<(KeyValue, ResumeToken), BoxError> {
    match next(ctx, syncer).await? {
        SyncItem::Revision { mut events, position } => {
            assert_eq!(events.len(), 1);
            Ok((events.remove(0).kv, position))
        }
        other => Err(format!("no revision: {other:?}").into()),
    }
}

/// The revisions of a pair, and how often it was written.
const fn revisions(pair: &KeyValue) -> [i64; 3] {
    [pair.create_revision, pair.mod_revision, pair.version]
}

async fn connected(ctx: &Ctx, client: &Client, range: &str) -> CaseResult {
    let mut syncer = Syncer::new(client, prefix(range));
    let name = format!("{range}foo");
    let written = client.put(&name, "bar").await?.header.revision;
    let (pages, position) = base(ctx, &mut syncer).await?;
    let pairs: Vec<KeyValue> = pages.into_iter().flatten().collect();
    assert_eq!(pairs.len(), 1);
    assert_eq!((&pairs[0].value[..], revisions(&pairs[0])), (&b"bar"[..], [written, written, 1]));
    assert!(position.revision > written && position.cluster_id != 0);
    let again = client.put(&name, "baz").await?.header.revision;
    let (pair, position) = update(ctx, &mut syncer).await?;
    assert_eq!((&pair.value[..], revisions(&pair)), (&b"baz"[..], [written, again, 2]));
    assert_eq!(position.revision, again + 1);
    drop(syncer);
    // Another one goes on there.
    let last = client.put(&name, "qux").await?.header.revision;
    let mut resumed = Syncer::resume(client, prefix(range), position);
    let (pair, _) = update(ctx, &mut resumed).await?;
    assert_eq!(revisions(&pair), [written, last, 3]);
    Ok(())
}

/// MIR-001
async fn a_base_and_then_updates(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    connected(&ctx, &client, "").await
}

/// MIR-002
async fn a_base_of_many_pages_is_of_one_revision(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let writers: Vec<_> = (0..50)
        .map(|writer| {
            let client = client.clone();
            ctx.spawn(async move {
                for n in 0..40 {
                    client.put(format!("test{}", writer * 40 + n), "test").await?;
                }
                Ok::<_, etcd3::Error>(())
            })
        })
        .collect();
    for writer in writers {
        writer.await?;
    }
    let mut syncer = Syncer::new(&client, prefix("test"));
    let (pages, position) = base(&ctx, &mut syncer).await?;
    assert!(pages.len() > 2, "{} pages", pages.len());
    let keys: BTreeSet<_> = pages.iter().flatten().map(|pair| &pair.key).collect();
    assert_eq!((keys.len(), pages.iter().flatten().count()), (2_000, 2_000));
    assert!(pages.iter().flatten().all(|pair| pair.mod_revision < position.revision));
    let (last, _) = {
        client.put("test0", "after").await?;
        update(&ctx, &mut syncer).await?
    };
    assert_eq!(last.mod_revision, position.revision, "the first change after the base");
    Ok(())
}

/// MIR-003
async fn nothing_is_read_beside_the_prefix(ctx: Ctx) -> CaseResult {
    let it = Guarded::server(&ctx).await?;
    it.root.auth().role_grant_permission(ROLE, prefix("/syncpath"), ReadWrite).await?;
    DENIED.is_answered(&it.user.get("/other").await.unwrap_err());
    connected(&ctx, &it.user, "/syncpath/").await?;
    // What has leases is attached, for which the source is asked whether it is there.
    let target = it.user.clone();
    let lease = it.user.grant(Duration::from_secs(60)).await?.id;
    it.user.put("/syncpath/leased", "").lease(lease).await?;
    let mirror = Mirror::new(&it.user, &target, "/syncpath/", "/syncpath.position");
    let mut mirror = mirror.dest_prefix("/syncpath.copy/").leased(Leased::Attach(TTL));
    while mirror.position().is_none() {
        ctx.within(LIMIT, mirror.next()).await.ok_or("no copy")??;
    }
    assert_eq!(target.get(prefix("/syncpath.copy/")).await?.count, 2);
    Ok(())
}

/// The time to live of keys in the target.
const TTL: Duration = Duration::from_secs(3);

// Case 23, etcd#16431
async fn attached_keys_go_when_the_source_is_gone(ctx: Ctx) -> CaseResult {
    let (source_server, source) = ctx.server_and_client().await?;
    let (_server, target) = ctx.server_and_client().await?;
    let lease = source.grant(Duration::from_secs(60)).await?.id;
    source.put("app/leased", "1").lease(lease).await?;
    let last = source.put("app/plain", "1").await?.header.revision;
    let mut mirror = Mirror::new(&source, &target, "app/", "position").dest_prefix("copy/");
    mirror = mirror.leased(Leased::Attach(TTL));
    while mirror.position().is_none_or(|position| position.revision <= last) {
        ctx.within(LIMIT, mirror.next()).await.ok_or("no copy")??;
    }
    let mirrored = async {
        loop {
            match mirror.next().await {
                Ok(applied) if matches!(applied.step, Step::Progress(_)) => {}
                other => return Err(format!("nothing has changed: {other:?}").into()),
            }
        }
    };
    let script = async {
        // Longer than it lives without the mirror.
        ctx.pause(TTL * 2).await;
        assert_eq!(target.get(prefix("copy/")).await?.count, 2);
        source_server.kill()?;
        let gone = async || target.get("copy/leased").await.is_ok_and(|found| found.count == 0);
        ctx.until("the key is gone with the source", LIMIT, gone).await?;
        assert_eq!(target.get("copy/plain").await?.count, 1);
        Ok(())
    };
    or(mirrored, script).await
}
