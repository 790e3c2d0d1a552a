//! A database of hundreds of megabytes, backed up over a slow network and restored:
//! `cargo xtask backup`.
//!
//! The file is to be whole, or not to be there, and the process is not to grow with it.

// Case 21, M30–M33, I-D1

use crate::load::{BlockingRuntime, Error};
use etcd3::{Client, Config, ErrorKind, prefix};
use etcd3_core::rng::Rng;
use etcd3_lab::etcd::Binary;
use etcd3_lab::{Bridge, Direction, Fault, Relays, Server};
use std::path::Path;
use std::time::{Duration, Instant};

/// The length of a value, in bytes.
const VALUE: usize = 256 << 10;
/// What the network lets pass, in bytes a second.
const RATE: u64 = 20_000_000;
/// How much memory the process may grow by, in KiB.
const MAX_GROWTH: u64 = 32 << 10;
/// Bounds a call.
const LIMIT: Duration = Duration::from_secs(60);

/// Backs up and restores a database of so many megabytes; tells whether all limits held.
///
/// # Errors
///
/// When a server fails, or the backup does.
pub fn run(runtime: &BlockingRuntime, etcd: &Binary, megabytes: u64) -> Result<bool, Error> {
    println!("backup on {} of etcd {}", runtime.name, etcd.version);
    let quota = (8_u64 << 30).to_string();
    let server = || Server::builder().version(etcd).flag("--quota-backend-bytes", &quota);
    let source = server().start()?;
    let client = connect(runtime, source.client_url())?;
    fill(runtime, &client, megabytes)?;
    let sum = sum_of(runtime, &client)?;
    let folder = std::env::temp_dir().join(format!("etcd3-backup-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let file = folder.join("backup.db");
    let bridge = Bridge::new(source.addr())?;
    let is_good = save(runtime, &bridge, &file)? & is_refused(runtime, &bridge, &folder)?;
    client_closed(runtime, client);
    drop(source);
    let begin = Instant::now();
    let restored = server().restored_from(&file).start()?;
    let client = connect(runtime, restored.client_url())?;
    let found = sum_of(runtime, &client)?;
    println!("restored and started in {:.1} s: {found:?}", begin.elapsed().as_secs_f64());
    client_closed(runtime, client);
    std::fs::remove_dir_all(&folder)?;
    if found != sum {
        println!("the restored server has other data: {sum:?} before");
    }
    Ok(is_good && found == sum)
}

fn connect(runtime: &BlockingRuntime, url: String) -> Result<Client, Error> {
    runtime.connect_with(Config::new([url]).request_timeout(LIMIT))
}

fn client_closed(runtime: &BlockingRuntime, client: Client) {
    runtime.run(async move { client.close().await });
}

/// Writes values, and deletes a tenth of them again: what is deleted stays in the database.
fn fill(runtime: &BlockingRuntime, client: &Client, megabytes: u64) -> Result<(), Error> {
    let client = client.clone();
    let count = megabytes * 1_000_000 / VALUE as u64;
    runtime.run(async move {
        let mut rng = Rng::new(7);
        for n in 0..count {
            let words = (0..VALUE / 8).flat_map(|_| rng.next_u64().to_le_bytes());
            let value: Vec<u8> = words.collect();
            client.put(format!("backup/{n:08}"), value).await?;
            if n % 10 == 0 {
                client.delete(format!("backup/{n:08}")).await?;
            }
        }
        Ok(())
    })
}

/// What a store holds, in short.
#[derive(Debug, PartialEq, Eq)]
struct Sum {
    keys: u64,
    bytes: u64,
    hash: u64,
}

/// Reads all keys, page by page.
fn sum_of(runtime: &BlockingRuntime, client: &Client) -> Result<Sum, Error> {
    let client = client.clone();
    runtime.run(async move {
        let mut sum = Sum { keys: 0, bytes: 0, hash: 0xcbf2_9ce4_8422_2325 };
        let mut pages = client.pages(prefix("")).page_size(8);
        while let Some(page) = pages.next().await {
            for kv in page?.kvs {
                sum.keys += 1;
                sum.bytes += (kv.key.len() + kv.value.len()) as u64;
                for byte in kv.key.iter().chain(&kv.value) {
                    sum.hash = (sum.hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
                }
                sum.hash = sum.hash.wrapping_add(kv.mod_revision.unsigned_abs());
            }
        }
        Ok(sum)
    })
}

/// Saves a snapshot over a slow network, and tells whether the process stayed small.
fn save(runtime: &BlockingRuntime, bridge: &Bridge, file: &Path) -> Result<bool, Error> {
    bridge.set_fault(Relays::All, [Direction::Down], Fault::new().throttle(RATE));
    let client = connect(runtime, bridge.url())?;
    runtime.run({
        let client = client.clone();
        async move { client.get("warm").await.map(drop) }
    })?;
    // The peak counts from now on.
    std::fs::write("/proc/self/clear_refs", "5")?;
    let (before, begin) = (status("VmRSS:")?, Instant::now());
    let saving = client.maintenance().snapshot().save(file).into_future();
    let saved = runtime.run(saving)?;
    let (took, growth) = (begin.elapsed(), status("VmHWM:")?.saturating_sub(before));
    client_closed(runtime, client);
    // A file has fewer bytes than a float can count.
    #[allow(clippy::cast_precision_loss)]
    let (size, rate) = (saved.size as f64 / 1e6, saved.size as f64 / took.as_secs_f64() / 1e6);
    println!(
        "{size:.0} MB in {:.1} s, {rate:.1} MB/s of 20.0; storage version {:?}",
        took.as_secs_f64(),
        saved.version
    );
    println!("the process grew by {growth} KiB, {MAX_GROWTH} allowed");
    Ok(growth < MAX_GROWTH && std::fs::metadata(file)?.len() == saved.size)
}

/// Tells whether a copy of the stream with one flipped byte is refused, and leaves no file.
fn is_refused(runtime: &BlockingRuntime, bridge: &Bridge, folder: &Path) -> Result<bool, Error> {
    bridge.set_fault(Relays::All, [Direction::Down], Fault::new());
    bridge.set_fault(Relays::Next, [Direction::Down], Fault::new().flip(50_000_017, 3));
    let client = connect(runtime, bridge.url())?;
    let file = folder.join("flipped.db");
    let saved = runtime.run(client.maintenance().snapshot().save(&file).into_future());
    client_closed(runtime, client);
    let kind = saved.err().map(|error| error.kind());
    println!("with a flipped byte: {kind:?}");
    let files = std::fs::read_dir(folder)?.count();
    Ok(kind == Some(ErrorKind::DigestMismatch) && files == 1)
}

/// Returns a figure of this process, in KiB.
fn status(name: &str) -> Result<u64, Error> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let size = line.and_then(|line| line.trim().strip_suffix("kB"));
    Ok(size.ok_or_else(|| format!("there is no {name}"))?.trim().parse()?)
}
