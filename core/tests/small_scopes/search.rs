//! The search through all states, and random runs.

use etcd3_core::rng::Rng;
use std::collections::BTreeSet;
use std::fmt::Debug;

/// A machine, a server, and what is on its way between them.
pub(crate) trait World: Clone {
    /// What can happen next.
    type Action: Copy + Debug;

    /// Returns a number that is the same for worlds that go on in the same way.
    fn digest(&self) -> u64;

    /// Returns all that can happen now.
    fn actions(&self) -> Vec<Self::Action>;

    /// Lets one thing happen, and says what is not as it must be.
    fn step(&mut self, action: Self::Action) -> Result<(), String>;

    /// Lets all go well from now on, and says what does not come to its end.
    fn settle(&mut self) -> Result<(), String>;

    /// Returns what happened.
    fn path(&self) -> &[Self::Action];
}

/// One of so many of the states where a search ends before all was seen is let go on well.
const SETTLED: usize = 7;

/// Visits all states up to so many steps, breadth first, so that the shortest run that breaks a
/// rule is found; returns how many states there are.
pub(crate) fn search_to(depth: usize, first: impl World) -> Result<usize, String> {
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
pub(crate) fn search_all(first: impl World) -> Result<usize, String> {
    let mut seen = BTreeSet::from([first.digest()]);
    let mut open = vec![first];
    while let Some(world) = open.pop() {
        expand(world, &mut seen, &mut open)?;
    }
    Ok(seen.len())
}

/// Adds the states that follow and were not seen.
fn expand<W: World>(world: W, seen: &mut BTreeSet<u64>, next: &mut Vec<W>) -> Result<(), String> {
    let actions = world.actions();
    if actions.is_empty() {
        return settle(world);
    }
    for action in actions {
        let mut world = world.clone();
        if let Err(broken) = world.step(action) {
            return Err(format!("{broken}\nafter {:#?}", world.path()));
        }
        if seen.insert(world.digest()) {
            next.push(world);
        }
    }
    Ok(())
}

fn settle(mut world: impl World) -> Result<(), String> {
    world.settle().map_err(|broken| format!("{broken}\nafter {:#?}", world.path()))
}

/// Runs until nothing more can happen; returns the number of steps.
pub(crate) fn random_run(mut world: impl World, rng: &mut Rng) -> Result<usize, String> {
    loop {
        let actions = world.actions();
        let place = usize::try_from(rng.below(actions.len() as u64)).unwrap_or_default();
        let Some(action) = actions.get(place) else { break };
        if let Err(broken) = world.step(*action) {
            return Err(format!("{broken}\nafter {:#?}", world.path()));
        }
    }
    let steps = world.path().len();
    settle(world)?;
    Ok(steps)
}
