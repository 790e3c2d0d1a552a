//! Snapshots: whole and right, or an error and no file (M30–M34, I-D1, case 21).
#![allow(clippy::unwrap_used)]

use etcd3::{Client, Code, Config, Error, ErrorKind, Snapshot, SnapshotProgress, Version};
use etcd3_core::rng::Rng;
use etcd3_sim::model::SnapshotFault;
use etcd3_sim::{ClusterConfig, Cut, CutLater, Direction, Etcd, Host, Personality, World, run};
use futures_lite::future::poll_once;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const WINDOW: u32 = 64 << 10;
const VALUES: usize = 20;
/// Of one value, in bytes: all of them are several windows long.
const VALUE: usize = 16 << 10;

/// A client of a cluster with a database of some hundred kilobytes.
async fn scene(world: &World, members: usize) -> (Etcd, Host, Client) {
    scene_of(world, members, Personality::of(3, 7, 3)).await
}

async fn scene_of(world: &World, members: usize, personality: Personality) -> (Etcd, Host, Client) {
    let etcd = world.etcd(ClusterConfig::new(members, personality, world.seed()));
    let host = world.host();
    let config = Config::new(etcd.endpoints()).stream_window(WINDOW);
    let client = host.client(config).unwrap();
    for n in 0..VALUES {
        let value: Vec<u8> =
            (0..VALUE).map(|at| u8::try_from((at * 31 + n) % 251).unwrap()).collect();
        client.put(format!("k{n:04}"), value).await.unwrap();
    }
    world.sleep(SECOND).await;
    (etcd, host, client)
}

/// What a member would send, with its digest.
fn file_of(etcd: &Etcd, member: usize) -> Vec<u8> {
    let id = etcd.member_id(member);
    let database = etcd.model(|cluster, now| cluster.snapshot(now, id, None)).unwrap().bytes;
    [&database[..], &hmac_sha256::Hash::hash(&database)].concat()
}

async fn read(mut snapshot: Snapshot) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    while let Some(chunk) = snapshot.next().await {
        bytes.extend_from_slice(&chunk?);
    }
    Ok(bytes)
}

/// An empty folder, removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!(
            "etcd3-snapshot-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("backup.db")
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

// M30, M31, SNAP-002
#[test]
fn all_bytes_come_with_the_digest_or_without_and_the_version_where_servers_tell() {
    for (minor, version) in [(4, None), (5, None), (6, Some((3, 6))), (7, Some((3, 7)))] {
        run(1, |world| async move {
            let personality = Personality::of(3, minor, 1);
            let (etcd, _host, client) = scene_of(&world, 1, personality).await;
            let whole = file_of(&etcd, 0);
            let mut snapshot = client.maintenance().snapshot();
            assert_eq!((snapshot.version(), snapshot.progress().received), (None, 0));
            snapshot.next().await.unwrap().unwrap();
            let SnapshotProgress { received, remaining, .. } = snapshot.progress();
            assert_eq!(received + remaining, whole.len() as u64 - 32);
            assert_eq!(snapshot.version(), version.map(|(a, b)| Version::new(a, b)));
            drop(snapshot);
            let bytes = read(client.maintenance().snapshot()).await.unwrap();
            assert!(bytes == whole, "{} bytes", bytes.len());
            let bytes = read(client.maintenance().snapshot().without_digest()).await.unwrap();
            assert!(bytes == whole[..whole.len() - 32]);
        })
        .unwrap();
    }
}

/// Saves a snapshot, and checks what must hold however that ends.
async fn save(snapshot: Snapshot, whole: &[u8]) -> Result<(), Error> {
    let folder = Folder::new();
    let saved = snapshot.save(folder.file()).await;
    match &saved {
        Ok(saved) => {
            assert_eq!(saved.size, whole.len() as u64);
            assert!(fs::read(folder.file()).unwrap() == whole);
            assert_eq!(folder.names(), ["backup.db"]);
        }
        Err(error) => assert_eq!(folder.names(), [""; 0], "{error:?}"),
    }
    saved.map(drop)
}

