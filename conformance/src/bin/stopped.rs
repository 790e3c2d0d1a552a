//! A client for a test that stops this process meanwhile: wants what to do, the runtime, the
//! endpoint, and a time in milliseconds.
//!
//! `put` makes one write with this timeout and says how it ended; `lease` keeps a lease alive with
//! this time to live, and says how it does at each line of its input.
#![forbid(unsafe_code)]

use etcd3::runtime::Runtime;
use etcd3::{Client, Config, LeaseStatus};
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

type Error = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Error> {
    let [what, runtime, endpoint, time_ms] =
        std::env::args().skip(1).collect::<Vec<_>>().try_into().map_err(|_| "four arguments")?;
    let time = Duration::from_millis(time_ms.parse()?);
    let run = async move |rt| match what.as_str() {
        "put" => put(rt, endpoint, time).await,
        "lease" => lease(rt, endpoint, time).await,
        other => Err(format!("{other:?} is not understood").into()),
    };
    match runtime.as_str() {
        "tokio" => tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?
            .block_on(async { run(Arc::new(etcd3_tokio::Tokio::current())).await }),
        "tokio-current" => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(async { run(Arc::new(etcd3_tokio::Tokio::current())).await }),
        "smol" => smol::block_on(run(Arc::new(etcd3_smol::Smol::global()))),
        "async-std" => {
            async_std::task::block_on(run(Arc::new(etcd3_async_std::AsyncStd::global())))
        }
        other => Err(format!("there is no runtime {other:?}").into()),
    }
}

async fn put(runtime: Arc<dyn Runtime>, endpoint: String, timeout: Duration) -> Result<(), Error> {
    let client = Client::connect_on(Arc::clone(&runtime), Config::new([endpoint])).await?;
    // A first one, so that the connection is in use.
    client.get("stopped").await?;
    say("ready");
    let began = runtime.now();
    let result = client.put("stopped", "late").timeout(timeout).await;
    let is_late = runtime.now().saturating_since(began) > timeout;
    match result {
        Ok(_) if is_late => say("late"),
        Ok(_) => say("in time"),
        Err(error) => say(&format!("failed: {error}")),
    }
    client.close().await;
    Ok(())
}

/// Answers from this thread, so that no other has looked before it was asked.
async fn lease(runtime: Arc<dyn Runtime>, endpoint: String, ttl: Duration) -> Result<(), Error> {
    let client = Client::connect_on(Arc::clone(&runtime), Config::new([endpoint])).await?;
    let lease = client.lease(ttl).await?;
    say("ready");
    for line in std::io::stdin().lines() {
        drop(line?);
        match lease.status() {
            LeaseStatus::Lost(lost) => say(&format!("lost: {lost}")),
            status if lease.is_valid() => say(&format!("valid: {status:?}")),
            // Lost between the two looks.
            _ => say("lost"),
        }
    }
    Ok(())
}

fn say(what: &str) {
    println!("{what}");
    // A reader that has closed its end has seen enough.
    let _ = std::io::stdout().flush();
}
