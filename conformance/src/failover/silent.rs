//! All connections fall silent at once, and the members are well: what a NAT or a firewall does
//! that forgets its connections. New ones work.

use crate::load::{BlockingRuntime, Error, spawn};
use etcd3::{Client, Outcome};
use etcd3_lab::{Bridge, Cluster, Direction, Fault, Relays, load};
use std::time::{Duration, Instant};

const CALLERS: usize = 8;
/// Longer than the client needs to find out, whatever it was doing.
const DURATION: Duration = Duration::from_secs(14);
/// Beyond the interval of PINGs.
const IDLE: Duration = Duration::from_secs(12);
/// What a read may take with the defaults: `attempt_timeout`, the answer to a PING, and a second.
const READ: Duration = Duration::from_secs(3 + 5 + 1);

/// What one caller saw.
#[derive(Default)]
struct Seen {
    reads: usize,
    writes: usize,
    unknown: usize,
    longest_read: Duration,
    failures: Vec<String>,
}

/// Silences the connections of a busy client and of an idle one; tells whether all limits held.
///
/// # Errors
///
/// When there is no port for a proxy, or the client cannot connect.
pub(super) fn run(runtime: &BlockingRuntime, cluster: &Cluster) -> Result<bool, Error> {
    let mut held = true;
    for idle in [Duration::ZERO, IDLE] {
        held &= silence(runtime, cluster, idle)?;
    }
    Ok(held)
}

fn silence(runtime: &BlockingRuntime, cluster: &Cluster, idle: Duration) -> Result<bool, Error> {
    let members = cluster.members();
    let bridges: Vec<Bridge> =
        members.iter().map(|member| Bridge::new(member.addr())).collect::<Result<_, _>>()?;
    let client = runtime.connect(bridges.iter().map(Bridge::url))?;
    let connected = || bridges.iter().all(|bridge| bridge.connections().live == 1);
    etcd3_lab::until(READ, "a connection to each member", || Ok(connected().then_some(())))?;
    for bridge in &bridges {
        for relay in bridge.relays() {
            bridge.set_fault(Relays::One(relay), Direction::BOTH, Fault::new().silence());
        }
    }
    // The time is what this is about.
    std::thread::sleep(idle);
    let end = Instant::now() + DURATION;
    let callers: Vec<_> =
        (0..CALLERS).map(|caller| spawn(&runtime.rt, calls(client.clone(), caller, end))).collect();
    let seen: Vec<Seen> = callers.into_iter().map(futures_lite::future::block_on).collect();
    Ok(told(&seen, idle, load::stretched(READ)))
}

/// Prints what the callers saw, and the limits that did not hold.
fn told(seen: &[Seen], idle: Duration, most: Duration) -> bool {
    let sum = |count: fn(&Seen) -> usize| seen.iter().map(count).sum::<usize>();
    let longest = seen.iter().map(|it| it.longest_read).max().unwrap_or_default();
    let unknown = seen.iter().map(|it| it.unknown).max().unwrap_or_default();
    let failures: Vec<_> = seen.iter().flat_map(|it| &it.failures).collect();
    println!(
        "all connections silent, after {} s of idling: {} reads, the longest took {:.1} s of {} s; \
         {} writes, at most {unknown} of a caller unknown; {} calls failed otherwise",
        idle.as_secs(),
        sum(|it| it.reads),
        longest.as_secs_f64(),
        READ.as_secs(),
        sum(|it| it.writes),
        failures.len(),
    );
    let mut broken: Vec<String> = failures.iter().map(|failure| (*failure).clone()).collect();
    if longest > most {
        broken.push(format!("a read took {longest:?}"));
    }
    if unknown > 1 {
        broken.push(format!("{unknown} writes of one caller are unknown"));
    }
    for limit in broken.iter().take(3) {
        println!("BROKEN all connections silent: {limit}");
    }
    broken.is_empty()
}

/// Reads, or writes, one after the other until the end.
async fn calls(client: Client, caller: usize, end: Instant) -> Seen {
    let mut seen = Seen::default();
    let key = format!("silent/{caller}");
    while Instant::now() < end {
        let begin = Instant::now();
        let is_read = caller.is_multiple_of(2);
        let error = if is_read {
            client.get(key.as_str()).await.err()
        } else {
            client.put(key.as_str(), "x").await.err()
        };
        if is_read {
            seen.reads += 1;
            seen.longest_read = seen.longest_read.max(begin.elapsed());
        } else {
            seen.writes += 1;
        }
        match error {
            None => {}
            Some(error) if !is_read && error.outcome() == Outcome::Unknown => seen.unknown += 1,
            Some(error) => seen.failures.push(error.to_string()),
        }
    }
    seen
}
