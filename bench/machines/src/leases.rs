//! Many leases that are renewed in time, without a network.

use super::{LIMIT, Result};
use bytes::{Bytes, BytesMut};

use etcd3_core::backoff::Backoff;
use etcd3_core::call::Sent;
use etcd3_core::channel::{Admission, AttemptKind, ConnectionId, EndpointId};
use etcd3_core::frame::{self, Decoder};
use etcd3_core::lease::{Input, KeepAlive, Known, Output, Settings};
use etcd3_core::proto::etcdserverpb::{LeaseKeepAliveRequest, LeaseKeepAliveResponse};
use etcd3_core::transport::Event;
use etcd3_core::{Instant, LeaseId, Machine, Next};
use http::{HeaderMap, HeaderValue, StatusCode};
use prost::Message;
use std::time::Duration;

/// The number of leases.
const LEASES: i64 = 10_000;
/// Their time to live, in seconds.
const TTL: i64 = 60;
/// The time between two grants, in nanoseconds.
const INTERVAL: u64 = 2_000_000;
/// The time that an answer takes.
const LATENCY: Duration = Duration::from_millis(1);

const SETTINGS: Settings = Settings {
    backoff: Backoff { first: Duration::from_millis(50), cap: Duration::from_secs(3) },
    max_message_bytes: LIMIT,
    require_leader: true,
    only: None,
    linger: Duration::from_secs(5),
    seed: 1,
};

/// Renews leases so often in all, each when it is due.
pub(crate) fn renew(acknowledgements: u64) -> Result<()> {
    let (mut machine, mut now) = (KeepAlive::new(SETTINGS), Instant::ORIGIN);
    for number in 0..LEASES {
        // Ids as clients draw them, in no order.
        let id = LeaseId(number.wrapping_mul(0x5851_f42d_4c95_7f2d) & i64::MAX);
        // Granted one after another, as fast as they are renewed.
        let granted = Instant::from_nanos(number.unsigned_abs() * INTERVAL);
        let ttl = Duration::from_secs(TTL.unsigned_abs());
        let known = Known { ttl: Some(ttl), until: Some(granted + ttl), ..Known::default() };
        machine.handle(now, Input::Add(id, known));
    }
    let (mut renewed, mut answers) = (0, Vec::new());
    while renewed < acknowledgements {
        match machine.poll(now) {
            Next::Do(Output::Attempt(_)) => {
                machine.handle(now, Input::Sent(sent(now)));
                machine.handle(now, Input::Stream(head()));
            }
            Next::Do(Output::Send(frames)) => answers.push((now + LATENCY, answer(frames)?)),
            Next::Do(Output::Renewed(..)) => renewed += 1,
            Next::Do(other) => return Err(format!("not in time: {other:?}").into()),
            Next::Wait(due) => {
                let due = due.ok_or("nothing is waited for")?;
                match answers.first() {
                    Some((at, _)) if *at <= due => {
                        let (at, answer) = answers.remove(0);
                        now = at;
                        machine.handle(now, Input::Stream(Event::Data(answer)));
                    }
                    _ => now = due,
                }
            }
        }
    }
    Ok(())
}

/// Answers what was sent together, together.
fn answer(frames: Bytes) -> Result<Bytes> {
    let (mut decoder, mut answers) = (Decoder::new(LIMIT), BytesMut::new());
    decoder.push(frames);
    while let Some(message) = decoder.next_message()? {
        let id = LeaseKeepAliveRequest::decode(message)?.id;
        let answer = LeaseKeepAliveResponse { id, ttl: TTL, header: None };
        answers.extend_from_slice(&frame::encode(&answer, LIMIT)?);
    }
    Ok(answers.freeze())
}

fn head() -> Event {
    let mut headers = HeaderMap::with_capacity(1);
    headers.insert("content-type", HeaderValue::from_static("application/grpc"));
    Event::Head { status: StatusCode::OK, headers }
}

fn sent(now: Instant) -> Sent {
    let admission = Admission {
        kind: AttemptKind::Stream,
        endpoint: EndpointId(0),
        connection: ConnectionId(1),
        since: now,
        floor: None,
        has_choice: true,
    };
    Sent::new(&admission, None)
}
