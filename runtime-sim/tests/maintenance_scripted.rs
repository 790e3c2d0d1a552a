//! Maintenance calls to a server that follows a script: answers that never come, that lack fields,
//! or that refuse.
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

use bytes::{BufMut, Bytes, BytesMut};
use etcd3::proto::etcdserverpb as pb;
use etcd3::{Client, Code, Config, ErrorKind, Outcome, Phase, ServerError, Status, Version};
use etcd3_sim::{Host, World, run};
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, Request};
use prost::Message;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const ADDRESS: &str = "10.7.7.7:2379";
/// The size of the head of a gRPC frame.
const HEAD: usize = 5;

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// What the server says to a call.
enum Said {
    Answer(Vec<u8>),
    Status(Status),
    /// Nothing, ever.
    Nothing,
}

fn says(answer: &impl Message) -> Said {
    Said::Answer(answer.encode_to_vec())
}

fn refuses(code: Code, text: &str) -> Said {
    Said::Status(Status::new(code, text))
}

type Script = Arc<Mutex<dyn FnMut(&str, Bytes) -> Said + Send>>;

/// Starts a server that answers unary calls by a script, which gets the name of the method and the
/// message.
fn serve(world: &World, script: impl FnMut(&str, Bytes) -> Said + Send + 'static) -> Host {
    let script: Script = Arc::new(Mutex::new(script));
    let host = world.host();
    let listener = world.listen(ADDRESS.parse().unwrap());
    let accepting = host.clone();
    host.spawn(async move {
        loop {
            let stream = listener.accept().await;
            let (script, serving) = (Arc::clone(&script), accepting.clone());
            accepting.spawn(async move {
                let mut builder = h2::server::Builder::new();
                // Their expiry would read the clock of the machine.
                builder.max_concurrent_reset_streams(0).max_local_error_reset_streams(None);
                let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else {
                    return;
                };
                while let Some(Ok((request, respond))) = connection.accept().await {
                    let script = Arc::clone(&script);
                    serving.spawn(async move {
                        // A client that goes away is no news.
                        let _ = answer(&script, request, respond).await;
                    });
                }
            });
        }
    });
    host
}

async fn answer(
    script: &Script,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) -> Result<(), h2::Error> {
    let name = request.uri().path().rsplit('/').next().unwrap().to_owned();
    let mut body = request.into_body();
    let mut message = BytesMut::new();
    while let Some(chunk) = body.data().await {
        message.extend_from_slice(&chunk?);
    }
    let message = message.freeze().slice(HEAD..);
    let said = (script.lock().unwrap())(&name, message);
    let mut head = http::Response::new(());
    let grpc = HeaderValue::from_static("application/grpc");
    head.headers_mut().insert(http::header::CONTENT_TYPE, grpc);
    let mut send = respond.send_response(head, false)?;
    let mut trailers = HeaderMap::new();
    let status = match said {
        Said::Answer(answer) => {
            let mut frame = BytesMut::new();
            frame.put_u8(0);
            frame.put_u32(u32::try_from(answer.len()).unwrap());
            frame.extend_from_slice(&answer);
            send.send_data(frame.freeze(), false)?;
            Status::new(Code::Ok, "")
        }
        Said::Status(status) => status,
        Said::Nothing => return std::future::pending().await,
    };
    let code = HeaderValue::from(u16::from(status.code.number()));
    trailers.insert("grpc-status", code);
    trailers.insert("grpc-message", HeaderValue::from_str(&status.message).unwrap());
    send.send_trailers(trailers)
}

fn endpoint() -> String {
    format!("http://{ADDRESS}")
}

fn client(world: &World) -> Client {
    world.host().client(Config::new([endpoint()])).unwrap()
}

const IN_PROGRESS: &str = "etcdserver: cluster has a downgrade job in progress";

/// A server that begins a downgrade but never says so, and says of its target what it is told to.
fn stuck_in_downgrade(target: &'static str) -> impl FnMut(&str, Bytes) -> Said + Send {
    let mut asked = 0;
    move |method, message| match method {
        "Downgrade" => {
            let request = pb::DowngradeRequest::decode(message).unwrap();
            assert_eq!((request.action, &*request.version), (1, "3.5.0"));
            asked += 1;
            if asked == 1 { Said::Nothing } else { refuses(Code::FailedPrecondition, IN_PROGRESS) }
        }
        "Status" => says(&pb::StatusResponse {
            version: "3.6.12".into(),
            downgrade_info: Some(pb::DowngradeInfo {
                enabled: true,
                target_version: target.into(),
            }),
            ..pb::StatusResponse::default()
        }),
        other => panic!("{other} was called"),
    }
}

