//! Loads a configuration, changes one line of it, and writes it back only where nobody else has
//! changed it meanwhile (compare-and-swap); takes the endpoints as arguments.

use etcd3_tokio::{Client, Error, Outcome, key, put};

const KEY: &str = "example/config";

/// Returns the configuration, and the revision that wrote it: 0 if there is none.
async fn load(client: &Client) -> Result<(String, i64), Error> {
    let found = client.get(KEY).await?;
    Ok(found.first().map_or((String::new(), 0), |pair| {
        (String::from_utf8_lossy(&pair.value).into_owned(), pair.mod_revision)
    }))
}

/// Writes the configuration, if it is still that of this revision.
async fn store(client: &Client, text: &str, revision: i64) -> Result<(), Error> {
    // A key that does not exist has revision 0, too.
    let is_unchanged = key(KEY).mod_revision().eq(revision);
    match client.txn().when([is_unchanged]).then([put(KEY, text)]).await {
        // Nobody knows whether it was written, until it is read.
        Err(error) if error.outcome() == Outcome::Unknown => Ok(()),
        other => other.map(drop),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let endpoints = std::env::args().nth(1).ok_or("usage: config_loader URL[,URL…]")?;
    let client = etcd3_tokio::connect(endpoints).await?;
    let wanted = "workers = 8";
    loop {
        let (text, revision) = load(&client).await?;
        println!("revision {revision}: {text:?}");
        if text.lines().any(|line| line == wanted) {
            break; // by this program, or by another one
        }
        let others = text.lines().filter(|line| !line.starts_with("workers = "));
        let lines: Vec<&str> = others.chain([wanted]).collect();
        store(&client, &lines.join("\n"), revision).await?;
    }
    client.close().await;
    Ok(())
}
