//! A real nginx in front of etcd: it ends connections in an orderly way, and answers by itself
//! where etcd does not.

use super::accounts::{Callers, balance, balance_without_failures};
use super::proxied;
use crate::BoxError;
use crate::{Case, CaseResult, Ctx, Member, Server, case};
use etcd3::{Client, Code, Error, Outcome, TlsConfig};
use etcd3_lab::{Authority, Leaf, Nginx};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

const NGINX: &str = "a process of nginx";

pub(super) const CASES: &[Case] = &[
    case!(calls_pass_nginx, []).real(NGINX),
    case!(calls_pass_nginx_over_tls, []).real(NGINX).any_version(),
    case!(a_connection_ends_after_so_many_requests, []).real(NGINX).any_version(),
    case!(workers_are_replaced_under_load, []).real(NGINX).any_version(),
    case!(nginx_is_killed_and_starts_again, []).real(NGINX).any_version(),
    case!(nginx_goes_from_member_to_member, []).real(NGINX).any_version(),
    case!(nothing_listens_behind_nginx, []).real(NGINX).any_version(),
    case!(nothing_answers_behind_nginx, []).real(NGINX).any_version(),
    case!(a_body_that_nginx_does_not_take, []).real(NGINX).any_version(),
    case!(an_answer_before_the_body, []).real(NGINX).any_version(),
];

const SECOND: Duration = Duration::from_secs(1);
/// Far more than anything here takes; half of a minute, as a machine may be busy.
const LIMIT: Duration = Duration::from_secs(30);
const CALLERS: usize = 4;

/// An etcd, a client that reaches it through nginx, and one that does not.
struct Rig {
    server: Arc<Server>,
    nginx: Arc<Nginx>,
    client: Client,
    direct: Client,
}

impl Rig {
    /// Starts all of it; the directive is one of nginx, as `"keepalive_requests 10"`.
    async fn new(ctx: &Ctx, directive: Option<(&str, &str)>) -> Result<Self, BoxError> {
        let server = Arc::new(ctx.server().await?);
        let set = |nginx: etcd3_lab::NginxBuilder| match directive {
            Some((name, value)) => nginx.set(name, value),
            None => nginx,
        };
        let nginx = ctx.nginx_with([server.addr()], set).await?;
        let client = ctx.connect([nginx.url()]).await?;
        let direct = ctx.connect([server.client_url()]).await?;
        Ok(Self { server, nginx, client, direct })
    }

    /// Counts the connections on which nginx has finished a request.
    fn connections(&self) -> usize {
        let served = self.nginx.served().unwrap_or_default();
        served.iter().map(|it| it.connection).collect::<BTreeSet<_>>().len()
    }

    /// Counts the requests that nginx has answered with this status.
    fn answered(&self, status: u16) -> usize {
        let served = self.nginx.served().unwrap_or_default();
        served.iter().filter(|it| it.status == status).count()
    }
}

/// H16: all kinds of calls, over one connection.
async fn calls_pass_nginx(ctx: Ctx) -> CaseResult {
    let rig = Rig::new(&ctx, None).await?;
    let calls = proxied::calls(&rig.client).await?;
    // Each is noted when its client has the answer.
    ctx.until("the last request", LIMIT, || async { rig.answered(200) == calls }).await?;
    assert_eq!(rig.connections(), 1);
    assert_eq!(rig.nginx.served()?.len(), calls, "{:?}", rig.nginx.served());
    Ok(())
}

/// H16: as `calls_pass_nginx`, with nginx as the end of TLS.
async fn calls_pass_nginx_over_tls(ctx: Ctx) -> CaseResult {
    let server = ctx.server().await?;
    let authority = Authority::new()?;
    let identity = authority.issue(Leaf::server(["127.0.0.1"]))?;
    let nginx = ctx.nginx_with([server.addr()], |nginx| nginx.tls(&identity)).await?;
    let trust = TlsConfig::new().ca_pem(authority.pem());
    let client = ctx.connect_with(ctx.config([nginx.url()]).tls(trust)).await?;
    let calls = proxied::calls(&client).await?;
    let passed = || nginx.served().unwrap_or_default().len();
    ctx.until("the last request", LIMIT, || async { passed() == calls }).await
}

