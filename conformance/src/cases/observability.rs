//! What a client counts of real calls, and the trace that servers make their spans part of.

use crate::peer::{END_HEADERS, END_STREAM, Peer};
use crate::{BoxError, Case, CaseResult, Ctx, case};
use etcd3::{CallClass, Client, Config, key, put};
use etcd3_lab::etcd::Version;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub(super) const CASES: &[Case] = &[
    case!(calls_and_events_are_counted, ["OBS-001", "OBS-002", "OBS-003"]).plain_and_tls(),
    case!(spans_of_servers_are_part_of_the_trace_of_the_call, ["OBS-004"])
        .since(Version::minor(3, 5))
        .real("a collector of spans"),
];

const LIMIT: Duration = Duration::from_secs(20);

/// Returns how many calls of a class were begun, and how many ended well.
fn counts(client: &Client, class: CallClass) -> Result<(u64, u64), BoxError> {
    let metrics = client.metrics();
    let calls = metrics.of(class).ok_or("no such class")?;
    Ok((calls.started, calls.succeeded))
}

/// OBS-001, OBS-002, OBS-003
async fn calls_and_events_are_counted(ctx: Ctx) -> CaseResult {
    let server = ctx.server().await?;
    let client = ctx.connect_with(Config::new([server.client_url()])).await?;
    client.get("k").await?;
    assert_eq!(counts(&client, CallClass::Read)?, (1, 1));
    let mut watch = client.watch("foo").await?;
    let before = (counts(&client, CallClass::Put)?, client.metrics().watches.batches);
    client.put("foo", "bar").await?;
    watch.next().await.ok_or("the watch ended")??;
    let after = (counts(&client, CallClass::Put)?, client.metrics().watches.batches);
    assert_eq!((before, after), (((0, 0), 0), ((1, 1), 1)));
    let connections = client.metrics().connections;
    assert_eq!((connections.open(), connections.failed), (1, 0));
    Ok(())
}

/// A collector of spans, which keeps what servers send to it.
struct Collector {
    peer: Peer,
    bodies: Arc<Mutex<Vec<u8>>>,
}

impl Collector {
    fn start() -> Result<Self, BoxError> {
        let bodies = Arc::<Mutex<Vec<u8>>>::default();
        let kept = Arc::clone(&bodies);
        let peer = Peer::start(move |_, mut wire| {
            wire.greet(&[])?;
            loop {
                let request = wire.whole_request()?;
                kept.lock().unwrap_or_else(PoisonError::into_inner).extend(&request.body);
                let head = [
                    (":status", "200"),
                    ("content-type", "application/grpc"),
                    ("grpc-status", "0"),
                ];
                wire.headers(request.stream, END_STREAM | END_HEADERS, &head)?;
            }
        })?;
        Ok(Self { peer, bodies })
    }

    fn has(&self, trace: [u8; 16]) -> bool {
        let bodies = self.bodies.lock().unwrap_or_else(PoisonError::into_inner);
        bodies.windows(trace.len()).any(|part| part == trace)
    }
}

/// OBS-004: a span of each kind of call.
async fn spans_of_servers_are_part_of_the_trace_of_the_call(ctx: Ctx) -> CaseResult {
    let collector = Collector::start()?;
    let is_old = ctx.etcd.version < Version::minor(3, 6);
    let flag = |name: &str| format!("--{}{name}", if is_old { "experimental-" } else { "" });
    let address = collector.peer.url().replace("http://", "");
    let server = ctx
        .server_with(|it| {
            it.flag(&flag("enable-distributed-tracing"), "true")
                .flag(&flag("distributed-tracing-address"), &address)
                .env("OTEL_BSP_SCHEDULE_DELAY", "50")
        })
        .await?;
    let trace = Arc::new(Mutex::new([0; 16]));
    let current = Arc::clone(&trace);
    let traceparent = move || {
        let trace: [u8; 16] = *current.lock().ok()?;
        let id: String = trace.map(|byte| format!("{byte:02x}")).concat();
        // Sampled, so that the server takes part.
        Some(format!("00-{id}-00f067aa0ba902b7-01"))
    };
    let config = Config::new([server.client_url()]).trace_context(traceparent);
    let client = ctx.connect_with(config).await?;
    for (number, kind) in ["get", "put", "txn", "lease", "snapshot", "watch"].iter().enumerate() {
        let id = [0xa0 + u8::try_from(number)?; 16];
        *trace.lock().unwrap_or_else(PoisonError::into_inner) = id;
        match *kind {
            "get" => drop(client.get("k").await?),
            "put" => drop(client.put("k", "v").await?),
            "txn" => {
                client.txn().when([key("k").exists()]).then([put("k", "w")]).await?;
            }
            "lease" => {
                client.grant(Duration::from_secs(60)).await?;
            }
            "snapshot" => {
                let mut snapshot = client.maintenance().snapshot();
                while let Some(chunk) = snapshot.next().await {
                    chunk?;
                }
            }
            _ => {
                // Its span ends with its stream.
                let watch = client.watch("k").await?;
                drop(watch);
                client.close().await;
            }
        }
        let what = format!("a span of {kind}");
        ctx.until(&what, LIMIT, || async { collector.has(id) }).await?;
    }
    Ok(())
}
