//! What many puts take, made in different ways, against a real etcd: the figures of
//! `docs/many-calls-at-once.md`. `--keys N` writes as many, instead of 100,000.
//!
//! ```text
//! cargo run -p etcd3-conformance --bin many_calls
//! ```
#![forbid(unsafe_code)]

use etcd3::{Client, put};
use etcd3_conformance::load::{Args, Error, Table};
use etcd3_lab::Server;
use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

/// The most calls under way at once, where there is a limit.
const AT_ONCE: usize = 64;
/// The operations of a transaction.
const BATCH: u32 = 100;
/// The timeout of a call: those that are all made at once wait for one another.
const PATIENCE: Duration = Duration::from_secs(300);

/// The ways by which the keys are written, as the table names them.
const WAYS: [&str; 4] =
    ["one after the other", "buffer_unordered(64)", "transactions of 100, 64 at once", "join_all"];

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Error> {
    let args = Args::from_env(&["--keys", "--way", "--endpoint"], &[])?;
    let keys: u32 = args.value("--keys").unwrap_or("100000").parse()?;
    if let (Some(way), Some(endpoint)) = (args.value("--way"), args.value("--endpoint")) {
        return measure(way, endpoint, keys);
    }
    let server = Server::start()?;
    println!("{keys} puts against etcd {}", server.binary().version);
    let mut table = Table::new(["way", "time", "memory"]);
    for way in WAYS {
        // In a process of its own, whose largest size is what that way took.
        let mut child = Command::new(std::env::current_exe()?);
        child.args(["--keys", &keys.to_string(), "--way", way]);
        let output = child.args(["--endpoint", &server.client_url()]).output()?;
        let text = String::from_utf8(output.stdout)?;
        let (time, memory) = text.trim().split_once('\t').ok_or_else(|| {
            format!("{way}: {} {}", output.status, String::from_utf8_lossy(&output.stderr))
        })?;
        table.row([way.to_owned(), time.to_owned(), memory.to_owned()]);
    }
    print!("{table}");
    Ok(())
}

/// Writes the keys in one way, and prints the time and how much the process grew.
fn measure(way: &str, endpoint: &str, keys: u32) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let config = etcd3::Config::from(endpoint).request_timeout(PATIENCE);
        let client = etcd3_tokio::connect(config).await?;
        let (before, begin) = (largest_size()?, Instant::now());
        write(&client, way, keys).await?;
        let time = begin.elapsed().as_secs_f64();
        let kibibytes = largest_size()?.saturating_sub(before);
        println!("{time:.1} s\t{}.{} MiB", kibibytes / 1024, kibibytes % 1024 * 10 / 1024);
        Ok(())
    })
}

async fn write(client: &Client, way: &str, keys: u32) -> Result<(), Error> {
    let calls = (0..keys).map(|n| client.put(format!("many/{n:08}"), "value").send());
    if way == WAYS[0] {
        for call in calls {
            call.await?;
        }
    } else if way == WAYS[1] {
        let mut done = stream::iter(calls).buffer_unordered(AT_ONCE);
        while let Some(written) = done.next().await {
            written?;
        }
    } else if way == WAYS[2] {
        let transactions = (0..keys).step_by(BATCH as usize).map(|begin| {
            let batch = begin..(begin + BATCH).min(keys);
            client.txn().then(batch.map(|n| put(format!("many/{n:08}"), "value"))).send()
        });
        let mut done = stream::iter(transactions).buffer_unordered(AT_ONCE);
        while let Some(written) = done.next().await {
            written?;
        }
    } else {
        for written in join_all(calls).await {
            written?;
        }
    }
    Ok(())
}

/// The largest size that this process had in memory so far, in KiB; where the system does not tell
/// it, 0.
fn largest_size() -> Result<u64, Error> {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return Ok(0) };
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let size = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(size.ok_or("there is no VmHWM")?.trim().parse()?)
}
