//! Ways to a server, and how they end.

use crate::peer::Peer;
use crate::{Case, CaseResult, Ctx, case};
use etcd3::{Client, Config, ConnectFailure, ErrorKind, Outcome};
use etcd3_lab::Bridge;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Duration;

pub(super) const CASES: &[Case] = &[
    case!(names_are_resolved_and_every_address_is_tried, [])
        .real("the resolver of the machine")
        .any_version(),
    case!(a_unix_socket_will_do, []).real("sockets of the machine").any_version(),
    case!(an_abstract_unix_socket_will_do, []).real("sockets of the machine").any_version(),
    case!(a_socket_that_is_not_there_is_named, []).real("sockets of the machine").any_version(),
    case!(any_usable_endpoint_is_enough, []).real("a bridge").any_version(),
    case!(a_lost_connection_is_made_again, []).real("a bridge").any_version().plain_and_tls(),
    case!(close_ends_calls_and_connections, []).real("a scripted server").any_version(),
    case!(the_last_clone_ends_the_connections, []).real("a bridge").any_version(),
];

const SOON: Duration = Duration::from_secs(20);

/// I-C9: `localhost` may mean an address that nobody listens on, too.
async fn names_are_resolved_and_every_address_is_tried(ctx: Ctx) -> CaseResult {
    let server = ctx.server().await?;
    let client = ctx.connect([format!("http://localhost:{}", server.port())]).await?;
    client.put("k", "v").await?;
    let unknown = ctx.connect(["http://no-such-host.invalid:2379"]).await.unwrap_err();
    assert!(matches!(unknown.kind(), ErrorKind::Connect(_)), "{unknown}");
    assert_eq!(unknown.outcome(), Outcome::NotSent);
    Ok(())
}

/// C34f; a relay stands in for a server that listens on one.
async fn a_unix_socket_will_do(ctx: Ctx) -> CaseResult {
    let folder =
        std::env::temp_dir().join(format!("etcd3-{}-{}", std::process::id(), ctx.rt.seed()));
    std::fs::create_dir(&folder)?;
    let path = folder.join("etcd.sock");
    let listener = UnixListener::bind(&path)?;
    let made = through(&ctx, listener, [format!("unix://{}", path.display())]).await;
    std::fs::remove_dir_all(&folder)?;
    made
}

/// As Go and gRPC write it.
#[cfg(target_os = "linux")]
async fn an_abstract_unix_socket_will_do(ctx: Ctx) -> CaseResult {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::SocketAddr;

    for (number, scheme) in ["unix:@", "unix-abstract:"].into_iter().enumerate() {
        let name = format!("etcd3-{}-{}-{number}", std::process::id(), ctx.rt.seed());
        let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name)?)?;
        through(&ctx, listener, [format!("{scheme}{name}")]).await?;
    }
    let nobody = ctx.connect(["unix:@etcd3-nobody"]).await.unwrap_err();
    assert_eq!(nobody.kind(), ErrorKind::Connect(ConnectFailure::Refused), "{}", nobody.report());
    Ok(())
}

/// Elsewhere it is said at once that there are none.
#[cfg(not(target_os = "linux"))]
async fn an_abstract_unix_socket_will_do(ctx: Ctx) -> CaseResult {
    let error = ctx.connect(["unix:@etcd"]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    Ok(())
}

/// Uses a server behind this socket, which takes one connection.
async fn through(ctx: &Ctx, listener: UnixListener, endpoints: [String; 1]) -> CaseResult {
    use std::io::copy;
    use std::net::TcpStream;

    let server = ctx.server().await?;
    let real = server.addr();
    let relay = ctx.blocking(move || -> std::io::Result<()> {
        let (socket, _) = listener.accept()?;
        let server = TcpStream::connect(real)?;
        let (mut up, mut to_server) = (socket.try_clone()?, server.try_clone()?);
        let upwards = std::thread::spawn(move || {
            let _ = copy(&mut up, &mut to_server);
            let _ = to_server.shutdown(std::net::Shutdown::Both);
        });
        let (mut server, mut socket) = (server, socket);
        let _ = copy(&mut server, &mut socket);
        let _ = upwards.join();
        Ok(())
    });
    let client = ctx.connect(endpoints).await?;
    client.put("k", "v").await?;
    assert_eq!(client.get("k").await?.kvs[0].value, "v");
    client.close().await;
    relay.await?;
    Ok(())
}

/// Nobody refused the connection: there is nothing to connect to.
async fn a_socket_that_is_not_there_is_named(ctx: Ctx) -> CaseResult {
    let error = ctx.connect(["unix:///no/such/etcd.sock"]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect(ConnectFailure::NoSocket), "{}", error.report());
    let report = error.report().to_string();
    assert!(report.contains("the unix socket does not exist: /no/such/etcd.sock"), "{report}");
    Ok(())
}

/// I-C7
async fn any_usable_endpoint_is_enough(ctx: Ctx) -> CaseResult {
    let server = ctx.server().await?;
    let closed = Bridge::new(server.addr())?;
    closed.refuse();
    let client = ctx.connect([closed.url(), server.client_url()]).await?;
    for n in 0..20 {
        client.put("k", n.to_string()).await?;
    }
    assert_eq!(client.get("k").await?.kvs[0].version, 20);
    Ok(())
}

/// B7, I-C11
async fn a_lost_connection_is_made_again(ctx: Ctx) -> CaseResult {
    let server = ctx.server().await?;
    let bridge = Bridge::new(server.addr())?;
    let client = ctx.connect([ctx.url(bridge.addr())]).await?;
    for n in 1..=5 {
        bridge.drop_all();
        // A read is repeated however the loss shows; a write would be, if it did not leave.
        assert_eq!(client.get("k").await?.count, u64::from(n > 1));
        client.put("k", "v").await?;
    }
    Ok(())
}

/// C23, I-C10
async fn close_ends_calls_and_connections(ctx: Ctx) -> CaseResult {
    let peer = Peer::start(|_, mut wire| {
        wire.greet(&[])?;
        wire.request()?;
        wire.wait_close()
    })?;
    let client = ctx.connect([peer.url()]).await?;
    let pending = {
        let client = client.clone();
        ctx.spawn(async move { client.put("k", "v").await })
    };
    let waiting = {
        let lazy =
            Client::connect_lazy_on(Arc::clone(&ctx.rt), Config::new(["http://127.0.0.1:1"]))?;
        let other = lazy.clone();
        let get = ctx.spawn(async move { other.get("k").await });
        ctx.within(SOON, lazy.close()).await.ok_or("close hung")?;
        get
    };
    let error = ctx.within(SOON, waiting).await.ok_or("a waiting call hung")?.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Closed, Outcome::NotSent));

    ctx.within(SOON, client.close()).await.ok_or("close hung")?;
    client.close().await;
    let error = ctx.within(SOON, pending).await.ok_or("a pending call hung")?.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    let late = client.get("k").await.unwrap_err();
    assert_eq!((late.kind(), late.outcome()), (ErrorKind::Closed, Outcome::NotSent));
    assert!(client.is_closed());
    Ok(())
}

async fn the_last_clone_ends_the_connections(ctx: Ctx) -> CaseResult {
    let server = ctx.server().await?;
    let bridge = Arc::new(Bridge::new(server.addr())?);
    let client = ctx.connect([bridge.url()]).await?;
    client.put("k", "v").await?;
    let clone = client.clone();
    drop(client);
    clone.get("k").await?;
    assert_eq!(bridge.connections().live, 1);
    drop(clone);
    ctx.until("the connection to end", SOON, || async { bridge.connections().live == 0 }).await
}