// I-D1
#[test]
fn what_a_server_sends_wrong_is_never_whole() {
    run(2, |world| async move {
        let (etcd, _host, client) = scene(&world, 1).await;
        let whole = file_of(&etcd, 0);
        let len = whole.len();
        let mut rng = Rng::new(7);
        let mut at = || usize::try_from(rng.below(len as u64)).unwrap();
        let mismatch: fn(&Error) -> bool = |error| error.kind() == ErrorKind::DigestMismatch;
        let truncated: fn(&Error) -> bool =
            |error| matches!(error.kind(), ErrorKind::SnapshotTruncated { .. });
        let mut faults = vec![
            (SnapshotFault::Longer(1), mismatch),
            (SnapshotFault::Longer(32), mismatch),
            (SnapshotFault::Longer(100_000), mismatch),
            (SnapshotFault::WithoutDigest, mismatch),
            (SnapshotFault::Cut(len - 1), mismatch),
            (SnapshotFault::Cut(0), truncated),
            (SnapshotFault::Cut(31), truncated),
            (SnapshotFault::Flipped(len - 1), mismatch),
            (SnapshotFault::WithoutStatus, |error| error.code() == Code::Internal),
        ];
        faults.extend((0..32).map(|_| (SnapshotFault::Flipped(at()), mismatch)));
        faults.extend((0..32).map(|_| (SnapshotFault::Cut(at() % (len - 64)), truncated)));
        for (fault, is_told) in faults {
            etcd.model(|cluster, _| cluster.set_snapshot_fault(Some(fault)));
            let error = read(client.maintenance().snapshot()).await.expect_err("damaged");
            assert!(is_told(&error), "{fault:?}: {error:?}");
            let error = save(client.maintenance().snapshot(), &whole).await.expect_err("damaged");
            assert!(is_told(&error), "{fault:?}: {error:?}");
            assert!(error.to_string().starts_with("Snapshot: "), "{error}");
            assert_eq!(error.endpoint(), Some(&etcd.endpoints()[0][..]), "{error:?}");
        }
        etcd.model(|cluster, _| cluster.set_snapshot_fault(None));
        save(client.maintenance().snapshot(), &whole).await.expect("it is right again");
    })
    .unwrap();
}

/// Saves a snapshot while its connection is cut after so many bytes.
async fn save_across(world: World, cut: CutLater) -> bool {
    let (etcd, host, client) = scene(&world, 1).await;
    let whole = file_of(&etcd, 0);
    assert_eq!(world.net().cut_later(host.id(), etcd.address(0), cut), 1);
    let saved = save(client.maintenance().snapshot(), &whole).await;
    if let Err(error) = &saved {
        let is_told = matches!(error.kind(), ErrorKind::ConnectionLost | ErrorKind::TimedOut(_));
        assert!(is_told, "{cut:?}: {error:?}");
    }
    saved.is_ok()
}

// Case 21, I-D1, D-01, D-03; M33: only what is cut before its first message may end well.
#[test]
fn a_stream_that_is_cut_ends_in_an_error_and_leaves_no_file() {
    let mut rng = Rng::new(21);
    for n in 0..64 {
        // Of all that is sent, and of its beginning and end.
        let whole = (VALUES * VALUE) as u64;
        let bytes = match n % 4 {
            0 => rng.below(2_000),
            1 => whole - 3_000 + rng.below(3_000),
            _ => rng.below(whole),
        };
        // Without optimisation each in one of the ways.
        let all = [Cut::Reset, Cut::Fin, Cut::Stall];
        let first = usize::try_from(n % 3).unwrap();
        let cuts = if cfg!(debug_assertions) { &all[first..=first] } else { &all[..] };
        for &cut in cuts {
            let later = CutLater { direction: Direction::Down, bytes, cut };
            let is_saved = run(n, |world| save_across(world, later)).unwrap().0;
            // A reset loses what is under way, which is a window at most.
            assert!(!is_saved || bytes < u64::from(WINDOW) + 3_000, "{later:?}");
        }
    }
}

