//! A batch of worlds, each a cluster and its clients under faults, checked to the last revision.
//!
//! With optimisation it stops at the first of 1,000 seeds that fails; without, it runs a few.
#![allow(clippy::unwrap_used)]

#[allow(dead_code, reason = "the example prints more than is checked here")]
#[path = "../examples/worlds/leasing/mod.rs"]
mod leasing;
#[allow(dead_code, reason = "the example prints more than is checked here")]
#[path = "../examples/worlds/tally.rs"]
mod tally;
#[allow(dead_code, reason = "the example prints more than is checked here")]
#[path = "../examples/worlds/watching/mod.rs"]
mod watching;
#[allow(dead_code, reason = "the example prints more than is checked here")]
#[path = "../examples/worlds/world.rs"]
mod world;

use etcd3::runtime::Instant;
use std::time::Duration;
use world::{Plan, simulate, trace};

const SEEDS: u64 = if cfg!(debug_assertions) { 5 } else { 1000 };

// I-R1, I-R4, I-C10, I-C11
#[test]
fn every_world_holds() {
    for seed in 0..SEEDS {
        if let Err(failure) = simulate(&Plan::draw(seed)) {
            panic!("seed {seed}: {failure}");
        }
    }
}

// Among ten thousand, the worlds whose watches, listings or caches did not hold once.
#[test]
fn worlds_that_did_not_hold_once_hold() {
    for seed in [105, 138, 237, 655, 6243, 9266, 9600] {
        if let Err(failure) = simulate(&Plan::without_leases(seed)) {
            panic!("seed {seed}: {failure}");
        }
    }
}

// I-L1, I-L8: among three thousand, the worlds whose leases did not hold once.
#[test]
fn worlds_whose_leases_did_not_hold_once_hold() {
    for seed in [830, 993, 2377] {
        if let Err(failure) = simulate(&Plan::draw(seed)) {
            panic!("seed {seed}: {failure}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 0..2 {
        let run = || simulate(&Plan::draw(seed)).unwrap().stats;
        let (first, second) = (run(), run());
        assert_eq!(first, second, "seed {seed}");
        assert_ne!(first.digest, simulate(&Plan::draw(seed + 100)).unwrap().stats.digest);
    }
}

#[test]
fn a_world_that_is_drawn_is_the_same() {
    for seed in 0..2 {
        let plan = Plan::draw(seed);
        let (report, trace) = (simulate(&plan).unwrap(), trace(&plan));
        assert_eq!(trace.end(), Instant::ORIGIN + report.stats.elapsed);
        assert_eq!(trace.marks(), []);
        let clients = trace.hosts().iter().filter(|lane| lane.name.starts_with("client "));
        let clients: Vec<_> = clients.map(|lane| lane.host).collect();
        assert_eq!(clients.len(), plan.clients as usize);
        let made = trace.calls().iter().filter(|call| clients.contains(&call.host)).count();
        assert_eq!(made as u64, report.tally.operations);
        assert!(trace.calls().len() > made, "members serve some");
        assert!(!trace.faults().is_empty());
    }
}

// A world in which nothing ever recovers: what is drawn shows that, and where it ends.
#[test]
fn a_world_that_fails_is_drawn_with_its_failure() {
    let plan = Plan { timeout: Duration::ZERO, ..Plan::draw(3) };
    let failure = simulate(&plan).err().expect("nothing is done in no time");
    let trace = trace(&plan);
    let mark = trace.marks().last().unwrap();
    assert_eq!((&mark.text, mark.at), (&failure, trace.end()));
}
