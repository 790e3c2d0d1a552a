//! Several members, each with a certificate of its own.

use super::tls_certificates::{lazy, refused, trusting};
use crate::{Case, CaseResult, Cluster, Ctx, Member, case};
use etcd3::{Client, Code, Config, EndpointState, Error, ServerError};
use etcd3_lab::{Authority, Tls};
use std::time::Duration;

const TLS: &str = "TLS";

pub(super) const CASES: &[Case] = &[
    case!(a_client_made_before_a_member_dies_fails_over, ["CONN-039"]).real(TLS),
    case!(a_client_made_after_a_member_died_fails_over, ["CONN-040"]).real(TLS),
    case!(each_member_is_known_by_its_own_name, []).real(TLS),
];

const TRIES: usize = 10;
const TIMEOUT: Duration = Duration::from_secs(2);
const SOON: Duration = Duration::from_secs(10);

/// Puts and reads a key, again only when a try times out.
async fn put_and_get(client: &Client, value: &str) -> CaseResult {
    for _ in 0..TRIES {
        let tried = async {
            client.put("key1", value).timeout(TIMEOUT).await?;
            client.get("key1").timeout(TIMEOUT).await
        };
        match tried.await {
            Ok(read) => {
                assert_eq!(read.kvs[0].value, value.as_bytes());
                return Ok(());
            }
            Err(error) if is_timeout(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err("no try succeeded".into())
}

/// Tells whether a deadline ended a call, here or there.
fn is_timeout(error: &Error) -> bool {
    let told = error.server_error();
    let is_told = matches!(told, Some(ServerError::Timeout | ServerError::TimeoutDueToLeaderFail));
    is_told || error.code() == Code::DeadlineExceeded
}

/// Kills a member, and waits until its client has seen that: a write that is on its way then is
/// lost, and not repeated by the client itself.
async fn kill(ctx: &Ctx, cluster: &Cluster, client: &Client, member: usize) -> CaseResult {
    ctx.order(&cluster.member(member), Member::kill).await?;
    let state = || client.health().endpoints[member].state;
    ctx.until("the client to see it", SOON, || async { state() != EndpointState::Ready }).await
}

async fn fails_over(ctx: Ctx, made_before: bool) -> CaseResult {
    let authority = Authority::new()?;
    let tls = Tls::new(&authority);
    let cluster = ctx.cluster_with(|cluster| cluster.tls(tls)).await?;
    let config = Config::new(cluster.client_urls()).tls(trusting(&authority));
    let client = if made_before {
        let client = ctx.connect_with(config).await?;
        ctx.until_connected(&client).await?;
        kill(&ctx, &cluster, &client, 0).await?;
        client
    } else {
        ctx.order(&cluster.member(0), Member::kill).await?;
        ctx.connect_with(config).await?
    };
    put_and_get(&client, "v").await
}

/// CONN-039
async fn a_client_made_before_a_member_dies_fails_over(ctx: Ctx) -> CaseResult {
    fails_over(ctx, true).await
}

/// CONN-040
async fn a_client_made_after_a_member_died_fails_over(ctx: Ctx) -> CaseResult {
    fails_over(ctx, false).await
}

/// F18, I-C8, C37: names and addresses in certificates, none of which another member has.
async fn each_member_is_known_by_its_own_name(ctx: Ctx) -> CaseResult {
    let authority = Authority::new()?;
    let tls =
        Tls::new(&authority).names(["localhost"]).names(["127.0.0.1"]).names(["third.example"]);
    let cluster = ctx.cluster_with(|cluster| cluster.tls(tls)).await?;
    let port = |member: usize| cluster.member(member).port();
    let by_name = format!("https://localhost:{}", port(0));
    let by_address = format!("https://127.0.0.1:{}", port(1));
    let by_override = format!("https://127.0.0.1:{}", port(2));
    let trusting = trusting(&authority).server_name_for(&*by_override, "third.example");
    let config =
        |urls: &[&String]| Config::new(urls.iter().copied().cloned()).tls(trusting.clone());
    for url in [&by_name, &by_address, &by_override] {
        ctx.connect_with(config(&[url])).await?.put("k", "v").await?;
    }

    let wrong = "not valid for name";
    refused(&ctx, config(&[&format!("https://127.0.0.1:{}", port(0))]), wrong).await?;
    refused(&ctx, config(&[&format!("https://localhost:{}", port(1))]), wrong).await?;
    refused(&ctx, config(&[&format!("https://localhost:{}", port(2))]), wrong).await?;
    let elsewhere = config(&[&by_address]).tls(trusting.clone().server_name("localhost"));
    refused(&ctx, elsewhere, wrong).await?;

    let client = ctx.connect_with(config(&[&by_name, &by_address, &by_override])).await?;
    for (member, value) in ["a", "b", "c"].into_iter().enumerate() {
        ctx.until_connected(&client).await?;
        kill(&ctx, &cluster, &client, member).await?;
        put_and_get(&client, value).await?;
        let member = cluster.member(member);
        ctx.blocking(move || member.restart()).await?;
    }
    let second = lazy(&ctx, config(&[&by_name, &by_address]))?;
    ctx.order(&cluster.member(0), Member::kill).await?;
    put_and_get(&second, "d").await
}
