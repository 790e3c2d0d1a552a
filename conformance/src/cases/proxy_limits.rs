//! What a proxy says of messages that are too large for it, and what that means for a write.

use crate::BoxError;
use crate::{Case, CaseResult, Ctx, Server, case};
use etcd3::{Client, Code, Config, Error, ErrorKind, Outcome, ServerError, put};
use etcd3_lab::{Child, Ports, command, until};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

const PROXY: &str = "etcd's grpc-proxy";

pub(super) const CASES: &[Case] = &[
    case!(a_request_that_a_proxy_does_not_forward_is_rejected, []).real(PROXY),
    case!(an_answer_that_a_proxy_does_not_take_leaves_a_write_unknown, []).real(PROXY),
];

const LIMIT: Duration = Duration::from_secs(20);
/// The longest messages that the proxy sends to a member, and takes from one, in bytes.
const SENDS: usize = 3000;
const TAKES: usize = 4000;

/// A proxy in front of a server. Ends with this value.
struct Proxy {
    addr: SocketAddr,
    _process: Child,
}

impl Proxy {
    fn start(ctx: &Ctx, server: &Server) -> Result<Self, etcd3_lab::Error> {
        let addr = Ports::reserve(1)?.take()?;
        let folder: PathBuf = std::env::temp_dir().join(format!(
            "etcd3-proxy-{}-{}",
            std::process::id(),
            addr.port()
        ));
        let failed = |error: std::io::Error| etcd3_lab::Error::new(error.to_string());
        std::fs::create_dir(&folder).map_err(failed)?;
        let mut etcd = Command::new(&ctx.etcd.binary()?.path);
        etcd.args(["grpc-proxy", "start", "--data-dir=data"]).current_dir(&folder);
        etcd.arg(format!("--endpoints={}", server.client_url()));
        etcd.arg(format!("--listen-addr={addr}"));
        etcd.arg(format!("--max-send-bytes={SENDS}")).arg(format!("--max-recv-bytes={TAKES}"));
        if cfg!(target_arch = "aarch64") {
            etcd.env("ETCD_UNSUPPORTED_ARCH", "arm64");
        }
        let log = folder.join("log");
        let process = Child::spawn(&etcd, &folder, &log)?;
        let listens = || Ok(TcpStream::connect(addr).ok().map(drop));
        until(LIMIT, "the proxy", listens).map_err(|error| {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            etcd3_lab::Error::new(format!("{error}: {}", command::tail(&said, 10)))
        })?;
        Ok(Self { addr, _process: process })
    }

    async fn client(&self, ctx: &Ctx) -> Result<Client, Error> {
        let config = Config::new([format!("http://{}", self.addr)]);
        ctx.connect_with(config.max_request_bytes(8 << 20)).await
    }
}

/// Starts a server and a proxy before it, with a client for each.
async fn scene(ctx: &Ctx) -> Result<(Server, Proxy, [Client; 2]), BoxError> {
    let (server, direct) = ctx.server_and_client().await?;
    let on = ctx.clone();
    let (server, proxy) =
        ctx.blocking(move || Proxy::start(&on, &server).map(|proxy| (server, proxy))).await?;
    let client = proxy.client(ctx).await?;
    Ok((server, proxy, [direct, client]))
}

/// The client within the proxy refuses to send the request: no member has seen it.
async fn a_request_that_a_proxy_does_not_forward_is_rejected(ctx: Ctx) -> CaseResult {
    let (_server, _proxy, [direct, client]) = scene(&ctx).await?;
    client.put("k", "v").await?;
    let large = || vec![b'x'; SENDS];
    // The last one is over the limit that the proxy has for its own clients, 4 MiB.
    for error in [
        client.put("k", large()).await.unwrap_err(),
        client.txn().then([put("k", large())]).await.unwrap_err(),
        client.put("k", vec![b'x'; 5 << 20]).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Server(ServerError::RequestTooLarge), "{error}");
        assert_eq!((error.outcome(), error.code()), (Outcome::Rejected, Code::ResourceExhausted));
        assert!(error.to_string().contains("larger than max"), "{error}");
    }
    assert_eq!(direct.get("k").await?.kvs[0].version, 1);
    Ok(())
}

/// The client within the proxy refuses the answer, in the words in which a server refuses a
/// request; what the answer was made by has been executed.
async fn an_answer_that_a_proxy_does_not_take_leaves_a_write_unknown(ctx: Ctx) -> CaseResult {
    let (_server, _proxy, [direct, client]) = scene(&ctx).await?;
    direct.put("k", vec![b'x'; 2 * TAKES]).await?;
    let error = client.put("k", "short").prev_kv().await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
    assert_eq!(error.kind(), ErrorKind::Status(Code::ResourceExhausted), "{error}");
    assert!(error.to_string().contains("received message larger than max"), "{error}");
    assert!(!error.is_retryable());
    assert_eq!(direct.get("k").await?.kvs[0].value, "short", "it was executed");

    direct.put("k", vec![b'x'; 2 * TAKES]).await?;
    let error = client.get("k").await.unwrap_err();
    assert!(error.to_string().contains("larger than max") && !error.is_retryable(), "{error}");
    Ok(())
}
