//! Snapshots: whole and private, of the version that they say, restored by etcd's own tools, and
//! never taken for whole when they are not (M30–M34, I-D1, case 21).

use crate::{BoxError, Case, CaseResult, Ctx, case};
use etcd3::{Client, Config, ErrorKind, Snapshot, Version, prefix, put};
use etcd3_core::rng::Rng;
use etcd3_lab::etcd::Version as EtcdVersion;
use etcd3_lab::{Bridge, Cut, Direction, Fault, Relays};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(super) const CASES: &[Case] = &[
    case!(a_saved_snapshot_is_whole_and_private, ["SNAP-001"]).plain_and_tls(),
    case!(a_snapshot_tells_the_version_of_the_storage, ["SNAP-002", "MNT-010"])
        .since(EtcdVersion::minor(3, 6)),
    case!(a_snapshot_ends_when_it_is_told_to, ["MNT-004", "MNT-006", "MNT-008"]),
    case!(a_snapshot_ends_while_it_is_copied, ["MNT-007", "MNT-009"]).real("a bridge"),
    case!(a_restored_server_has_the_data, ["SNAP-003"]).real("etcd's tool"),
    case!(a_restored_cluster_takes_a_member, ["SNAP-004", "SNAP-006"]).real("etcd's tool"),
    case!(a_slow_reader_stalls_no_call, []),
    case!(what_is_cut_or_changed_is_never_saved, []).real("a bridge"),
];

const SECOND: Duration = Duration::from_secs(1);
const LIMIT: Duration = Duration::from_secs(20);

/// A folder with the file of a snapshot, if that was saved.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Result<Self, BoxError> {
        Ok(Self(tempfile::Builder::new().prefix("etcd3-snapshot-").tempdir()?))
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("backup.db")
    }

    /// Names all that is in it.
    fn names(&self) -> Result<Vec<String>, BoxError> {
        let entries = std::fs::read_dir(self.0.path())?;
        entries.map(|it| Ok(it?.file_name().to_string_lossy().into_owned())).collect()
    }
}

/// Writes so many mebibytes, which do not compress and of which no two parts are the same.
async fn fill(client: &Client, mebibytes: u64) -> CaseResult {
    let mut rng = Rng::new(7);
    for n in 0..mebibytes * 4 {
        let value: Vec<u8> = (0..32 << 10).flat_map(|_| rng.next_u64().to_le_bytes()).collect();
        client.put(format!("fill/{n:06}"), value).await?;
    }
    Ok(())
}

/// Returns the bytes that came, and the error that ended them, if one did.
async fn read(mut snapshot: Snapshot) -> (Vec<u8>, Option<etcd3::Error>) {
    let mut bytes = Vec::new();
    while let Some(chunk) = snapshot.next().await {
        match chunk {
            Ok(chunk) => bytes.extend_from_slice(&chunk),
            Err(error) => return (bytes, Some(error)),
        }
    }
    (bytes, None)
}

#[cfg(unix)]
fn check_private(path: &Path) -> CaseResult {
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(path)?.permissions().mode() & 0o777, 0o600);
    Ok(())
}

/// SNAP-001, M30, D-01, D-02
async fn a_saved_snapshot_is_whole_and_private(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    for n in 1..=3 {
        client.put(format!("foo{n}"), format!("bar{n}")).await?;
    }
    let folder = Folder::new()?;
    let saved = client.maintenance().snapshot().save(folder.file()).await?;
    assert_eq!(folder.names()?, ["backup.db"]);
    check_private(&folder.file())?;
    let bytes = std::fs::read(folder.file())?;
    let len = u64::try_from(bytes.len())?;
    // Pages of a database, and the digest.
    assert_eq!((saved.size, len % 512), (len, 32));
    assert!(bytes.windows(4).any(|part| part == b"bar3"), "it is not in the snapshot");
    // A server that has just been started does not tell either.
    let may_tell = ctx.etcd.version >= EtcdVersion::minor(3, 6);
    assert!(may_tell || saved.version.is_none(), "{saved:?}");
    // The same member, with nothing written meanwhile.
    let (stripped, error) = read(client.maintenance().snapshot().without_digest()).await;
    assert_eq!((stripped.len() + 32, error), (bytes.len(), None));
    Ok(())
}

