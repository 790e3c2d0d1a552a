//! Tries a program under many seeds, and reports the first failure with what it takes.

use crate::faults::{Planned, Scope, shrink, swarm};
use crate::trace::Trace;
use crate::world::{Stats, World, run_in};
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A seed under which a program failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The seed.
    pub seed: u64,
    /// What went wrong.
    pub failure: String,
    /// The faults that it takes: without any of them the program does not fail under this seed.
    pub faults: Vec<Planned>,
    /// How many faults the seed had drawn.
    pub drawn: usize,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {} failed: {}", self.seed, self.failure)?;
        write!(f, "it takes {} of its {} faults", self.faults.len(), self.drawn)?;
        self.faults.iter().try_for_each(|planned| write!(f, "\n  {planned}"))
    }
}

impl std::error::Error for Found {}

/// Runs a program once. A panic, a deadlock or a busy loop is a failure like any other.
///
/// # Errors
///
/// The failure, in words.
pub fn attempt<T, F: Future<Output = Result<T, String>>>(
    seed: u64,
    faults: &[Planned],
    program: &impl Fn(World, Vec<Planned>) -> F,
) -> Result<(T, Stats), String> {
    attempt_in(&World::new(seed), faults, program)
}

/// Runs a program once, as [`attempt`] does, and records it: the same seed and faults give the same
/// run. A failure is marked at the end of the record, if the program did not
/// [mark](World::mark_at) the same text where it belongs.
///
/// ```
/// use etcd3::Config;
/// use etcd3_sim::{ClusterConfig, Personality, World, explore, faults, record};
/// use std::time::Duration;
///
/// # fn main() -> std::io::Result<()> {
/// async fn program(world: World, faults: Vec<faults::Planned>) -> Result<(), String> {
///     let etcd = world.etcd(ClusterConfig::new(3, Personality::of(3, 7, 3), world.seed()));
///     let host = world.host();
///     let config = Config::new(etcd.endpoints()).request_timeout(Duration::from_secs(1));
///     let client = host.client(config).map_err(|e| e.to_string())?;
///     let (cluster, id) = (etcd.clone(), host.id());
///     host.spawn(async move { cluster.suffer(&faults, &[id]).await });
///     for _ in 0..50 {
///         let call = host.call("put", client.put("k", "v"));
///         call.await.map_err(|e| e.report().to_string())?;
///         world.sleep(Duration::from_millis(100)).await;
///     }
///     Ok(())
/// }
///
/// let scope = faults::Scope { clients: 1, members: 3, lasts: Duration::from_secs(5) };
/// let found = explore(0..100, scope, program).expect_err("some put takes over a second");
/// let (_, trace) = record(found.seed, &found.faults, &program);
/// assert_eq!(trace.marks()[0].text, found.failure);
/// # let folder = std::env::temp_dir().join(format!("etcd3-sim-{}", std::process::id()));
/// # let path = folder.join("failed.html");
/// trace.write_html(&path)?;
/// # std::fs::remove_dir_all(&folder)
/// # }
/// ```
pub fn record<T, F: Future<Output = Result<T, String>>>(
    seed: u64,
    faults: &[Planned],
    program: &impl Fn(World, Vec<Planned>) -> F,
) -> (Result<(T, Stats), String>, Trace) {
    let world = World::new(seed);
    world.record();
    let result = attempt_in(&world, faults, program);
    let mut trace = world.trace();
    if let Err(failure) = &result {
        trace.mark_failure(failure);
    }
    (result, trace)
}

fn attempt_in<T, F: Future<Output = Result<T, String>>>(
    world: &World,
    faults: &[Planned],
    program: &impl Fn(World, Vec<Planned>) -> F,
) -> Result<(T, Stats), String> {
    let once = || run_in(world, |world| program(world, faults.to_vec()));
    match catch_unwind(AssertUnwindSafe(once)) {
        Ok(Ok((Ok(output), stats))) => Ok((output, stats)),
        Ok(Ok((Err(failure), _))) => Err(failure),
        Ok(Err(stuck)) => Err(stuck.to_string()),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
            Err(format!("panicked: {}", text.unwrap_or_default()))
        }
    }
}

/// Runs a program under a schedule of faults, which its seed has drawn; where it fails, runs it
/// again and again under less of the schedule.
///
/// # Errors
///
/// The failure under the whole schedule, and what is left of that when the program does not fail
/// under less.
pub fn diagnose<T>(
    seed: u64,
    drawn: &[Planned],
    program: impl Fn(&[Planned]) -> Result<T, String>,
) -> Result<T, Found> {
    program(drawn).map_err(|failure| {
        let faults = shrink(drawn.to_vec(), |faults| program(faults).is_err());
        Found { seed, failure, faults, drawn: drawn.len() }
    })
}

/// Runs a program under seed after seed, each with a fault schedule of its own, until it fails.
///
/// The program gets its world and the schedule, which it hands to [`Etcd::suffer`]; it says what
/// must hold by returning an error, or by panicking.
///
/// [`Etcd::suffer`]: crate::Etcd::suffer
///
/// # Errors
///
/// The first failure, with its schedule shrunk to what it takes.
pub fn explore<T, F: Future<Output = Result<T, String>>>(
    seeds: impl IntoIterator<Item = u64>,
    scope: Scope,
    program: impl Fn(World, Vec<Planned>) -> F,
) -> Result<(), Found> {
    for seed in seeds {
        diagnose(seed, &swarm(seed, scope), |faults| attempt(seed, faults, &program))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::Fault;
    use std::time::Duration;

    #[test]
    fn a_failure_is_told_with_the_faults_that_it_takes() {
        let drawn: Vec<Planned> = [Fault::MoveLeader, Fault::Kill { member: 2 }]
            .into_iter()
            .cycle()
            .take(9)
            .zip(1..)
            .map(|(fault, at)| Planned {
                at: Duration::from_millis(at * 500),
                lasts: Duration::from_millis(20),
                fault,
            })
            .collect();
        let needed = [drawn[1], drawn[6]];
        let program = |faults: &[Planned]| {
            let is_bad = needed.iter().all(|fault| faults.contains(fault));
            if is_bad { Err(format!("under {} faults", faults.len())) } else { Ok(faults.len()) }
        };
        assert_eq!(diagnose(7, &drawn[..5], program), Ok(5));
        let found = diagnose(7, &drawn, program).unwrap_err();
        let lines = [
            "seed 7 failed: under 9 faults",
            "it takes 2 of its 9 faults",
            "     1.000 s  Kill { member: 2 }, 0.020 s",
            "     3.500 s  MoveLeader, 0.020 s",
        ];
        assert_eq!(found.to_string(), lines.join("\n"));
        assert_eq!(found.faults, needed);
    }
}
