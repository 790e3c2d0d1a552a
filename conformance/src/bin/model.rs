//! Compares the model etcd with real ones: `cargo xtask model`.
#![forbid(unsafe_code)]

use etcd3_conformance::differential::{
    Difference, DifferentialReport, Error, LIST_LEN, compare, shrink,
};
use etcd3_lab::etcd::{self, Binary};
use std::process::ExitCode;

/// Operations for each version, unless told otherwise. From here on every count has to be at least
/// [`MIN_COUNT`].
const OPERATIONS: u64 = 40_000;
const MIN_COUNT: u64 = 100;
/// The largest share of operations that end in an error, in percent.
const ERROR_SHARE: std::ops::RangeInclusive<f64> = 15.0..=40.0;
/// Columns of the table of counts.
const COLUMNS: usize = 2;

/// What the command line asks for.
#[derive(Debug, Default)]
struct Arguments {
    operations: Option<u64>,
    seed: Option<u64>,
    version: Option<String>,
}

fn main() -> ExitCode {
    match parse(std::env::args().skip(1)).and_then(|wanted| run(&wanted)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Arguments, Error> {
    let mut wanted = Arguments::default();
    while let Some(name) = words.next() {
        let value = words.next().ok_or_else(|| format!("{name} needs a value."))?;
        let number = || value.parse().map_err(|_| format!("{name} takes a whole number."));
        match name.as_str() {
            "--ops" => wanted.operations = Some(number()?),
            "--seed" => wanted.seed = Some(number()?),
            "--version" => wanted.version = Some(value),
            _ => return Err(format!("{name:?} is not understood.").into()),
        }
    }
    Ok(wanted)
}

/// Compares all versions; tells whether all is well.
fn run(wanted: &Arguments) -> Result<bool, Error> {
    let fetched = etcd::fetch();
    for missing in &fetched.missing {
        println!("{missing}");
    }
    let is_wanted = |etcd: &&Binary| {
        wanted.version.as_ref().is_none_or(|version| *version == etcd.version.to_string())
    };
    let binaries: Vec<_> = fetched.binaries.iter().filter(is_wanted).collect();
    if binaries.is_empty() {
        return Err("There is no etcd to compare with.".into());
    }
    let mut is_good = true;
    for etcd in binaries {
        is_good &= version(wanted, etcd)?;
    }
    Ok(is_good)
}

/// Compares one version.
fn version(wanted: &Arguments, etcd: &Binary) -> Result<bool, Error> {
    let operations = wanted.operations.unwrap_or(OPERATIONS);
    let list_len = u64::try_from(LIST_LEN)?;
    let seeds = match wanted.seed {
        Some(seed) => seed..seed.saturating_add(1),
        None => 0..operations.div_ceil(list_len),
    };
    let started = std::time::Instant::now();
    let report = compare(etcd, seeds)?;
    for seed in &report.unsteady {
        println!("seed {seed} differed once, and not when it ran again");
    }
    if let Some(found) = report.difference {
        tell_difference(etcd, found)?;
        return Ok(false);
    }
    let seconds = started.elapsed().as_secs_f64();
    let problems = if wanted.seed.is_none() { problems(&report) } else { Vec::new() };
    tell(etcd, &report, seconds);
    for problem in &problems {
        println!("    {problem}");
    }
    Ok(problems.is_empty() && report.unsteady.is_empty())
}

fn error_share(report: &DifferentialReport) -> f64 {
    let as_float = |count: u64| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    100.0 * as_float(report.counts.errors()) / as_float(report.counts.operations().max(1))
}

fn problems(report: &DifferentialReport) -> Vec<String> {
    let mut problems = Vec::new();
    let share = error_share(report);
    if !ERROR_SHARE.contains(&share) {
        problems.push(format!("{share:.1} % of the operations ended in an error."));
    }
    if report.counts.operations() >= OPERATIONS {
        let rare = report.counts.iter().filter(|(_, count)| *count < MIN_COUNT);
        problems.extend(rare.map(|(name, count)| format!("{name}: only {count}.")));
    }
    problems
}

fn tell(etcd: &Binary, report: &DifferentialReport, seconds: f64) {
    let counts: Vec<_> = report.counts.iter().collect();
    let rows = counts.len().div_ceil(COLUMNS);
    for row in 0..rows {
        for (name, count) in counts.iter().skip(row).step_by(rows) {
            print!("    {name:<64}{count:>8}");
        }
        println!();
    }
    println!(
        "etcd {}: the model agrees on {} operations, {:.1} % of them errors, in {seconds:.1} s",
        etcd.version,
        report.counts.operations(),
        error_share(report),
    );
}

fn tell_difference(etcd: &Binary, found: Difference) -> Result<(), Error> {
    let answers = |found: &Difference| {
        println!("  the model: {:?}", found.model);
        println!("  the server: {:?}", found.server);
        if let Some(log) = &found.log {
            println!("  its process ended:\n{log}");
        }
    };
    let seed = found.seed;
    println!("etcd {} and the model differ: seed {seed}, operation {}", etcd.version, found.index);
    answers(&found);
    let short = shrink(etcd, found)?;
    println!("the shortest list that still differs:");
    for (index, request) in short.list.iter().enumerate() {
        println!("  {index}: {request:?}");
    }
    answers(&short);
    println!("to run it again: cargo xtask model --seed {seed}");
    Ok(())
}
