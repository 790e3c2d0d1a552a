//! Hashes of members, before and after compactions and defragmentations (M23, M25).

use super::kv_expect::{COMPACTED, FUTURE_REV};
use crate::{BoxError, Case, CaseResult, Ctx, case};
use etcd3::{Client, HashKvResponse};
use etcd3_lab::etcd::Version;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(10);
/// Stores the hash of its last compaction.
const STORES_HASHES: Version = Version::minor(3, 5);

pub(super) const CASES: &[Case] = &[
    case!(members_with_the_same_data_have_the_same_hash, ["MNT-001", "MNT-017", "MNT-019"])
        .plain_and_tls(),
    case!(a_hash_is_there_and_survives_a_restart, ["MNT-031", "MNT-032"])
        .real("a database in a file"),
    case!(a_hash_changes_with_the_keys_only, ["MNT-030"]),
    case!(a_hash_survives_its_compaction, ["MNT-002"])
        .real("stored hashes of compactions")
        .since(STORES_HASHES),
    case!(
        members_agree_after_a_compaction,
        ["MNT-022", "MNT-023", "MNT-024", "MNT-025", "MNT-026"]
    )
    .plain_and_tls()
    .since(STORES_HASHES),
    case!(members_agree_after_the_last_tombstone_was_compacted, ["MNT-028"]).since(STORES_HASHES),
    case!(a_hash_survives_a_defragmentation, ["MNT-029"])
        .real("stored hashes of compactions")
        .plain_and_tls()
        .since(STORES_HASHES),
];

/// What two members must have in common: hash, and the revisions that it is of.
fn content(hash: &HashKvResponse) -> (u32, Option<i64>, Option<i64>) {
    (hash.hash, hash.compact_revision, hash.hash_revision)
}

/// Waits until all endpoints have the same hash of a revision, and returns it.
async fn agreed(ctx: &Ctx, client: &Client, revision: i64) -> Result<HashKvResponse, BoxError> {
    let seen = Mutex::new(Vec::new());
    let lock = || seen.lock().unwrap_or_else(PoisonError::into_inner);
    let ask = || async {
        let mut answers = Vec::new();
        for url in client.endpoints() {
            answers.push(client.maintenance().hash_kv(url, revision).await);
        }
        let contents: Vec<_> = answers.iter().map(|it| it.as_ref().ok().map(content)).collect();
        let is_agreed = contents[0].is_some() && contents.iter().all(|it| *it == contents[0]);
        *lock() = answers;
        is_agreed
    };
    let waited = ctx.until(&format!("the hash of revision {revision}"), LIMIT, ask).await;
    let mut seen = std::mem::take(&mut *lock());
    waited.map_err(|error| format!("{error}: {seen:?}"))?;
    Ok(seen.swap_remove(0)?)
}

/// MNT-001, MNT-017, MNT-019
async fn members_with_the_same_data_have_the_same_hash(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster().await?;
    let client = ctx.connect(cluster.client_urls()).await?;
    let maintenance = client.maintenance();
    let mut revision = 0;
    for n in 0..10 {
        revision = client.put("foo", n.to_string()).await?.header.revision;
    }
    let mut hashes = Vec::new();
    for (url, member) in cluster.client_urls().into_iter().zip(cluster.members()) {
        // A linearizable read, so that the member has all of it.
        client.pinned_to(&url)?.get("foo").await?;
        let hash = maintenance.hash_kv(&url, 0).await?;
        assert_eq!(hash.header.member_id, member.status()?.member_id, "the one that was named");
        assert_eq!(hash.compact_revision, None, "there was no compaction");
        let is_new = ctx.etcd.version >= Version::minor(3, 6);
        assert_eq!(hash.hash_revision, is_new.then_some(revision));
        assert_eq!(content(&maintenance.hash_kv(&url, revision).await?).0, hash.hash);
        hashes.push(content(&hash));
        FUTURE_REV.is_answered(&maintenance.hash_kv(&url, revision + 9).await.unwrap_err());
    }
    assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");

    client.compact(revision - 2).physical().await?;
    for url in cluster.client_urls() {
        maintenance.defragment(&url).timeout(ctx.stretched(LIMIT)).await?;
        COMPACTED.is_answered(&maintenance.hash_kv(&url, revision - 4).await.unwrap_err());
    }
    assert_eq!(agreed(&ctx, &client, revision).await?.compact_revision, Some(revision - 2));
    Ok(())
}

