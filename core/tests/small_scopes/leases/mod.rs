//! Two leases and every fault, for the machine that keeps them alive.

mod world;

use crate::search::{random_run, search_all, search_to};
use etcd3_core::rng::Rng;
use world::{Budget, Leases, NONE};

/// The scopes: which faults come together.
const SCOPES: [(&str, Budget); 4] = [
    ("late answers and calls", Budget { ticks: 5, failures: 1, ..NONE }),
    ("a stream that ends, and one that breaks", Budget { ticks: 4, cuts: 1, ends: 1, ..NONE }),
    ("a suspension", Budget { ticks: 4, suspensions: 2, ..NONE }),
    ("leases that end and come again", Budget { ticks: 4, revocations: 1, regrants: 1, ..NONE }),
];

/// The same, with more of everything, and all of it at once.
const LONG_SCOPES: [(&str, Budget); 5] = [
    ("late answers and calls", Budget { ticks: 10, failures: 2, ..NONE }),
    ("streams that end and break", Budget { ticks: 6, cuts: 2, ends: 1, ..NONE }),
    ("suspensions", Budget { ticks: 6, suspensions: 2, ..NONE }),
    ("leases that end and come again", Budget { ticks: 6, revocations: 1, regrants: 1, ..NONE }),
    (
        "one of each fault",
        Budget {
            ticks: 3,
            cuts: 1,
            ends: 1,
            failures: 1,
            revocations: 1,
            suspensions: 1,
            regrants: 1,
        },
    ),
];

fn search(name: &str, budget: Budget, how: impl Fn(Leases) -> Result<usize, String>) {
    let states = Leases::new(budget).and_then(how);
    let states = states.unwrap_or_else(|broken| panic!("{name}: {broken}"));
    println!("{name}: {states} states");
}

// I-L1, I-L3–I-L5, I-L8, L45, L46, in a small scope, and at first only the short runs of it.
#[test]
fn every_short_run_keeps_leases_alive() {
    for (name, budget) in SCOPES {
        search(name, budget, |first| search_to(9, first));
    }
}

/// More of everything than a search can go through.
const ALL: Budget = Budget {
    ticks: 30,
    cuts: 3,
    ends: 2,
    failures: 4,
    revocations: 1,
    suspensions: 3,
    regrants: 2,
};

// The same rules in long runs, drawn at random.
#[test]
fn long_random_runs_keep_leases_alive() {
    let mut steps = 0;
    for seed in 0..1_500 {
        let mut rng = Rng::new(seed);
        let run = Leases::new(ALL).and_then(|first| random_run(first, &mut rng));
        steps += run.unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
    }
    assert!(steps > 50_000, "too tame: {steps} steps");
}

#[test]
#[ignore = "half a minute in a release build: `cargo xtask small-scopes`"]
fn all_runs_of_leases() {
    for (name, budget) in LONG_SCOPES {
        search(name, budget, search_all);
    }
}
