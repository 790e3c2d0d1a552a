//! `cargo xtask cost`: what a call costs, in figures that repeat: instructions, allocations and
//! system calls.
//!
//! They have limits, and a file with what was measured last: a figure that is more than 5 % above
//! that fails, so that what makes calls dearer is seen when it is done. Instructions hang on the
//! compiler: under another one than the file's the floor is measured, too, and the ratio is judged.

use crate::bench::programs::{
    self, Job, NullServer, allocations, instructions, rustc, system_calls,
};
use crate::bench::rows::{ALLOCATIONS, SYSTEM_CALLS, plain, short};
use crate::options::Options;
use crate::{ExitResult, shell, workspace};
use etcd3_lab::{Error, Result};
use std::fmt::Write;
use std::process::ExitCode;

/// The file with the figures that were measured last.
const FILE: &str = "bench/results/cost.tsv";

/// Its second line; those after it that begin with `#` stay when it is made anew.
const MADE: &str = "# Made by `cargo xtask cost --save`, but for the reasons below.";

/// The largest multiple of the file's figure that is no growth.
const GROWTH: f64 = 1.05;

/// The number of measurements of a figure.
const TIMES: usize = 3;

/// The limits of the instructions of a call, by its work and its callers.
const INSTRUCTIONS: [(&str, u64, f64); 3] =
    [("put", 1, 35_500.0), ("put", 16, 32_000.0), ("get", 16, 33_000.0)];

/// The limit of what it adds to the instructions of a put to measure how long it takes, as a part
/// of them.
const MEASURED: f64 = 1.01;

/// Events that a watch delivers, 100 in a response.
const EVENTS: Job = Job { work: "flood", size: 100, callers: 1, ops: 4_000 };

/// The limits of an event: instructions, allocations and their bytes.
const EVENT: (f64, f64, f64) = (1_250.0, 0.25, 900.0);

/// Leases that live for three seconds, and are renewed in time.
const RENEWALS: Job = Job { work: "keep-alives", size: 3, callers: 1_000, ops: 3_000 };

/// The limits of an acknowledged renewal: instructions, allocations and their bytes.
const RENEWAL: (f64, f64, f64) = (10_500.0, 1.0, 350.0);

/// Leases that are counted by their bytes, and the limit of those of one with its handle.
const LEASES: Job = Job { callers: 10_000, ops: 10_000, ..RENEWALS };
const LEASE_BYTES: f64 = 800.0;

/// The limits of the instructions of the core's machines, by what they do.
const MACHINES: [(&str, f64); 5] = [
    ("machine-leases", 7_500.0),
    ("machine-call", 4_000.0),
    ("machine-channel", 1_000.0),
    ("machine-frame", 1_500.0),
    ("machine-head", 1_500.0),
];

/// A figure by its name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Figure {
    name: String,
    value: f64,
    /// Its limit, whatever it was before; figures of the floor have none.
    most: Option<f64>,
}

pub(crate) fn run(options: &Options) -> ExitResult {
    let figures = measure()?;
    if options.has("--save") {
        save(&figures)?;
        println!("wrote {FILE}");
    }
    println!("{}", check_figures(&figures)?);
    Ok(ExitCode::SUCCESS)
}

/// Returns the figures as a table.
///
/// # Errors
///
/// Fails when one is above its limit, or grew, and says which.
pub(crate) fn check_figures(figures: &[Figure]) -> Result<String> {
    let problems = judge(figures, &rustc(), &workspace::read(FILE)?);
    let table = table(figures);
    if problems.is_empty() {
        Ok(table)
    } else {
        Err(Error::new(format!("{table}\n{}", problems.join("\n"))))
    }
}

/// Measures this client, and the floor where the compiler makes a difference.
pub(crate) fn measure() -> Result<Vec<Figure>> {
    programs::build(false)?;
    shell::heading("what a call costs");
    let server = NullServer::start()?;
    let urls = server.urls.as_str();
    let mut figures = Vec::new();
    for (work, callers, most) in INSTRUCTIONS {
        let job = short(plain(work, callers));
        let floor = least(|| instructions("floor", urls, job))?;
        figures.push(figure("floor-instructions", job, floor, None));
        let ours = least(|| instructions("ours-tokio", urls, job))?;
        figures.push(figure("instructions", job, ours, Some(most)));
    }
    figures.push(measured(urls)?);
    let floor = least(|| instructions("floor", urls, EVENTS))?;
    figures.push(figure("floor-instructions", EVENTS, floor, None));
    let ours = least(|| instructions("ours-tokio", urls, EVENTS))?;
    figures.push(figure("instructions", EVENTS, ours, Some(EVENT.0)));
    let (count, bytes) = allocations("ours-counted", urls, EVENTS)?;
    figures.push(figure("allocations", EVENTS, count, Some(EVENT.1)));
    figures.push(figure("allocated-bytes", EVENTS, bytes, Some(EVENT.2)));
    leases(urls, &mut figures)?;
    for (work, most) in MACHINES {
        let job = Job { ops: 20_000, ..plain(work, 1) };
        figures.push(figure("instructions", job, instructions("machines", "-", job)?, Some(most)));
    }
    for work in ["put", "get"] {
        let job = plain(work, 16);
        let (count, bytes) = allocations("ours-counted", urls, job)?;
        figures.push(figure("allocations", job, count, Some(ALLOCATIONS.0)));
        figures.push(figure("allocated-bytes", job, bytes, Some(ALLOCATIONS.1)));
    }
    for work in ["put", "get"] {
        for (callers, most) in SYSTEM_CALLS {
            let job = short(plain(work, *callers));
            let count = least(|| system_calls("ours-tokio", urls, job))?;
            figures.push(figure("system-calls", job, count, Some(*most)));
        }
    }
    Ok(figures)
}