/// MNT-031, MNT-032, M5
async fn a_hash_is_there_and_survives_a_restart(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster_with(|cluster| cluster.members(1)).await?;
    let (member, url) = (cluster.member(0), cluster.member(0).client_url());
    let client = ctx.connect([&url]).await?;
    for n in 0..3 {
        client.put("foo", n.to_string()).await?;
    }
    let hash = client.maintenance().hash(&url).await?;
    assert_ne!(hash.hash, 0);
    ctx.order(&member, crate::Member::restart).await?;
    assert_eq!(client.maintenance().hash(&url).await?.hash, hash.hash);
    Ok(())
}

/// MNT-030
async fn a_hash_changes_with_the_keys_only(ctx: Ctx) -> CaseResult {
    let (server, client) = ctx.server_and_client().await?;
    let (maintenance, url) = (client.maintenance(), server.client_url());
    let mut before = None;
    for n in 0..10 {
        let revision = client.put("foo", n.to_string()).await?.header.revision;
        let first = maintenance.hash_kv(&url, 0).await?;
        for _ in 0..10 {
            let again = maintenance.hash_kv(&url, 0).await?;
            assert_eq!(again.header.revision, revision);
            assert_eq!(content(&again), content(&first));
        }
        assert_ne!(before.replace(first.hash), Some(first.hash));
    }
    Ok(())
}

/// MNT-002
async fn a_hash_survives_its_compaction(ctx: Ctx) -> CaseResult {
    let (server, client) = ctx.server_and_client().await?;
    let (maintenance, url) = (client.maintenance(), server.client_url());
    let mut revision = 1;
    while revision < 1210 {
        for n in 0..71 {
            revision = client.put(format!("key-{}", n % 9), n.to_string()).await?.header.revision;
        }
        let before = maintenance.hash_kv(&url, revision).await?;
        client.compact(revision).physical().await?;
        maintenance.defragment(&url).await?;
        let after = maintenance.hash_kv(&url, revision).await?;
        assert_eq!(content(&after), content(&before));
        assert_eq!(after.header.revision, before.header.revision);
    }
    Ok(())
}

/// Makes 40 changes, every tenth of which deletes the first key, and returns the revisions of the
/// deletions.
async fn change(client: &Client, keys: usize) -> Result<Vec<i64>, BoxError> {
    let mut tombstones = Vec::new();
    for n in 1..=40 {
        if n % 10 == 0 {
            tombstones.push(client.delete("key0").await?.header.revision);
        } else {
            client.put(format!("key{}", n % keys), n.to_string()).await?;
        }
    }
    Ok(tombstones)
}

/// Asserts that all members have the same hash of each revision from this one to the newest.
async fn all_agree_from(ctx: &Ctx, client: &Client, first: i64) -> CaseResult {
    let newest = client.get("key0").await?.header.revision;
    for revision in first..=newest {
        agreed(ctx, client, revision).await?;
    }
    Ok(())
}

/// MNT-022, MNT-023, MNT-024, MNT-025, MNT-026
async fn members_agree_after_a_compaction(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster().await?;
    let client = ctx.connect(cluster.client_urls()).await?;
    for keys in [1, 2] {
        for off in [1, 0] {
            let tombstones = change(&client, keys).await?;
            // On a tombstone, or just before it.
            let at = tombstones[1] - off;
            client.compact(at).physical().await?;
            all_agree_from(&ctx, &client, at).await?;
        }
    }
    let tombstones = change(&client, 1).await?;
    for at in &tombstones[..2] {
        client.compact(*at).physical().await?;
    }
    all_agree_from(&ctx, &client, tombstones[1]).await
}

/// MNT-028
async fn members_agree_after_the_last_tombstone_was_compacted(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster().await?;
    let client = ctx.connect(cluster.client_urls()).await?;
    let last = change(&client, 2).await?.pop().ok_or("a tombstone")?;
    client.compact(last).physical().await?;
    all_agree_from(&ctx, &client, last).await
}

/// MNT-029
async fn a_hash_survives_a_defragmentation(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster().await?;
    let client = ctx.connect(cluster.client_urls()).await?;
    let maintenance = client.maintenance();
    let tombstones = change(&client, 2).await?;
    let at = tombstones[2];
    let before = agreed(&ctx, &client, at).await?;
    client.compact(at).physical().await?;
    for url in cluster.client_urls() {
        maintenance.defragment(&url).await?;
        assert_eq!(content(&maintenance.hash_kv(&url, at).await?), content(&before));
    }
    all_agree_from(&ctx, &client, at).await
}
