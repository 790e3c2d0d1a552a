//! Handles jobs that others write, also those that were written while it did not run: keeps in a
//! file where it was. Takes the endpoints as arguments, and may be told the file.

use etcd3_tokio::{Client, Error, KeyValue, ResumeToken, prefix};
use std::path::{Path, PathBuf};
use std::{fs, io};

const JOBS: &str = "example/jobs/";

/// Returns where the program was when it ran last.
fn load(file: &Path) -> Option<ResumeToken> {
    fs::read_to_string(file).ok()?.parse().ok()
}

/// Stores where the program is. Renamed into its place, so that the file is always whole.
fn store(file: &Path, token: ResumeToken) -> io::Result<()> {
    let new = file.with_extension("new");
    fs::write(&new, token.to_string())?;
    fs::rename(new, file)
}

/// Does a job. One whose token was not stored any more is done again: that must do no harm.
async fn handle(client: &Client, job: &KeyValue) -> Result<(), Error> {
    println!("  {}: {}", String::from_utf8_lossy(&job.key), String::from_utf8_lossy(&job.value));
    client.delete(job.key.clone()).await.map(drop)
}

/// Does all jobs that there are; returns from where to watch for others.
async fn catch_up(client: &Client) -> Result<ResumeToken, Error> {
    let found = client.get(prefix(JOBS)).await?;
    for job in &found.kvs {
        handle(client, job).await?;
    }
    Ok(ResumeToken::after(&found.header))
}

/// Handles so many jobs, beginning where the file says.
async fn follow(
    client: &Client,
    file: &Path,
    mut jobs: usize,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut token = match load(file) {
        Some(token) => token,
        None => catch_up(client).await?,
    };
    println!("goes on at revision {}", token.revision);
    let mut watch = client.watch(prefix(JOBS)).without_deletes().resume(token).await?;
    while jobs > 0 {
        match watch.next().await.ok_or("the watch has ended")? {
            Ok(batch) => {
                for event in &batch {
                    handle(client, &event.kv).await?;
                }
                jobs = jobs.saturating_sub(batch.events.len());
                token = batch.resume_token();
            }
            // Too long ago: what is there now is all that is left.
            Err(error) if error.is_compacted() => {
                token = catch_up(client).await?;
                watch = client.watch(prefix(JOBS)).without_deletes().resume(token).await?;
            }
            // Restored from a backup, or another cluster: somebody has to look at it.
            Err(error) => return Err(error.into()),
        }
        store(file, token)?;
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let endpoints = arguments.next().ok_or("usage: follow URL[,URL…] [FILE]")?;
    let file = arguments.next().map_or_else(
        || std::env::temp_dir().join(format!("etcd3-follow-{}", std::process::id())),
        PathBuf::from,
    );
    let client = etcd3_tokio::connect(endpoints).await?;
    client.delete(prefix(JOBS)).await?;
    store(&file, catch_up(&client).await?)?;

    // What is written while nobody follows is seen by whoever does next.
    for run in 1..=2 {
        for n in 1..=3 {
            client.put(format!("{JOBS}{run}-{n}"), format!("job {n} of run {run}")).await?;
        }
        follow(&client, &file, 3).await?;
    }
    fs::remove_file(&file)?;
    client.close().await;
    Ok(())
}