/// Measures what it adds to a put that its latency is measured. No clock is read for it: the time
/// is that of the polls, which are told it anyway.
fn measured(urls: &str) -> Result<Figure> {
    let job = short(plain("put", 1));
    let off = least(|| instructions("ours-tokio", urls, job))?;
    let on = least(|| instructions("ours-measured", urls, job))?;
    Ok(figure("measured-latency", job, on / off, Some(MEASURED)))
}

/// Measures leases that are kept alive.
fn leases(urls: &str, figures: &mut Vec<Figure>) -> Result<()> {
    let ours = least(|| instructions("ours-tokio", urls, RENEWALS))?;
    figures.push(figure("instructions", RENEWALS, ours, Some(RENEWAL.0)));
    let counted = programs::run("ours-counted", urls, LEASES, &[])?;
    let told = [
        ("allocations", "allocations_per_op", RENEWAL.1),
        ("allocated-bytes", "bytes_per_op", RENEWAL.2),
        ("held-bytes", "held_per_lease", LEASE_BYTES),
    ];
    for (name, told, most) in told {
        figures.push(figure(name, LEASES, counted.need(told)?, Some(most)));
    }
    Ok(())
}

/// Takes the least of some measurements: how much is written at a time hangs on who comes first,
/// and a machine that is busy with other things makes calls dearer, never cheaper.
fn least(measure: impl Fn() -> Result<f64>) -> Result<f64> {
    (0..TIMES).try_fold(f64::INFINITY, |least, _| Ok(least.min(measure()?)))
}

fn figure(name: &str, job: Job, value: f64, most: Option<f64>) -> Figure {
    let words = job.to_string();
    let words: Vec<&str> = words.split_whitespace().collect();
    Figure { name: format!("{name} {}", words.join(" ")), value, most }
}

/// Tells what is above its limit, or grew by more than it may.
fn judge(figures: &[Figure], rustc: &str, file: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let is_same = file.lines().next().and_then(|line| line.strip_prefix("# ")) == Some(rustc);
    let before = |name: &str| {
        let line = file.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('\t'));
        line.and_then(|value| value.parse::<f64>().ok())
    };
    let now = |name: &str| figures.iter().find(|it| it.name == name).map(|it| it.value);
    for Figure { name, value, most } in figures {
        let Some(most) = most else { continue };
        if value > most {
            problems.push(format!("{name}: {value:.2} is above the limit, {most}"));
        }
        // Those of the floor have the same name with another beginning.
        let floor = format!("floor-{name}");
        let (value, before) = match now(&floor) {
            Some(floor_now) if !is_same => {
                let floor_before = before(&floor);
                (value / floor_now, before(name).zip(floor_before).map(|(a, b)| a / b))
            }
            _ => (*value, before(name)),
        };
        match before {
            None => problems.push(format!("{name} is not in {FILE}: cargo xtask cost --save")),
            // System calls hang on who comes first, and are bounded by their limit alone.
            Some(before) if value > before * GROWTH && !name.starts_with("system-calls") => {
                problems.push(format!("{name}: {value:.2} is more than 5 % above {before:.2}"));
            }
            Some(_) => {}
        }
    }
    problems
}

fn table(figures: &[Figure]) -> String {
    let lines = figures.iter().map(|Figure { name, value, most }| {
        let most = most.map(|most| format!(" of {most:.2}")).unwrap_or_default();
        format!("{name:<36} {value:>10.2}{most}")
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn save(figures: &[Figure]) -> Result<()> {
    let mut text = format!("# {}\n{MADE}\n", rustc());
    // Why calls grew dearer, written by hand.
    let before = workspace::read(FILE).unwrap_or_default();
    for reason in before.lines().skip(2).filter(|line| line.starts_with('#')) {
        let _ = writeln!(text, "{reason}");
    }
    for Figure { name, value, .. } in figures {
        let _ = writeln!(text, "{name}\t{value:.2}");
    }
    std::fs::write(workspace::root().join(FILE), text)
        .map_err(|error| Error::new(format!("{FILE}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# rustc 1\n# Made.\ninstructions a\t100\nfloor-instructions a\t80\n";

    fn figures(ours: f64, floor: f64) -> Vec<Figure> {
        let name = |name: &str| format!("{name} a");
        vec![
            Figure { name: name("floor-instructions"), value: floor, most: None },
            Figure { name: name("instructions"), value: ours, most: Some(150.0) },
        ]
    }

    #[test]
    fn what_grew_by_more_than_a_twentieth_fails() {
        assert!(judge(&figures(104.9, 80.0), "rustc 1", FILE).is_empty());
        assert_eq!(judge(&figures(105.1, 80.0), "rustc 1", FILE).len(), 1);
        assert_eq!(judge(&figures(151.0, 80.0), "rustc 1", FILE).len(), 2);
        assert_eq!(judge(&figures(100.0, 80.0), "rustc 1", "").len(), 1);
    }

    #[test]
    fn under_another_compiler_the_ratio_to_the_floor_is_judged() {
        assert!(judge(&figures(120.0, 96.0), "rustc 2", FILE).is_empty());
        assert_eq!(judge(&figures(100.0, 70.0), "rustc 2", FILE).len(), 1);
    }
}