/// SNAP-002, MNT-010, M31
async fn a_snapshot_tells_the_version_of_the_storage(ctx: Ctx) -> CaseResult {
    let server = ctx.server_with(|it| it.flag("--snapshot-count", "1")).await?;
    let client = ctx.connect([server.client_url()]).await?;
    for n in 0..10 {
        client.put(format!("{n}"), format!("{n}")).await?;
    }
    let (major, minor) = (ctx.etcd.version.major, ctx.etcd.version.minor);
    let expected = Version::new(u16::try_from(major)?, u16::try_from(minor)?);
    let mut snapshot = client.maintenance().snapshot_from(server.client_url())?;
    assert_eq!(snapshot.version(), None, "it is read first");
    snapshot.next().await.ok_or("no bytes")??;
    assert_eq!(snapshot.version(), Some(expected));
    let folder = Folder::new()?;
    let saved = client.maintenance().snapshot().save(folder.file()).await?;
    assert_eq!(saved.version, Some(expected));
    Ok(())
}

/// MNT-004, MNT-006, MNT-008, M34
async fn a_snapshot_ends_when_it_is_told_to(ctx: Ctx) -> CaseResult {
    let (server, client) = ctx.server_and_client().await?;
    fill(&client, 3).await?;
    let mut late = client.maintenance().snapshot().total_timeout(SECOND);
    late.next().await.ok_or("no bytes")??;
    ctx.pause(2 * SECOND).await;
    let (_, error) = read(late).await;
    let error = error.ok_or("it came in time")?;
    assert!(error.is_timeout(), "{error:?}");

    let other = ctx.connect([server.client_url()]).await?;
    let mut snapshot = other.maintenance().snapshot();
    let first = snapshot.next().await.ok_or("no bytes")??;
    assert!(first.len() >= 16);
    other.close().await;
    let (_, error) = read(snapshot).await;
    assert_eq!(error.map(|error| error.kind()), Some(ErrorKind::Closed));
    client.get("fill/000001").await?;
    Ok(())
}

/// MNT-007, MNT-009: the server is still copying, since what lies between is slow.
async fn a_snapshot_ends_while_it_is_copied(ctx: Ctx) -> CaseResult {
    let (server, client) = ctx.server_and_client().await?;
    fill(&client, 3).await?;
    let bridge = Bridge::new(server.addr())?;
    bridge.set_fault(Relays::All, [Direction::Down], Fault::new().throttle(1 << 20));
    let slow = ctx.connect([bridge.url()]).await?;
    let folder = Folder::new()?;
    let saving = slow.maintenance().snapshot().save(folder.file()).into_future();
    let saved = ctx.spawn(saving);
    ctx.until("a file that is written", LIMIT, || async {
        folder.names().is_ok_and(|names| !names.is_empty())
    })
    .await?;
    ctx.pause(SECOND * 3 / 10).await;
    slow.close().await;
    let error = saved.await.expect_err("it was closed");
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert_eq!(folder.names()?, [""; 0]);

    let slow = ctx.connect([bridge.url()]).await?;
    let mut snapshot = slow.maintenance().snapshot().total_timeout(SECOND);
    snapshot.next().await.ok_or("no bytes")??;
    ctx.pause(SECOND * 7 / 10).await;
    let (_, error) = read(snapshot).await;
    assert!(error.ok_or("it came in time")?.is_timeout());
    Ok(())
}

/// Reads all keys of a client.
async fn all_keys(client: &Client) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, BoxError> {
    let all = client.get(prefix("")).await?.kvs;
    Ok(all.into_iter().map(|kv| (kv.key.to_vec(), kv.value.to_vec())).collect())
}

/// Saves a snapshot of a server with some keys; returns these, too.
async fn saved(ctx: &Ctx, to: &Path) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, BoxError> {
    let (_server, client) = ctx.server_and_client().await?;
    for n in 1..=3 {
        client.put(format!("foo{n}"), format!("bar{n}")).await?;
    }
    client.delete("foo2").await?;
    client.put("foo2", "bar").await?;
    let keys = all_keys(&client).await?;
    client.maintenance().snapshot().save(to).await?;
    // Not of the snapshot.
    client.put("later", "x").await?;
    Ok(keys)
}

