//! All interleavings of a small scope: two watches, three revisions, and every fault, for the
//! machine of watches; two leases and every fault for the one that keeps them alive.
//!
//! A state is the machine, a server, all that is on its way between them, and what those who watch
//! or hold a lease were told; time moves to the machine's own deadlines alone. The search goes
//! through all states that can be reached, each once. What must hold at any time is judged from
//! outside, with sets of events, or by the server's own clock; where nothing more can happen,
//! everything has to be delivered, and each lease to be renewed.

mod history;
mod leases;
mod search;
mod server;
mod world;

use etcd3_core::rng::Rng;
use search::{random_run, search_all, search_to};
use world::{Action, Budget, World};

impl search::World for World {
    type Action = Action;

    fn digest(&self) -> u64 {
        Self::digest(self)
    }

    fn actions(&self) -> Vec<Action> {
        Self::actions(self)
    }

    fn step(&mut self, action: Action) -> Result<(), String> {
        Self::step(self, action)
    }

    fn settle(&mut self) -> Result<(), String> {
        Self::settle(self)
    }

    fn path(&self) -> &[Action] {
        &self.path
    }
}

/// Which faults come together. One reader is slow in all of them.
#[derive(Clone, Copy)]
struct Scope {
    name: &'static str,
    budget: Budget,
    /// Whether the server answers requests for progress behind the events that came before.
    is_ordered: bool,
}

const fn scope(name: &'static str, budget: Budget) -> Scope {
    Scope { name, budget, is_ordered: true }
}

const CUTS: Scope = scope("two cuts", Budget { cuts: 2, ..Budget::NONE });
const PROGRESS: Scope =
    scope("a request for progress", Budget { requests: 1, ticks: 1, ..Budget::NONE });
const FAULTS: Scope = scope(
    "one of each fault",
    Budget { cuts: 1, compactions: 1, cancels: 1, refusals: 1, ..Budget::NONE },
);
const OLD_PROGRESS: Scope =
    Scope { name: "a request for progress, answered past events", is_ordered: false, ..PROGRESS };

impl Scope {
    /// Visits the states in this way, and says how many there are.
    fn search(self, how: impl Fn(World) -> Result<usize, String>) {
        let states = World::new(self.budget, self.is_ordered).and_then(how);
        let states = states.unwrap_or_else(|broken| panic!("{}: {broken}", self.name));
        println!("{}: {states} states", self.name);
    }
}

// I1–I7, I-W1–I-W10, in a small scope, and at first only the short runs of it.
#[test]
fn every_short_run_keeps_the_promises() {
    for scope in [FAULTS, CUTS, PROGRESS, OLD_PROGRESS] {
        scope.search(|first| search_to(9, first));
    }
}

/// More of everything than a search can go through.
const ALL: Budget =
    Budget { cuts: 8, compactions: 2, cancels: 1, refusals: 1, requests: 5, ticks: 12 };

// The same rules in long runs, drawn at random.
#[test]
fn long_random_runs_keep_the_promises() {
    let mut steps = 0;
    for seed in 0..3_000 {
        let mut rng = Rng::new(seed);
        let run = World::new(ALL, seed % 4 != 0).and_then(|first| random_run(first, &mut rng));
        let kept = run.unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
        steps += kept;
    }
    assert!(steps > 100_000, "too tame: {steps} steps");
}

macro_rules! to_the_end {
    ($($name:ident: $scope:ident;)*) => {
        $(#[test]
        #[ignore = "half a minute in a release build: `cargo xtask small-scopes`"]
        fn $name() {
            $scope.search(search_all);
        })*
    };
}

to_the_end! {
    all_runs_with_requests_for_progress: PROGRESS;
    all_runs_with_requests_for_progress_of_old_servers: OLD_PROGRESS;
    all_runs_with_one_of_each_fault: FAULTS;
    all_runs_with_two_cuts: CUTS;
}