/// H1, H16: the end of a connection costs no call, and no time.
async fn a_connection_ends_after_so_many_requests(ctx: Ctx) -> CaseResult {
    const CONNECTIONS: usize = 40;
    let rig = Rig::new(&ctx, Some(("keepalive_requests", "10"))).await?;
    let callers = Callers::start(&ctx, &rig.client, CALLERS);
    // A backoff after each of them would be over a minute.
    let enough = || async { rig.connections() >= CONNECTIONS };
    let reached = ctx.until("forty connections", LIMIT, enough).await;
    let accounts = callers.stop().await;
    reached.map_err(|error| format!("{error}, {} came", rig.connections()))?;
    balance_without_failures(&accounts, &rig.direct).await
}

/// H1, H16: a reload says GOAWAY, and answers what is under way.
async fn workers_are_replaced_under_load(ctx: Ctx) -> CaseResult {
    const RELOADS: usize = 5;
    let rig = Rig::new(&ctx, None).await?;
    let callers = Callers::start(&ctx, &rig.client, CALLERS);
    for _ in 0..RELOADS {
        let (nginx, before) = (Arc::clone(&rig.nginx), rig.connections());
        ctx.blocking(move || nginx.reload()).await?;
        // The old worker keeps a connection for as long as there are calls on it.
        let moved = || async { rig.connections() > before };
        ctx.until("calls on a connection to the new worker", LIMIT, moved).await?;
    }
    balance_without_failures(&callers.stop().await, &rig.direct).await
}

/// F1: of the writes that nginx had, nobody knows; no read fails.
async fn nginx_is_killed_and_starts_again(ctx: Ctx) -> CaseResult {
    const KILLS: usize = 3;
    let rig = Rig::new(&ctx, None).await?;
    let callers = Callers::start(&ctx, &rig.client, CALLERS);
    for _ in 0..KILLS {
        let (nginx, before) = (Arc::clone(&rig.nginx), callers.calls());
        let goes_on = || async { callers.calls() >= before + 100 };
        ctx.until("calls through nginx", LIMIT, goes_on).await?;
        ctx.blocking(move || nginx.kill().and_then(|()| nginx.restart())).await?;
    }
    let before = rig.connections();
    let moved = || async { rig.connections() > before };
    ctx.until("calls through the last nginx", LIMIT, moved).await?;
    let accounts = callers.stop().await;
    assert!(rig.connections() > KILLS, "{} connections", rig.connections());
    balance(&accounts, &rig.direct).await?;
    for error in accounts.iter().flat_map(|account| &account.failed_writes) {
        assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
    }
    Ok(())
}

/// B5: what one member has acknowledged is read from all others, also when one of them dies.
async fn nginx_goes_from_member_to_member(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster().await?;
    let addresses: Vec<_> = cluster.members().iter().map(|member| member.addr()).collect();
    let nginx = ctx.nginx_with(addresses, |nginx| nginx).await?;
    let client = ctx.connect([nginx.url()]).await?;
    let mut members = BTreeSet::new();
    for number in 0..30 {
        let value = number.to_string();
        let put = client.put("foo", value.as_str()).await?;
        let get = client.get("foo").await?;
        assert_eq!(get.kvs[0].value, value);
        members.extend([put.header.member_id, get.header.member_id]);
    }
    assert_eq!(members.len(), 3, "{members:?}");
    ctx.order(&cluster.member(0), Member::kill).await?;
    cluster.wait_leader()?;
    let direct = ctx.connect([cluster.member(1).client_url()]).await?;
    let callers = Callers::start(&ctx, &client, CALLERS);
    let goes_on = || async { callers.calls() >= 100 };
    let reached = ctx.until("calls to the other members", LIMIT, goes_on).await;
    let accounts = callers.stop().await;
    reached?;
    balance(&accounts, &direct).await
}

/// Asserts that a write got an answer of nginx, which does not tell what etcd has done.
#[track_caller]
fn check_unavailable(error: &Error, status: &str) {
    assert_eq!((error.code(), error.outcome()), (Code::Unavailable, Outcome::Unknown), "{error}");
    assert!(error.to_string().contains(status), "{error}");
}

