//! Meets errors of many kinds, and says what a program can do about each; wants the endpoints as
//! arguments.

use etcd3_tokio::{Config, Error, ErrorKind, Outcome, ServerError, connect, put};
use std::time::Duration;

/// What to do about the error of a call.
fn advice(error: &Error) -> &'static str {
    match error.kind() {
        // What becomes of a write comes first: it may have been applied, or may yet be.
        _ if error.outcome() == Outcome::Unknown => "read what is there, then decide",
        ErrorKind::Server(ServerError::Compacted) => "read at a newer revision",
        ErrorKind::Server(ServerError::NoSpace) => "call the operator: the quota is used up",
        ErrorKind::Server(ServerError::PermissionDenied) => "ask for the permission",
        ErrorKind::Server(_) | ErrorKind::Status(_) if error.is_retryable() => "try again later",
        ErrorKind::Server(_) | ErrorKind::Status(_) => "mend the request, or what it names",
        ErrorKind::TimedOut(_) => "try again with a longer timeout; the cluster is slow or away",
        ErrorKind::Connect(_) | ErrorKind::ConnectionLost => "see the report for each endpoint",
        ErrorKind::RequestOverLimit { .. } => "divide the request",
        ErrorKind::ResponseOverLimit { .. } => "read page by page, or raise max_response_bytes",
        ErrorKind::InvalidRequest => "mend the program: no server would take it",
        ErrorKind::InvalidConfig | ErrorKind::NoUsableMember => "mend the configuration",
        ErrorKind::PlaintextPassword => "use TLS, or allow_plaintext_passwords",
        ErrorKind::OldServer { .. } | ErrorKind::Unsupported { .. } => "update that member",
        ErrorKind::StaleRead { .. } => "if the cluster was restored, call forget_revision",
        ErrorKind::ClusterChanged { .. } => "these are endpoints of another cluster",
        ErrorKind::Protocol => "what answers there is no etcd, or is broken",
        ErrorKind::Closed | ErrorKind::RuntimeEnded => "make a new client",
        _ => "log the report",
    }
}

fn show(error: Option<Error>) -> Result<(), &'static str> {
    let error = error.ok_or("this should have failed")?;
    println!("{}\n    {}", error.report(), advice(&error));
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let endpoints = std::env::args().nth(1).ok_or("usage: errors URL[,URL…]")?;
    show(connect("http://127.0.0.1:port").await.err())?;
    show(connect("http://127.0.0.1:1").await.err())?;
    let limited = Config::parse(&endpoints)?.max_request_bytes(1000);
    let client = connect(limited).await?;

    let now = client.put("example/errors", "old").await?.header.revision;
    client.compact(now).await?;
    show(client.get("example/errors").revision(now - 1).await.err())?;
    show(client.get("example/errors").revision(now + 1_000_000).await.err())?;
    show(client.put("", "no key").await.err())?;
    show(client.put("example/errors", vec![0; 2000]).await.err())?;
    show(client.put("example/errors", "v").lease(12345).await.err())?;
    show(client.txn().then([put("a", "1"), put("a", "2")]).await.err())?;
    show(client.get("example/errors").timeout(Duration::ZERO).await.err())?;
    client.close().await;
    show(client.get("example/errors").await.err())?;
    Ok(())
}