// Case 10
#[test]
fn enabling_a_downgrade_may_be_repeated_after_its_answer_was_lost() {
    for (target, other) in [("3.5.0", None), ("3.4.0", Some(Version::new(3, 4)))] {
        run(1, |world| async move {
            let _server = serve(&world, stuck_in_downgrade(target));
            let maintenance = client(&world).maintenance();
            let ensure = || maintenance.ensure_downgrade((3, 5)).timeout(seconds(5));

            let begin = world.now();
            let error = ensure().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut(Phase::Answer), "{error}");
            assert_eq!((error.outcome(), error.attempts()), (Outcome::Unknown, 1), "{error}");
            assert_eq!(world.now().saturating_since(begin), seconds(5));

            let Some(target) = other else { return ensure().await.unwrap() };
            let error = ensure().await.unwrap_err();
            let kind = ErrorKind::DowngradeInProgress { target: Some(target) };
            assert_eq!((error.kind(), error.outcome()), (kind, Outcome::Rejected), "{error}");
            assert_eq!(error.endpoint(), Some(&*endpoint()));
            let text = "Downgrade: the cluster is being downgraded to 3.4";
            assert!(error.to_string().starts_with(text), "{error}");
        })
        .unwrap();
    }
}

// Case 10: servers refuse the version as soon as that of the cluster is there, which goes down
// ahead of the members.
#[test]
fn enabling_a_downgrade_may_be_repeated_when_the_version_of_the_cluster_has_gone_down() {
    let invalid = "etcdserver: invalid downgrade target version";
    for (enabled, target, is_it) in
        [(true, "3.5.0", true), (true, "3.4.0", false), (false, "3.5.0", false)]
    {
        run(1, |world| async move {
            let _server = serve(&world, move |method, _| match method {
                "Downgrade" => refuses(Code::InvalidArgument, invalid),
                _ => says(&pb::StatusResponse {
                    version: "3.6.12".into(),
                    downgrade_info: Some(pb::DowngradeInfo {
                        enabled,
                        target_version: target.into(),
                    }),
                    ..pb::StatusResponse::default()
                }),
            });
            let ensured = client(&world).maintenance().ensure_downgrade((3, 5)).await;
            let found = ensured.map_err(|error| error.server_error());
            let refused = Some(ServerError::InvalidDowngradeTargetVersion);
            assert_eq!(found, if is_it { Ok(()) } else { Err(refused) }, "{enabled} {target}");
        })
        .unwrap();
    }
}

// M26: what is not in the way of a downgrade is not asked about, and no refusal becomes an Ok.
#[test]
fn a_downgrade_that_is_refused_is_none_unless_it_is_finished() {
    let invalid = "etcdserver: invalid downgrade target version";
    for (version, is_there) in [("3.5.30", true), ("3.7.1", false), ("3.4.23", false), ("", false)]
    {
        run(1, |world| async move {
            let _server = serve(&world, move |method, _| match method {
                "Downgrade" => refuses(Code::InvalidArgument, invalid),
                _ => says(&pb::StatusResponse {
                    version: version.into(),
                    ..pb::StatusResponse::default()
                }),
            });
            let ensured = client(&world).maintenance().ensure_downgrade((3, 5)).await;
            let found = ensured.map_err(|error| error.server_error());
            let refused = Some(ServerError::InvalidDowngradeTargetVersion);
            assert_eq!(found, if is_there { Ok(()) } else { Err(refused) }, "{version}");
        })
        .unwrap();
    }
}

// Case 22
#[test]
fn an_unknown_quota_is_unknown_and_not_zero() {
    for (version, quota, expected) in
        [("3.5.30", 0, None), ("3.6.0", 0, None), ("3.6.12", 2_147_483_648, Some(2_147_483_648))]
    {
        run(1, |world| async move {
            let _server = serve(&world, move |_, _| {
                says(&pb::StatusResponse {
                    version: version.into(),
                    db_size: 1_073_741_824,
                    db_size_quota: quota,
                    ..pb::StatusResponse::default()
                })
            });
            let status = client(&world).maintenance().status(endpoint()).await.unwrap();
            assert_eq!((&*status.version, status.quota), (version, expected));
            assert_eq!(status.fill_level(), expected.map(|_| 0.5));
            assert_eq!((status.leader, status.is_leader()), (None, false));
        })
        .unwrap();
    }
}

/// A server that tells its status to nobody, as 3.5.30 does to users who are not root.
fn secretive(method: &str, _: Bytes) -> Said {
    match method {
        "Status" => refuses(Code::PermissionDenied, "etcdserver: permission denied"),
        "Range" => says(&pb::RangeResponse {
            header: Some(pb::ResponseHeader { revision: 1, ..Default::default() }),
            ..pb::RangeResponse::default()
        }),
        other => {
            let service = if other == "Downgrade" { "Maintenance" } else { "KV" };
            let text = format!("unknown method {other} for service etcdserverpb.{service}");
            refuses(Code::Unimplemented, &text)
        }
    }
}

