//! Many seeds at once, on all cores.

use std::num::NonZero;
use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// What came of a program under many seeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch<T> {
    /// What the program returned where all held, in the order of seeds.
    pub held: Vec<T>,
    /// The other seeds, in their order, and what did not hold under each.
    pub failed: Vec<(u64, String)>,
}

impl<T: Send> Batch<T> {
    /// Runs a program once under each of these seeds, on as many threads as there are cores; the
    /// result is the same on any number of them if the program depends on its seed alone.
    ///
    /// A failure does not end the batch; [`explore`](crate::explore) ends at the first one.
    ///
    /// # Panics
    ///
    /// When the program does; [`attempt`](crate::attempt) makes a panic a failure.
    ///
    /// ```
    /// use etcd3::Config;
    /// use etcd3_sim::{Batch, ClusterConfig, Personality, World, attempt};
    ///
    /// async fn program(world: World) -> Result<i64, String> {
    ///     let etcd = world.etcd(ClusterConfig::new(3, Personality::of(3, 7, 3), world.seed()));
    ///     let client = world.host().client(Config::new(etcd.endpoints()));
    ///     let put = client.map_err(|e| e.to_string())?.put("k", "v").await;
    ///     put.map(|put| put.header.revision).map_err(|error| error.report().to_string())
    /// }
    ///
    /// let batch = Batch::run(0..10, |seed| {
    ///     attempt(seed, &[], &|world, _| program(world)).map(|(revision, _)| revision)
    /// });
    /// assert_eq!(batch.held, [2; 10]);
    /// assert!(batch.failed.is_empty());
    /// ```
    pub fn run(seeds: Range<u64>, program: impl Fn(u64) -> Result<T, String> + Sync) -> Self {
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        let mut batch = Self { held: Vec::new(), failed: Vec::new() };
        for (seed, result) in run_on(threads, seeds, &program) {
            match result {
                Ok(output) => batch.held.push(output),
                Err(failure) => batch.failed.push((seed, failure)),
            }
        }
        batch
    }
}

/// Runs a program on so many threads; returns what it returned for each seed, in their order.
fn run_on<T: Send>(
    threads: usize,
    seeds: Range<u64>,
    program: &(impl Fn(u64) -> T + Sync),
) -> Vec<(u64, T)> {
    let next = AtomicU64::new(seeds.start);
    let seed = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|seed| *seed < seeds.end);
    let work = || std::iter::from_fn(seed).map(|seed| (seed, program(seed))).collect();
    let mut results: Vec<(u64, T)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let join = |worker: thread::ScopedJoinHandle<'_, Vec<_>>| {
            worker.join().unwrap_or_else(|panic| resume_unwind(panic))
        };
        workers.into_iter().flat_map(join).collect()
    });
    results.sort_by_key(|(seed, _)| *seed);
    results
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::catch_unwind;
    use std::sync::Barrier;

    #[test]
    fn every_seed_runs_once_whatever_fails() {
        for threads in [1, 2, 7] {
            let results = run_on(threads, 5..40, &|seed| seed * 2);
            assert!(results.into_iter().eq((5..40).map(|seed| (seed, seed * 2))), "{threads}");
        }
        let odd = |seed: u64| {
            if seed.is_multiple_of(2) { Ok(seed) } else { Err(format!("{seed} is odd")) }
        };
        let batch = Batch::run(3..7, odd);
        let failed = vec![(3, "3 is odd".to_owned()), (5, "5 is odd".to_owned())];
        assert_eq!(batch, Batch { held: vec![4, 6], failed });
        assert_eq!(Batch::run(3..3, odd), Batch { held: vec![], failed: vec![] });
    }

    // Neither could return without the other.
    #[test]
    fn seeds_run_beside_each_other() {
        let both = Barrier::new(2);
        let results = run_on(2, 0..2, &|_| both.wait().is_leader());
        assert_eq!(results.iter().filter(|(_, is_leader)| *is_leader).count(), 1);
    }

    #[test]
    fn a_panic_of_the_program_is_passed_on() {
        let panic = catch_unwind(|| {
            Batch::run(0..10, |seed| if seed == 7 { panic!("seed {seed}") } else { Ok(()) })
        });
        let text = panic.unwrap_err().downcast_ref::<String>().cloned();
        assert_eq!(text.as_deref(), Some("seed 7"));
    }
}
