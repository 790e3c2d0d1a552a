//! Makes one write and says how it ended, for a test that stops this process meanwhile: wants the
//! runtime, the endpoint, and the timeout in milliseconds.
#![forbid(unsafe_code)]

use etcd3::runtime::Runtime;
use etcd3::{Client, Config};
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

type Error = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Error> {
    let [runtime, endpoint, timeout_ms] =
        std::env::args().skip(1).collect::<Vec<_>>().try_into().map_err(|_| "three arguments")?;
    let timeout = Duration::from_millis(timeout_ms.parse()?);
    match runtime.as_str() {
        "tokio" => tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?
            .block_on(async {
                run(Arc::new(etcd3_tokio::Tokio::current()), endpoint, timeout).await
            }),
        "tokio-current" => {
            tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
                run(Arc::new(etcd3_tokio::Tokio::current()), endpoint, timeout).await
            })
        }
        "smol" => smol::block_on(run(Arc::new(etcd3_smol::Smol::global()), endpoint, timeout)),
        "async-std" => async_std::task::block_on(run(
            Arc::new(etcd3_async_std::AsyncStd::global()),
            endpoint,
            timeout,
        )),
        other => Err(format!("there is no runtime {other:?}").into()),
    }
}

async fn run(runtime: Arc<dyn Runtime>, endpoint: String, timeout: Duration) -> Result<(), Error> {
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

fn say(what: &str) {
    println!("{what}");
    // A reader that has closed its end has seen enough.
    let _ = std::io::stdout().flush();
}
