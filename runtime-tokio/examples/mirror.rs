//! Copies the keys below a prefix from one cluster to another, under another prefix, as
//! `etcdctl make-mirror` does, and goes on where it was after a restart. Takes the endpoints of the
//! source and those of the target as arguments; the target may be the source.

use etcd3_tokio::recipes::mirror::{Mirror, Step};
use etcd3_tokio::{Client, prefix};
use std::error::Error;

const SOURCE: &str = "example/source/";
const COPY: &str = "example/copy/";
/// Where the target has how far the copy has come.
const POSITION: &str = "example/mirror";

/// Mirrors until the target has this revision of the source. A program would have no end.
async fn mirror(source: &Client, target: &Client, revision: i64) -> Result<(), Box<dyn Error>> {
    let mut mirror = Mirror::new(source, target, SOURCE, POSITION).dest_prefix(COPY);
    // The position is the first revision that the copy does not have.
    while mirror.position().is_none_or(|position| position.revision <= revision) {
        // What fails for a moment is tried again; what fails for good has to be looked at.
        let applied = mirror.next().await?;
        match applied.step {
            Step::Resumed(at) => println!("goes on at revision {at}"),
            Step::Synced(at) => println!("everything is there, as of revision {at}"),
            Step::Revision(at) => {
                println!("revision {at}: {} written, {} deleted", applied.puts, applied.deletes);
            }
            _ => {}
        }
    }
    Ok(())
}

/// Returns what there is below a prefix, without it.
async fn below(client: &Client, start: &str) -> Result<Vec<(String, String)>, Box<dyn Error>> {
    let mut found = Vec::new();
    for pair in client.get(prefix(start)).await?.kvs {
        let name = pair.key_str()?[start.len()..].to_owned();
        found.push((name, pair.value_str()?.to_owned()));
    }
    Ok(found)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let of_source = arguments.next().ok_or("usage: mirror URL[,URL…] [URL[,URL…]]")?;
    let of_target = arguments.next().unwrap_or_else(|| of_source.clone());
    let source = etcd3_tokio::connect(of_source).await?;
    let target = etcd3_tokio::connect(of_target).await?;
    source.delete(prefix(SOURCE)).await?;
    target.delete(prefix(COPY)).await?;
    target.delete(POSITION).await?;

    source.put(format!("{SOURCE}colour"), "red").await?;
    let shape = source.put(format!("{SOURCE}shape"), "round").await?;
    mirror(&source, &target, shape.header.revision).await?;

    // What changes while no mirror runs is copied by the next one, deletions included.
    source.delete(format!("{SOURCE}shape")).await?;
    let colour = source.put(format!("{SOURCE}colour"), "green").await?;
    mirror(&source, &target, colour.header.revision).await?;

    let copy = below(&target, COPY).await?;
    println!("the copy: {copy:?}");
    assert_eq!(copy, below(&source, SOURCE).await?);
    source.close().await;
    target.close().await;
    Ok(())
}