// M33, R31
#[test]
fn only_what_has_not_begun_is_asked_for_elsewhere() {
    for seed in 0..10 {
        run(seed, |world| async move {
            let (etcd, _host, client) = scene(&world, 3).await;
            let mut snapshot = client.maintenance().snapshot();
            snapshot.next().await.unwrap().unwrap();
            let at = client.health().endpoints.iter().position(|it| it.streams == 1).unwrap();
            etcd.kill(at);
            let error = loop {
                match snapshot.next().await.expect("it does not end well") {
                    Ok(_) => {}
                    Err(error) => break error,
                }
            };
            assert_eq!((error.kind(), error.attempts()), (ErrorKind::ConnectionLost, 1));
            assert!(snapshot.next().await.is_none(), "an error is the end");
            // With that member gone: the others have it, too.
            let whole = file_of(&etcd, (at + 1) % 3);
            save(client.maintenance().snapshot(), &whole).await.unwrap();
            // One that freezes before its first message is left.
            etcd.revive(at);
            world.sleep(10 * SECOND).await;
            (0..2).for_each(|n| etcd.pause((at + n) % 3));
            save(client.maintenance().snapshot(), &whole).await.unwrap();
        })
        .unwrap();
    }
}

// Dropped after every poll, and thereby at every await.
#[test]
fn a_save_that_is_dropped_leaves_no_file() {
    run(5, |world| async move {
        let (etcd, _host, client) = scene(&world, 1).await;
        let whole = file_of(&etcd, 0);
        for polls in 0.. {
            let folder = Folder::new();
            let mut saving = client.maintenance().snapshot().save(folder.file()).into_future();
            let mut is_saved = false;
            for _ in 0..polls {
                is_saved |= poll_once(&mut saving).await.is_some();
                // The time of one step of the network.
                world.sleep(Duration::from_micros(200)).await;
                if is_saved {
                    break;
                }
            }
            drop(saving);
            if is_saved {
                assert!(polls > 10, "{polls}: it was dropped at several moments");
                assert!(fs::read(folder.file()).unwrap() == whole);
                break;
            }
            assert_eq!(folder.names(), [""; 0], "after {polls} polls");
        }
        world.sleep(SECOND).await;
        assert!(client.health().endpoints.iter().all(|it| it.streams == 0), "no call is left");
    })
    .unwrap();
}

// H3, H5: the windows hold the server back, and nobody else.
#[test]
fn a_slow_reader_stalls_nobody() {
    run(6, |world| async move {
        let (_etcd, _host, client) = scene(&world, 1).await;
        let mut slow: Vec<_> = (0..20).map(|_| client.maintenance().snapshot()).collect();
        for snapshot in &mut slow {
            snapshot.next().await.unwrap().unwrap();
        }
        let began = world.now();
        for n in 0..100 {
            client.put("beside", format!("{n}")).await.unwrap();
            client.get("k0001").await.unwrap();
        }
        assert!(world.now().saturating_since(began) < 5 * SECOND, "they go on");
        // Slow as they are, they are not late.
        world.sleep(100 * SECOND).await;
        for snapshot in slow {
            read(snapshot).await.unwrap();
        }
    })
    .unwrap();
}

