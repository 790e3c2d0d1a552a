//! A look at clusters that disagree, or part of which is dead.

use super::cluster_expect::{LIMIT, id_of};
use super::kv_expect::not_for_learners;
use crate::peer::{Peer, Request, Wire};
use crate::{Case, CaseResult, Ctx, Member, case};
use etcd3::proto::etcdserverpb as pb;
use etcd3::{Disagreement, ErrorKind, MemberId};
use etcd3_lab::BlackHole;
use prost::Message;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

pub(super) const CASES: &[Case] = &[
    case!(disagreement_about_who_votes_is_shown, []).real("scripted servers").any_version(),
    case!(a_dead_member_delays_no_other, []),
    case!(a_dead_endpoint_delays_no_client, []).real("sockets of the machine").any_version(),
];

const CLUSTER: u64 = 9;
/// The member that says of itself that it is a learner.
const DOUBTFUL: u64 = 3;

/// Answers as member `id` of three voters, of which one takes itself for a learner, and refuses
/// what learners refuse.
fn doubtful(
    wire: &mut Wire,
    id: u64,
    urls: &OnceLock<Vec<String>>,
    refusal: &str,
) -> io::Result<()> {
    wire.greet(&[])?;
    loop {
        let request = wire.whole_request()?;
        // Methods are compressed; these two have messages of their own.
        let message = match request.body.get(5..).unwrap_or_default() {
            [] => status(id).encode_to_vec(),
            [8, 1] => list(urls).encode_to_vec(),
            _ if id == DOUBTFUL => {
                wire.refuse(request.stream, "9", refusal)?;
                continue;
            }
            _ => {
                answer_of(id, &request, wire)?;
                continue;
            }
        };
        wire.respond(request.stream)?;
        wire.send_message(request.stream, &message)?;
        wire.trailers(request.stream)?;
    }
}

fn header(id: u64, revision: i64) -> pb::ResponseHeader {
    pb::ResponseHeader { cluster_id: CLUSTER, member_id: id, revision, raft_term: 2 }
}

fn status(id: u64) -> pb::StatusResponse {
    pb::StatusResponse {
        header: Some(header(id, 2)),
        version: "3.5.16".to_owned(),
        leader: 1,
        raft_term: 2,
        is_learner: id == DOUBTFUL,
        ..pb::StatusResponse::default()
    }
}

fn list(urls: &OnceLock<Vec<String>>) -> pb::MemberListResponse {
    let urls = urls.get().map(Vec::as_slice).unwrap_or_default();
    let member = |(id, url): (u64, &String)| pb::Member {
        id,
        name: format!("m{id}"),
        peer_urls: vec![format!("http://m{id}:2380")],
        client_urls: vec![url.clone()],
        is_learner: false,
    };
    let members = (1..).zip(urls).map(member).collect();
    pb::MemberListResponse { header: Some(header(1, 0)), members }
}

fn answer_of(id: u64, request: &Request, wire: &mut Wire) -> io::Result<()> {
    let header = Some(header(id, 2));
    let message = if request.is_put() {
        pb::PutResponse { header, ..pb::PutResponse::default() }.encode_to_vec()
    } else {
        pb::RangeResponse { header, ..pb::RangeResponse::default() }.encode_to_vec()
    };
    wire.respond(request.stream)?;
    wire.send_message(request.stream, &message)?;
    wire.trailers(request.stream)
}

/// Case 6
async fn disagreement_about_who_votes_is_shown(ctx: Ctx) -> CaseResult {
    let urls: Arc<OnceLock<Vec<String>>> = Arc::default();
    let refusal = not_for_learners(ctx.etcd.version).text;
    let start = |id| {
        let urls = Arc::clone(&urls);
        Peer::start(move |_, mut wire| doubtful(&mut wire, id, &urls, refusal))
    };
    let peers = [start(1)?, start(2)?, start(DOUBTFUL)?];
    let endpoints: Vec<String> = peers.iter().map(Peer::url).collect();
    urls.set(endpoints.clone()).map_err(|_| "set twice")?;
    let client = ctx.connect(endpoints).await?;
    ctx.until_connected(&client).await?;

    let view = client.cluster().view().await?;
    assert_eq!(view.disagreements.len(), 1, "{:?}", view.disagreements);
    let Disagreement::Role { member, name, is_listed_as_learner, .. } = &view.disagreements[0]
    else {
        panic!("{:?}", view.disagreements)
    };
    assert_eq!((*member, &name[..], *is_listed_as_learner), (MemberId(DOUBTFUL), "m3", false));
    assert_eq!((view.leader, view.cluster_id), (Some(MemberId(1)), CLUSTER));
    assert_eq!(view.tolerated_failures(), Some(0), "two of three are beyond doubt");

    for n in 0..100 {
        client.put("k", n.to_string()).await?;
        client.get("k").await?;
    }
    Ok(())
}

/// Case 9, M6
async fn a_dead_member_delays_no_other(ctx: Ctx) -> CaseResult {
    let timeout = Duration::from_secs(2);
    let servers = ctx.cluster().await?;
    let leader = servers.wait_leader()?;
    let dead = (leader + 1) % 3;
    let dead_id = id_of(&ctx, &servers, dead).await?;
    let client = ctx.connect([servers.member(leader).client_url()]).await?;
    let well = client.cluster().view().timeout(timeout).await?;
    assert_eq!((well.tolerated_failures(), &well.disagreements[..]), (Some(1), &[][..]));
    assert_eq!(well.leader, Some(id_of(&ctx, &servers, leader).await?));

    ctx.order(&servers.member(dead), Member::stop).await?;
    let begun = ctx.rt.now();
    let view = client.cluster().view().timeout(timeout).await?;
    let took = ctx.rt.now().saturating_since(begun);
    assert!(took < timeout + ctx.at_most(Duration::from_millis(300)), "{took:?}");
    for it in &view.members {
        if it.member.id == dead_id {
            let error = it.error().ok_or("the dead member answered")?;
            assert!(matches!(error.kind(), ErrorKind::TimedOut(_)), "{error}");
            assert_eq!(error.endpoint(), it.endpoint.as_deref());
        } else {
            let status = it.status().ok_or_else(|| format!("no answer: {:?}", it.error()))?;
            assert_eq!(status.version, ctx.etcd.version.to_string());
        }
    }
    assert_eq!(view.tolerated_failures(), Some(0));
    ctx.order(&servers.member(dead), Member::cont).await?;
    ctx.until("the member to be well again", LIMIT, || async {
        client.cluster().view().await.is_ok_and(|view| view.tolerated_failures() == Some(1))
    })
    .await
}

/// Case 9
async fn a_dead_endpoint_delays_no_client(ctx: Ctx) -> CaseResult {
    let server = ctx.server().await?;
    let hole = BlackHole::new()?;
    let begun = ctx.rt.now();
    let client = ctx.connect([hole.url(), server.client_url()]).await?;
    let took = ctx.rt.now().saturating_since(begun);
    assert!(took < ctx.at_most(Duration::from_millis(500)), "{took:?}");
    let view = client.cluster().view().await?;
    assert_eq!((view.members.len(), view.tolerated_failures()), (1, Some(0)));
    Ok(())
}