/// E29, R40: 502, for a connection to etcd that was refused and for one that broke.
async fn nothing_listens_behind_nginx(ctx: Ctx) -> CaseResult {
    let rig = Rig::new(&ctx, None).await?;
    rig.client.put("foo", "bar").await?;
    let server = Arc::clone(&rig.server);
    ctx.blocking(move || server.kill()).await?;
    let error = rig.client.put("foo", "baz").await.unwrap_err();
    check_unavailable(&error, "502");
    // nginx notes it after the client has the answer.
    ctx.until("the first request to be noted", LIMIT, || async { rig.answered(502) > 0 }).await?;
    // A read goes on until etcd is back.
    let read = rig.client.clone();
    let read = ctx.spawn(async move { read.get("foo").timeout(LIMIT).await });
    let again = || async { rig.answered(502) > 2 };
    ctx.until("the read to be tried again", LIMIT, again).await?;
    let server = Arc::clone(&rig.server);
    ctx.blocking(move || server.restart()).await?;
    let read = read.await?;
    assert_eq!((&*read.kvs[0].value, read.kvs[0].version), (&b"bar"[..], 1));
    rig.client.put("foo", "qux").await?;
    assert_eq!(rig.connections(), 1, "nginx itself was always there");
    Ok(())
}

/// E29, R40: 504, from a member that does not answer in time.
async fn nothing_answers_behind_nginx(ctx: Ctx) -> CaseResult {
    let rig = Rig::new(&ctx, Some(("grpc_read_timeout", "1s"))).await?;
    rig.client.put("foo", "bar").await?;
    rig.server.stop()?;
    let error = rig.client.put("foo", "baz").await.unwrap_err();
    check_unavailable(&error, "504");
    // nginx notes it after the client has the answer.
    ctx.until("the first request to be noted", LIMIT, || async { rig.answered(504) > 0 }).await?;
    let read = rig.client.clone();
    let read = ctx.spawn(async move { read.get("foo").timeout(LIMIT).await });
    let again = || async { rig.answered(504) > 1 };
    ctx.until("the read to be tried again", LIMIT, again).await?;
    rig.server.cont()?;
    // The write lay in the socket of etcd, which may have read it since.
    let version = read.await?.kvs[0].version;
    assert!((1..=2).contains(&version), "{version}");
    // A deadline of this side, before the one of nginx.
    rig.server.stop()?;
    let error = rig.client.put("foo", "qux").timeout(SECOND / 2).await.unwrap_err();
    assert_eq!((error.code(), error.outcome()), (Code::DeadlineExceeded, Outcome::Unknown));
    rig.server.cont()?;
    rig.client.put("foo", "end").await?;
    Ok(())
}

/// E30, RFC 9113 8.1: 413 comes while the body is being sent, and is no failure of the connection.
async fn a_body_that_nginx_does_not_take(ctx: Ctx) -> CaseResult {
    const ROUNDS: usize = 20;
    let rig = Rig::new(&ctx, None).await?;
    rig.client.put("small", "v").await?;
    // Over the default of nginx, under that of etcd.
    for size in (0..ROUNDS).map(|round| 1_060_000 + round * 20_000) {
        let put = rig.client.put("large", vec![b'x'; size]).timeout(10 * SECOND);
        let error = put.await.unwrap_err();
        assert!(error.to_string().contains("413"), "{size}: {error}");
        assert_eq!(error.attempts(), 1, "{size}: {error}");
        assert_eq!(rig.client.get("small").await?.kvs[0].value, "v");
    }
    assert_eq!(rig.direct.get("large").await?.kvs.len(), 0);
    ctx.until("all of them to be noted", LIMIT, || async { rig.answered(413) == ROUNDS }).await?;
    assert_eq!(rig.connections(), 1);
    Ok(())
}

/// E30, RFC 9113 8.1: nginx answers the head of a request and resets the stream without an error,
/// so that the body may meet a stream that is closed. The answer counts, and the connection stays.
/// More than some MiB of bodies that nobody wants, and nginx takes the client for an attacker.
async fn an_answer_before_the_body(ctx: Ctx) -> CaseResult {
    const ROUNDS: usize = 100;
    let rig = Rig::new(&ctx, None).await?;
    let refusing = ctx.nginx_with([rig.server.addr()], |nginx| nginx.set("return", "413")).await?;
    let client = Client::connect_lazy_on(Arc::clone(&ctx.rt), ctx.config([refusing.url()]))?;
    for size in [1, 100, 20_000, 100_000] {
        for round in 0..ROUNDS {
            let put = client.put("large", vec![b'x'; size]).timeout(10 * SECOND);
            let error = put.await.unwrap_err();
            assert!(error.to_string().contains("413"), "{size}, {round}: {error}");
            assert_eq!(error.attempts(), 1, "{size}, {round}: {error}");
        }
    }
    let served = refusing.served()?;
    let connections: BTreeSet<_> = served.iter().map(|it| it.connection).collect();
    assert_eq!(connections.len(), 1, "{connections:?}");
    assert_eq!(rig.direct.get("large").await?.kvs.len(), 0);
    Ok(())
}
