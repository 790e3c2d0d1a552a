//! Copies all keys of a prefix to a file, as they were at one revision, then deletes them and
//! restores them from it; takes the endpoints as arguments.

use etcd3_tokio::{Client, GetResponse, prefix, put};
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const PREFIX: &str = "example/backup/";

/// Writes one line for each key, and returns the revision; one page is in memory at a time.
async fn save(client: &Client, file: &Path) -> Result<i64> {
    let (mut out, mut revision) = (BufWriter::new(File::create(file)?), 0);
    let mut pages = client.pages(prefix(PREFIX));
    while let Some(page) = pages.next().await {
        let page = page?;
        revision = if revision == 0 { page.header.revision } else { revision };
        for pair in &page.kvs {
            // As text here; values of any bytes would be written in base64, or with their length.
            writeln!(out, "{}\t{}", pair.key_str()?, pair.value_str()?)?;
        }
    }
    out.flush()?;
    Ok(revision)
}

/// Writes the keys of a file, and returns their number.
async fn restore(client: &Client, file: &Path) -> Result<usize> {
    let lines = BufReader::new(File::open(file)?).lines().collect::<std::io::Result<Vec<_>>>()?;
    for batch in lines.chunks(100) {
        let pairs = batch.iter().filter_map(|line| line.split_once('\t'));
        client.txn().then(pairs.map(|(key, value)| put(key, value))).await?;
    }
    Ok(lines.len())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let endpoints = std::env::args().nth(1).ok_or("usage: backup URL[,URL…]")?;
    let client = etcd3_tokio::connect(endpoints).await?;
    for n in 0..250 {
        client.put(format!("{PREFIX}{n:04}"), format!("value {n}")).await?;
    }
    let file = std::env::temp_dir().join(format!("etcd3-backup-{}", std::process::id()));
    let revision = save(&client, &file).await?;
    let deleted = client.delete(prefix(PREFIX)).await?.deleted;
    let restored = restore(&client, &file).await?;

    let before = client.get(prefix(PREFIX)).revision(revision).await?;
    let after = client.get(prefix(PREFIX)).await?;
    let pairs = |found: GetResponse| found.kvs.into_iter().map(|kv| (kv.key, kv.value));
    assert!(pairs(before).eq(pairs(after)), "what was restored differs");
    println!("saved at revision {revision}, {deleted} keys deleted, {restored} restored");
    std::fs::remove_file(file)?;
    client.close().await;
    Ok(())
}
