//! Reads under way while the server stops, or works on its database.

use crate::task::JoinHandle;
use crate::{Case, CaseResult, Ctx, case};
use etcd3::proto::etcdserverpb as pb;
use etcd3::{Client, Code, Error, ErrorKind, GetResponse, Phase, all};
use etcd3_lab::Bridge;
use std::sync::Arc;
use std::time::Duration;

pub(super) const CASES: &[Case] = &[
    case!(reads_under_way_end_when_server_and_client_stop, ["KV-129"]).real("a bridge"),
    case!(a_defragmentation_and_reads_do_not_harm_each_other, ["KV-130"]).real("a defragmentation"),
];

const SECOND: Duration = Duration::from_secs(1);

type Read = JoinHandle<Result<GetResponse, Error>>;

fn ten_reads(ctx: &Ctx, client: &Client) -> Vec<Read> {
    (0..10).map(|_| ctx.spawn(client.get("foo").serializable().into_future())).collect()
}

/// Asserts that each ends soon, well or in one of the two codes; counts those that went well.
async fn all_end(ctx: &Ctx, reads: Vec<Read>) -> Result<usize, String> {
    let mut answered = 0;
    for read in reads {
        match ctx.within(5 * SECOND, read).await.ok_or("a read hangs")? {
            Ok(read) => {
                assert_eq!(read.count, 1);
                answered += 1;
            }
            Err(error) => assert!(
                matches!(error.code(), Code::Canceled | Code::Unavailable),
                "{:?}: {error}",
                error.code()
            ),
        }
    }
    Ok(answered)
}

/// KV-129
async fn reads_under_way_end_when_server_and_client_stop(ctx: Ctx) -> CaseResult {
    let server = Arc::new(ctx.server().await?);
    let bridge = Bridge::new(server.addr())?;
    let client = ctx.connect([bridge.url()]).await?;
    client.put("foo", "bar").await?;

    let reads = ten_reads(&ctx, &client);
    let stopping = Arc::clone(&server);
    ctx.blocking(move || stopping.terminate()).await?;
    // They wait for another connection now, unless they were answered.
    client.close().await;
    all_end(&ctx, reads).await?;

    let restarting = Arc::clone(&server);
    ctx.blocking(move || restarting.restart()).await?;
    let client = ctx.connect([bridge.url()]).await?;
    bridge.blackhole();
    let reads = ten_reads(&ctx, &client);
    client.close().await;
    assert_eq!(all_end(&ctx, reads).await?, 0, "none was answered");
    Ok(())
}

/// KV-130
async fn a_defragmentation_and_reads_do_not_harm_each_other(ctx: Ctx) -> CaseResult {
    let (server, client) = ctx.server_and_client().await?;
    for n in 0..64 {
        client.put(format!("k{n:02}"), vec![b'x'; 64 << 10]).await?;
    }
    let defragment = ctx.spawn(client.rpc(pb::DefragmentRequest {}).into_future());
    let mut answered = 0;
    while !defragment.is_done() || answered == 0 {
        match client.get(all()).timeout(SECOND).await {
            Ok(read) => {
                assert_eq!((read.count, read.kvs.len()), (64, 64));
                answered += 1;
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::TimedOut(Phase::Answer), "{error}"),
        }
    }
    defragment.await?;
    assert!(server.is_running());
    assert_eq!(client.get(all()).count_only().await?.count, 64);
    client.put("after", "x").await?;
    Ok(())
}