/// SNAP-003
async fn a_restored_server_has_the_data(ctx: Ctx) -> CaseResult {
    let folder = Folder::new()?;
    let keys = saved(&ctx, &folder.file()).await?;
    let restored = ctx.server_with(|it| it.restored_from(folder.file())).await?;
    let client = ctx.connect([restored.client_url()]).await?;
    assert_eq!(all_keys(&client).await?, keys);
    client.put("foo1", "written").await?;
    Ok(())
}

/// SNAP-004, SNAP-006
async fn a_restored_cluster_takes_a_member(ctx: Ctx) -> CaseResult {
    let folder = Folder::new()?;
    let keys = saved(&ctx, &folder.file()).await?;
    let restored = ctx.cluster_with(|it| it.restored_from(folder.file())).await?;
    let adding = {
        let cluster = std::sync::Arc::new(restored);
        let it = std::sync::Arc::clone(&cluster);
        ctx.blocking(move || it.add_member(false)).await?;
        cluster
    };
    let urls = adding.client_urls();
    assert_eq!(urls.len(), 4);
    let client = ctx.connect(urls.clone()).await?;
    for url in urls {
        let member = client.pinned_to(url)?;
        assert_eq!(all_keys(&member).await?, keys);
    }
    Ok(())
}

/// H3, H5: the windows hold the server back, and nobody else.
async fn a_slow_reader_stalls_no_call(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    fill(&client, 1).await?;
    let mut slow = Vec::new();
    for _ in 0..20 {
        let mut snapshot = client.maintenance().snapshot();
        snapshot.next().await.ok_or("no bytes")??;
        slow.push(snapshot);
    }
    let beside = async {
        for n in 0..100 {
            client.txn().then([put("beside", format!("{n}"))]).await?;
            client.get("fill/000001").await?;
        }
        Ok::<_, BoxError>(())
    };
    ctx.within(LIMIT, beside).await.ok_or("calls are stalled")??;
    for snapshot in slow {
        let (_, error) = read(snapshot).await;
        assert_eq!(error, None);
    }
    Ok(())
}

/// How often each is tried.
const CUTS: u64 = 64;
const FLIPS: u64 = 24;

/// Case 21, I-D1, D-01, D-03
async fn what_is_cut_or_changed_is_never_saved(ctx: Ctx) -> CaseResult {
    let (server, client) = ctx.server_and_client().await?;
    fill(&client, 1).await?;
    let folder = Folder::new()?;
    let size = client.maintenance().snapshot().save(folder.file()).await?.size;
    std::fs::remove_file(folder.file())?;
    let bridge = Bridge::new(server.addr())?;
    let mut rng = Rng::new(ctx.rt.seed());
    let mut damaged = 0;
    for n in 0..CUTS + FLIPS {
        let at = rng.below(size);
        let ends = [Cut::Reset, Cut::Close, Cut::Fin];
        let fault = if n < CUTS {
            Fault::new().cut(at, ends[usize::try_from(n % 3)?])
        } else {
            Fault::new().flip(at, u8::try_from(n % 8)?)
        };
        bridge.set_fault(Relays::All, [Direction::Down], Fault::new());
        bridge.set_fault(Relays::Next, [Direction::Down], fault);
        let config = Config::new([bridge.url()]).request_timeout(SECOND).connect_timeout(SECOND);
        let faulty = Client::connect_lazy_on(std::sync::Arc::clone(&ctx.rt), config)?;
        let saving = faulty.maintenance().snapshot().save(folder.file()).into_future();
        let saved = ctx.within(LIMIT, saving).await.ok_or("it hangs")?;
        faulty.close().await;
        let error = saved.err().ok_or_else(|| format!("saved in spite of {fault:?}"))?;
        assert_eq!(folder.names()?, [""; 0], "{fault:?}: {error:?}");
        damaged += u64::from(error.kind() == ErrorKind::DigestMismatch);
    }
    assert!(damaged > FLIPS / 2, "{damaged} flips of {FLIPS} hit the bytes of the snapshot");
    // Undamaged, it is saved.
    bridge.set_fault(Relays::All, [Direction::Down], Fault::new());
    let healthy = ctx.connect([bridge.url()]).await?;
    healthy.maintenance().snapshot().save(folder.file()).await?;
    assert_eq!(folder.names()?, ["backup.db"]);
    Ok(())
}
