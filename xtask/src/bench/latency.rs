//! How long a call takes with a real etcd.

use super::judge::{Judge, say};
use super::programs::{Job, run as measure};
use super::rows::LATENCY;
use super::stats::Rounds;
use etcd3_lab::{Error, Result, Server, etcd};

const ROUNDS: usize = 5;
const CLIENTS: [&str; 3] = ["floor", "ours-tokio", "etcd-client-tokio"];

/// Compares the median latency of puts and of linearizable reads of a key that is not there.
pub(crate) fn run(judge: &mut Judge) -> Result<()> {
    let binary = etcd::fetch().binaries.pop().ok_or_else(|| Error::new("There is no etcd."))?;
    judge.heading(&format!("median latency with etcd {}", binary.version));
    let server = Server::builder().version(&binary).start()?;
    let url = server.client_url();
    for (work, size) in [("put", 256), ("get", 0)] {
        for callers in [1, 16] {
            let job = Job { work, size, callers, ops: 1000 * callers };
            let mut p50 = [const { Vec::new() }; 3].map(|_: Vec<f64>| Rounds::default());
            for round in 0..ROUNDS {
                for turn in 0..CLIENTS.len() {
                    let which = (round + turn) % CLIENTS.len();
                    let figures = measure(CLIENTS[which], &url, job, &["--latency"])?;
                    p50[which].add(figures.need("p50_ns")? / 1000.0);
                }
            }
            let [floor, ours, peer] = p50;
            let text = format!("{work}, {callers} callers: median latency over the floor's");
            let verdict = judge.spread(&text, &ours.over(&floor), LATENCY);
            let (floor, ours, peer) = (floor.median(), ours.median(), peer.median());
            let times = format!("{floor:>7.0} us {ours:>7.0} us {peer:>7.0} us");
            say!(judge, "{work:<8} {size:>6} {callers:>7} {times}  over the floor {verdict}");
        }
    }
    Ok(())
}