// M34, MNT-006, MNT-008
#[test]
fn deadlines_end_it() {
    run(7, |world| async move {
        let (etcd, host, client) = scene(&world, 1).await;
        let mut snapshot = client.maintenance().snapshot().total_timeout(SECOND);
        snapshot.next().await.unwrap().unwrap();
        world.sleep(2 * SECOND).await;
        let error = snapshot.next().await.unwrap().expect_err("too late");
        assert!(error.is_timeout(), "{error:?}");
        assert!(snapshot.next().await.is_none());
        // A member that says nothing more is given up.
        let mut snapshot = client.maintenance().snapshot().timeout(3 * SECOND);
        snapshot.next().await.unwrap().unwrap();
        etcd.pause(0);
        let began = world.now();
        let error = read(snapshot).await.expect_err("silence");
        assert!(error.is_timeout() || error.is_connection(), "{error:?}");
        assert!(world.now().saturating_since(began) <= 4 * SECOND);
        etcd.revive(0);
        // MNT-004: the end of the client ends it.
        let other = host.client(Config::new(etcd.endpoints()).stream_window(WINDOW)).unwrap();
        let mut snapshot = other.maintenance().snapshot();
        snapshot.next().await.unwrap().unwrap();
        other.close().await;
        let error = read(snapshot).await.expect_err("closed");
        assert_eq!(error.kind(), ErrorKind::Closed);
    })
    .unwrap();
}

// SNAP-001
#[test]
fn a_file_is_private_and_takes_the_place_of_another_only_when_it_is_whole() {
    run(8, |world| async move {
        let (etcd, _host, client) = scene(&world, 1).await;
        let whole = file_of(&etcd, 0);
        let folder = Folder::new();
        let save = |path: &Path| client.maintenance().snapshot().save(path).into_future();
        fs::write(folder.file(), "of yesterday").unwrap();
        etcd.model(|cluster, _| cluster.set_snapshot_fault(Some(SnapshotFault::Longer(1))));
        save(&folder.file()).await.expect_err("damaged");
        assert_eq!(fs::read(folder.file()).unwrap(), b"of yesterday");
        etcd.model(|cluster, _| cluster.set_snapshot_fault(None));
        // Two at once do not meet.
        let both = futures_lite::future::zip(save(&folder.file()), save(&folder.file())).await;
        assert_eq!(both.0.unwrap(), both.1.unwrap());
        assert!(fs::read(folder.file()).unwrap() == whole);
        assert_eq!(folder.names(), ["backup.db"]);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(folder.file()).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        // What cannot be written is told before anything is read.
        for (path, kind) in [
            (folder.0.join("missing/backup.db"), std::io::ErrorKind::NotFound),
            (folder.0.clone(), std::io::ErrorKind::IsADirectory),
            (folder.0.join(".."), std::io::ErrorKind::IsADirectory),
            (PathBuf::new(), std::io::ErrorKind::InvalidInput),
            (folder.0.join("other.db/"), std::io::ErrorKind::InvalidInput),
            (folder.0.join("other.db/."), std::io::ErrorKind::InvalidInput),
        ] {
            let error = save(&path).await.expect_err("no file");
            assert_eq!(error.kind(), ErrorKind::File(kind), "{error:?}");
            assert!(error.report().to_string().contains(&*path.to_string_lossy()), "{error:?}");
        }
        assert_eq!(folder.names(), ["backup.db"]);
    })
    .unwrap();
}

#[test]
fn progress_is_told_up_to_the_end() {
    run(9, |world| async move {
        let (etcd, _host, client) = scene(&world, 1).await;
        let whole = file_of(&etcd, 0).len() as u64;
        let (folder, told) = (Folder::new(), Arc::new(Mutex::new(Vec::new())));
        let tell = Arc::clone(&told);
        let saving = client.maintenance().snapshot().save(folder.file());
        saving.on_progress(move |progress| tell.lock().unwrap().push(progress)).await.unwrap();
        let told = told.lock().unwrap();
        assert!(told.is_sorted_by_key(|progress| progress.received), "{told:?}");
        assert!(told.len() as u64 >= whole >> 15, "{told:?}");
        let last = told.last().unwrap();
        assert_eq!((last.received, last.remaining), (whole, 0));
    })
    .unwrap();
}
