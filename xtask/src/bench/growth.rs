//! Cost as work grows: tables that show slope.

use super::judge::{Judge, say};
use super::programs::{Job, float, run as measure};
use super::stats::Rounds;
use etcd3_lab::Result;
use std::fmt::Write;

/// The number of measurements of each figure.
const ROUNDS: usize = 3;

/// The limit of the exponent from the cheapest unit of work to the last: n log n has less.
const STEEPEST: f64 = 1.25;

/// The amounts of what grows.
const CALLERS: [u64; 8] = [1, 4, 16, 64, 256, 1024, 4096, 10_000];
const SIZES: [u64; 6] = [1, 256, 4096, 65_536, 1 << 20, 8_000_000];
const KEYS: [u64; 4] = [1000, 10_000, 100_000, 1_000_000];

pub(crate) fn run(urls: &str, judge: &mut Judge) -> Result<()> {
    for work in ["put", "get"] {
        let jobs = CALLERS.map(|callers| {
            let ops = if callers < 16 { 2000 } else { callers.max(4096) * 4 };
            (callers, Job { work, size: 256, callers, ops })
        });
        // So many calls cost so much together: a call of each caller.
        let heading = format!("{work} of 256 bytes, by callers: a call of each");
        let growth = Growth { heading: &heading, unit: "callers", jobs: &jobs };
        table(urls, &growth, |cpu, callers| cpu * float(callers), judge)?;
    }
    for (work, most) in [("put", 1 << 20), ("get", u64::MAX)] {
        let jobs = SIZES.into_iter().filter(|size| *size <= most).map(|size| {
            let ops = (20_000_000 / size.max(1)).clamp(20, 2000);
            (size, Job { work, size, callers: 1, ops })
        });
        let jobs: Vec<_> = jobs.collect();
        let heading = format!("{work} by one caller, by bytes");
        let growth = Growth { heading: &heading, unit: "bytes", jobs: &jobs };
        table(urls, &growth, |cpu, _| cpu, judge)?;
    }
    let jobs = KEYS.map(|keys| (keys, Job { work: "pages", size: keys, callers: 1, ops: 1 }));
    let heading = "a range read page by page, by keys";
    table(urls, &Growth { heading, unit: "keys", jobs: &jobs }, |cpu, _| cpu, judge)
}

/// What grows, and the jobs that show it.
struct Growth<'a> {
    heading: &'a str,
    /// The name of what grows.
    unit: &'a str,
    /// Its amounts, each with a job.
    jobs: &'a [(u64, Job)],
}

/// Prints the cost of each amount of work, beside the floor's, and how it grows.
fn table(
    urls: &str,
    growth: &Growth<'_>,
    cost: impl Fn(f64, u64) -> f64,
    judge: &mut Judge,
) -> Result<()> {
    let Growth { heading, unit, jobs } = growth;
    judge.heading(heading);
    say!(
        judge,
        "{unit:>9} {:>12} {:>12} {:>9} {:>12} {:>9}  memory grew by",
        "cost",
        "a unit",
        "exponent",
        "floor's unit",
        "exponent"
    );
    let mut points: [Vec<(f64, f64)>; 2] = Default::default();
    for (amount, job) in *jobs {
        let (cpu, memory) = measured(urls, *job)?;
        let mut line = String::new();
        for (points, cpu) in points.iter_mut().zip(cpu) {
            let point = (float(*amount), cost(cpu.median(), *amount));
            let slope = points.last().map(|last| format!("{:.2}", exponent(*last, point)));
            let (each, slope) = (unit_cost(&point), slope.unwrap_or_default());
            let _ = write!(line, " {each:>9.1} ns {slope:>9}");
            points.push(point);
        }
        let total = points[0].last().map_or(0.0, |point| point.1 / 1000.0);
        say!(judge, "{amount:>9} {total:>9.1} us{line}  {:.1} MB", memory / 1e6);
    }
    let [ours, floor] = points.map(|points| from_cheapest(&points));
    if let (Some(ours), Some(floor)) = (ours, floor) {
        // Caches are left by the floor, too.
        let most = STEEPEST.max(floor + 0.05);
        let verdict = judge.below(&format!("{heading}: exponent"), ours, most);
        say!(judge, "the exponent from the cheapest on: {verdict}; {floor:.2} of the floor");
    }
    Ok(())
}

/// Measures this client and the floor in turns, and how far the memory of this client grew.
fn measured(urls: &str, job: Job) -> Result<([Rounds; 2], f64)> {
    let (mut ours, mut floor, mut memory) = (Rounds::default(), Rounds::default(), 0.0_f64);
    for _ in 0..ROUNDS {
        let figures = measure("ours-tokio", urls, job, &[])?;
        ours.add(figures.need("cpu_ns_per_op")?);
        memory = memory.max(figures.need("memory_per_op")? * float(job.ops));
        floor.add(measure("floor", urls, job, &[])?.need("cpu_ns_per_op")?);
    }
    Ok(([ours, floor], memory))
}

fn unit_cost(point: &(f64, f64)) -> f64 {
    point.1 / point.0
}

/// Tells the exponent from where a unit is the cheapest to the end, unless that is the end.
fn from_cheapest(points: &[(f64, f64)]) -> Option<f64> {
    let last = points.last()?;
    let cheapest = points.iter().min_by(|a, b| unit_cost(a).total_cmp(&unit_cost(b)))?;
    (cheapest.0 < last.0).then(|| exponent(*cheapest, *last))
}

/// Tells `k` where the cost grows as `n^k` from one point to the other.
fn exponent(from: (f64, f64), to: (f64, f64)) -> f64 {
    (to.1 / from.1).ln() / (to.0 / from.0).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cheapest_at_the_end_has_no_exponent() {
        assert_eq!(from_cheapest(&[(1.0, 8.0), (2.0, 9.0)]), None);
        let steep = from_cheapest(&[(1.0, 8.0), (2.0, 8.0), (4.0, 32.0)]);
        assert!((steep.unwrap_or_default() - 2.0).abs() < 1e-9);
    }

    #[test]
    fn the_exponent_of_a_power_is_that_power() {
        assert!((exponent((10.0, 5.0), (1000.0, 50_000.0)) - 2.0).abs() < 1e-9);
        assert!(exponent((1.0, 7.0), (64.0, 7.0)).abs() < 1e-9);
    }
}
