//! One living endpoint of three: the others are ports where nobody listens.

use crate::load::{BlockingRuntime, Error, spawn};
use etcd3::Client;
use etcd3_lab::{Cluster, Ports};
use std::time::Instant;

/// Calls in all, and how many are in flight at once.
const CALLS: usize = PLACES * WORKERS * EACH;
const WORKERS: usize = 8;
/// Calls of one worker of one client.
const EACH: usize = 84;
/// The places that the living endpoint can have in the list.
const PLACES: usize = 3;

/// Calls a new client for each place that the living endpoint can have; tells whether none failed.
///
/// # Errors
///
/// When no port is free.
pub(super) fn run(runtime: &BlockingRuntime, cluster: &Cluster) -> Result<bool, Error> {
    let mut failures = Vec::new();
    let begin = Instant::now();
    for place in 0..PLACES {
        let mut ports = Ports::reserve(2)?;
        let mut urls =
            vec![format!("http://{}", ports.take()?), format!("http://{}", ports.take()?)];
        urls.insert(place, cluster.member(place).client_url());
        let client = match runtime.connect(urls) {
            Ok(client) => client,
            Err(error) => {
                failures.push(format!("connect: {error}"));
                continue;
            }
        };
        let tasks: Vec<_> = (0..WORKERS)
            .map(|worker| {
                spawn(&runtime.rt, calls(client.clone(), format!("dead/{place}/{worker}")))
            })
            .collect();
        for task in tasks {
            failures.extend(futures_lite::future::block_on(task));
        }
    }
    let (count, seconds) = (failures.len(), begin.elapsed().as_secs_f64());
    println!("one living endpoint of three: {count} of {CALLS} calls failed, in {seconds:.1} s");
    for failure in failures.iter().take(3) {
        println!("BROKEN one living endpoint of three: {failure}");
    }
    Ok(failures.is_empty())
}

/// Makes one worker's share of the calls, half of them writes, and returns the failures.
async fn calls(client: Client, stem: String) -> Vec<String> {
    let mut failures = Vec::new();
    for turn in 0..EACH {
        let key = format!("{stem}/{}", turn / 2);
        let error = if turn % 2 == 0 {
            client.put(key, "x").await.err()
        } else {
            client.get(key).await.err()
        };
        failures.extend(error.map(|error| error.report().to_string()));
    }
    failures
}
