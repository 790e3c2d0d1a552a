//! All interleavings of a small scope: two watches, three revisions, and every fault, for the
//! machine of watches.
//!
//! A state is the machine, a server, all that is on its way between them, and what those who watch
//! were told; time moves to the machine's own deadlines alone. The search goes through all states
//! that can be reached, each once. What must hold at any time is judged from outside, with sets of
//! events; where nothing more can happen, everything has to be delivered.

mod history;
mod server;
mod world;

use etcd3_core::rng::Rng;
use std::collections::BTreeSet;
use world::{Budget, World};

/// One of so many of the states where a search ends before all was seen is let go on well.
const SETTLED: usize = 7;

/// Visits all states up to so many steps, breadth first, so that the shortest run that breaks a
/// rule is found; returns how many states there are.
fn search_to(depth: usize, first: World) -> Result<usize, String> {
    let mut seen = BTreeSet::from([first.digest()]);
    let mut frontier = vec![first];
    for _ in 0..depth {
        let mut next = vec![];
        for world in frontier {
            expand(world, &mut seen, &mut next)?;
        }
        frontier = next;
    }
    frontier.into_iter().step_by(SETTLED).try_for_each(settle)?;
    Ok(seen.len())
}

/// Visits all states there are, depth first, which takes the least memory; returns how many there
/// are.
fn search_all(first: World) -> Result<usize, String> {
    let mut seen = BTreeSet::from([first.digest()]);
    let mut open = vec![first];
    while let Some(world) = open.pop() {
        expand(world, &mut seen, &mut open)?;
    }
    Ok(seen.len())
}

/// Adds the states that follow and were not seen.
fn expand(world: World, seen: &mut BTreeSet<u64>, next: &mut Vec<World>) -> Result<(), String> {
    let actions = world.actions();
    if actions.is_empty() {
        return settle(world);
    }
    for action in actions {
        let mut world = world.clone();
        if let Err(broken) = world.step(action) {
            return Err(format!("{broken}\nafter {:#?}", world.path));
        }
        if seen.insert(world.digest()) {
            next.push(world);
        }
    }
    Ok(())
}

fn settle(mut world: World) -> Result<(), String> {
    world.settle().map_err(|broken| format!("{broken}\nafter {:#?}", world.path))
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
        let kept = random_run(&mut rng, seed % 4 != 0).unwrap_or_else(|broken| {
            panic!("seed {seed}: {broken}");
        });
        steps += kept;
    }
    assert!(steps > 100_000, "too tame: {steps} steps");
}

/// Runs until nothing more can happen; returns the number of steps.
fn random_run(rng: &mut Rng, is_ordered: bool) -> Result<usize, String> {
    let mut world = World::new(ALL, is_ordered)?;
    loop {
        let actions = world.actions();
        let place = usize::try_from(rng.below(actions.len() as u64)).unwrap_or_default();
        let Some(action) = actions.get(place) else { break };
        if let Err(broken) = world.step(*action) {
            return Err(format!("{broken}\nafter {:#?}", world.path));
        }
    }
    let steps = world.path.len();
    settle(world)?;
    Ok(steps)
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