// Case 3
#[test]
fn what_is_built_on_status_works_for_users_who_may_not_ask_for_it() {
    run(1, |world| async move {
        let _server = serve(&world, secretive);
        // A version that cannot be known is no reason not to connect.
        let config = Config::new([endpoint()]).min_server_version((3, 5));
        let runtime = Arc::new(world.host().runtime());
        let client = Client::connect_on(runtime, config).await.unwrap();

        // The version is unknown, with the cause.
        let told = client.maintenance().statuses().await;
        let error = told[0].status.as_ref().unwrap_err();
        assert!(error.is_permission_denied() && error.outcome() == Outcome::Rejected, "{error}");
        assert_eq!(error.attempts(), 1);

        // What the server lacks is told without its version, and done without where it can be.
        let lacks = |needs: (u16, u16)| ErrorKind::Unsupported { needs: needs.into(), has: None };
        let error = client.range_stream(etcd3::get("k")).next().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), lacks((3, 7)), "{error}");
        assert!(client.pages("k").next().await.unwrap().is_ok());
        let error = client.maintenance().validate_downgrade((3, 5)).await.unwrap_err();
        assert_eq!(error.kind(), lacks((3, 5)), "{error}");
        assert_eq!(client.get("k").await.unwrap().count, 0);
    })
    .unwrap();
}

// V1–V5: the version is told where the server has told it.
#[test]
fn what_a_server_lacks_is_told_with_its_version_if_that_is_known() {
    run(1, |world| async move {
        let _server = serve(&world, |method, message| match method {
            "Status" => says(&pb::StatusResponse {
                version: "3.3.27".into(),
                ..pb::StatusResponse::default()
            }),
            "MemberPromote" => refuses(
                Code::Unimplemented,
                "unknown method MemberPromote for service etcdserverpb.Cluster",
            ),
            other => secretive(other, message),
        });
        let client = client(&world);
        let maintenance = client.maintenance();
        let kind = |needs: (u16, u16), has: Option<(u16, u16)>| ErrorKind::Unsupported {
            needs: needs.into(),
            has: has.map(Version::from),
        };
        let error = maintenance.enable_downgrade((3, 4)).await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (kind((3, 5), None), Outcome::Rejected));
        maintenance.status(endpoint()).await.unwrap();
        let error = maintenance.enable_downgrade((3, 4)).await.unwrap_err();
        assert_eq!(error.kind(), kind((3, 5), Some((3, 3))));
        let text = "Downgrade: this needs etcd 3.5, and the server is of version 3.3";
        assert!(error.to_string().starts_with(text), "{error}");
        let promoted = client.rpc(pb::MemberPromoteRequest { id: 7 }).await;
        assert_eq!(promoted.unwrap_err().kind(), kind((3, 4), Some((3, 3))));
    })
    .unwrap();
}

// M3: a leadership that moves while it is looked for is looked for once more, and not for ever.
#[test]
fn the_leader_is_looked_for_once_more_where_it_moved_meanwhile() {
    for (refusals, is_moved) in [(0, true), (1, true), (2, false)] {
        run(1, |world| async move {
            let mut asked = 0;
            let _server = serve(&world, move |method, message| {
                if method == "MoveLeader" {
                    let request = pb::MoveLeaderRequest::decode(message).unwrap();
                    assert_eq!(request.target_id, 8);
                    asked += 1;
                    assert!(asked <= 2, "it is asked for twice at most");
                    if asked <= refusals {
                        return refuses(Code::FailedPrecondition, "etcdserver: not leader");
                    }
                    return says(&pb::MoveLeaderResponse::default());
                }
                let header = pb::ResponseHeader { member_id: 7, ..Default::default() };
                says(&pb::StatusResponse { header: Some(header), leader: 7, ..Default::default() })
            });
            let moved = client(&world).maintenance().move_leader(8).await;
            let refused = moved.map(drop).map_err(|error| error.server_error());
            let not_leader = Some(ServerError::NotLeader);
            assert_eq!(refused, if is_moved { Ok(()) } else { Err(not_leader) });
        })
        .unwrap();
    }
}

// M3: a leader may name several addresses, not all of which this client can use.
#[test]
fn the_leader_is_reached_where_this_client_can_reach_it() {
    run(1, |world| async move {
        let _server = serve(&world, move |method, _| match method {
            "MoveLeader" => says(&pb::MoveLeaderResponse::default()),
            "MemberList" => {
                let client_urls = vec!["https://etcd-9:2379".into(), endpoint()];
                let leader = pb::Member { id: 9, client_urls, ..Default::default() };
                says(&pb::MemberListResponse { members: vec![leader], ..Default::default() })
            }
            _ => {
                let header = pb::ResponseHeader { member_id: 7, ..Default::default() };
                says(&pb::StatusResponse { header: Some(header), leader: 9, ..Default::default() })
            }
        });
        client(&world).maintenance().move_leader(8).await.unwrap();
    })
    .unwrap();
}
