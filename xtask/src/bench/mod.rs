//! `cargo xtask bench`: what calls cost, beside the floor of h2 and the clients of others.
//!
//! All of it in one run: the programs take turns in each round, a client and its server are on a
//! core each, and what is printed is the median of the rounds with its spread. Instructions are
//! those in user space, told by the difference of two runs of different lengths.

mod growth;
pub(crate) mod judge;
mod latency;
mod measured;
pub(crate) mod programs;
pub(crate) mod rows;
mod save;
mod stats;
mod streams;

use crate::options::Options;
use crate::{ExitResult, shell, workspace};
use etcd3_lab::Result;
use judge::{Judge, say};
use measured::{GoCost, Measured};
use programs::{Job, NullServer, instructions, run as measure, system_calls};
use rows::{ADAPTERS, ALLOCATIONS, FLOOR, MULTI, ROWS, Row, SYSTEM_CALLS, plain, short};
use stats::Rounds;
use std::process::ExitCode;

const OURS: &str = "ours-tokio";
const PEER: &str = "etcd-client-tokio";

/// The number of rounds.
const ROUNDS: usize = 9;
const QUICK_ROUNDS: usize = 3;

pub(crate) fn run(options: &Options) -> ExitResult {
    let is_quick = options.has("--quick");
    let rounds = if is_quick { QUICK_ROUNDS } else { ROUNDS };
    programs::build(true)?;
    let has_go = programs::build_go().inspect_err(|error| {
        println!("Go's client is not here, its figures are from bench/go.tsv: {error}");
    });
    let server = NullServer::start()?;
    let mut judge = Judge::default();
    if options.has("--streams") {
        streams::run(&server.urls, rounds, has_go.is_ok(), &mut judge)?;
        return Ok(verdict(&judge));
    }
    let seen = calls(&server.urls, is_quick, rounds, has_go.is_ok(), &mut judge)?;
    system_calls_of_ours(&server.urls, is_quick, &mut judge)?;
    allocations(&server.urls, &mut judge)?;
    if !is_quick {
        against(&server.urls, rounds, &mut judge)?;
        streams::run(&server.urls, rounds, has_go.is_ok(), &mut judge)?;
        latency::run(&mut judge)?;
        growth::run(&server.urls, &mut judge)?;
    }
    if options.has("--save") {
        save::save(&seen, &judge, rounds)?;
    }
    Ok(verdict(&judge))
}

fn verdict(judge: &Judge) -> ExitCode {
    shell::heading("verdict");
    println!("{}", judge.summary());
    if judge.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Measures the rows, and prints them.
fn calls(
    urls: &str,
    is_quick: bool,
    rounds: usize,
    has_go: bool,
    judge: &mut Judge,
) -> Result<Vec<Measured>> {
    shell::heading("calls on tokio, one thread: instructions over the floor's");
    println!(
        "{:<8} {:>6} {:>7} {:>9} {:>9}  over the floor",
        "work", "size", "callers", "floor", "etcd3"
    );
    let mut all = Vec::new();
    for row in ROWS.iter().filter(|row| row.quick || !is_quick) {
        all.push((row, instructions_of(urls, row, judge)?));
    }
    shell::heading(&format!("processor time, median of {rounds} rounds, over etcd-client and Go"));
    println!(
        "{:<8} {:>6} {:>7} {:>9} {:>9} {:>11} {:>9}  over etcd-client; over Go",
        "work", "size", "callers", "floor", "etcd3", "etcd-client", "Go"
    );
    let mut seen = Vec::new();
    for (row, (floor_instructions, our_instructions)) in all {
        let (floor, ours, peer, go) = if has_go {
            let programs = ["floor", OURS, PEER, programs::GO];
            let [floor, ours, peer, go] = interleaved(programs, urls, row.job, rounds)?;
            (floor, ours, peer, GoCost::Measured(go))
        } else {
            let [floor, ours, peer] = interleaved(["floor", OURS, PEER], urls, row.job, rounds)?;
            let go = from_file(row.job)?.map(|over_floor| over_floor * floor.median());
            (floor, ours, peer, go.map_or(GoCost::Unknown, GoCost::FromFile))
        };
        let one =
            Measured { job: row.job, floor, ours, peer, go, floor_instructions, our_instructions };
        print_row(row, &one, judge);
        seen.push(one);
    }
    Ok(seen)
}

/// Counts the instructions of the floor and of this client.
fn instructions_of(urls: &str, row: &Row, judge: &mut Judge) -> Result<(f64, f64)> {
    let job = short(row.job);
    let (floor, ours) = (instructions("floor", urls, job)?, instructions(OURS, urls, job)?);
    let name = job.to_string();
    let verdict = judge.below(
        &format!("{name}: instructions over the floor"),
        ours / floor,
        row.limits.floor,
    );
    println!("{name} {floor:>9.0} {ours:>9.0}  {verdict}");
    let limit = FLOOR.iter().find(|(callers, _)| *callers == job.callers);
    if let Some((_, most)) = limit.filter(|_| job.work == "put" && job.size == 256) {
        judge.below(&format!("{name}: instructions of the floor"), floor, *most);
    }
    Ok((floor, ours))
}

fn print_row(row: &Row, seen: &Measured, judge: &mut Judge) {
    let name = row.job.to_string();
    let [floor, ours, peer] = [&seen.floor, &seen.ours, &seen.peer].map(|it| it.median() / 1000.0);
    // What the floor itself is over the others bounds what can be had.
    let over = |other: &Rounds, whose: &str| {
        let least = seen.floor.over(other).median();
        (format!("{name}: over {whose} (the floor: {least:.2})"), seen.ours.over(other))
    };
    let (text, over_peer) = over(&seen.peer, "etcd-client");
    let verdict = judge.spread(&text, &over_peer, row.limits.peer);
    let over_go = match &seen.go {
        GoCost::Measured(go) => {
            let (text, over_go) = over(go, "Go");
            judge.spread(&text, &over_go, row.limits.go)
        }
        GoCost::FromFile(go) => {
            format!("{:.2} of {:.2}, from a file", ours * 1000.0 / go, row.limits.go)
        }
        GoCost::Unknown => "unknown".to_owned(),
    };
    let go = seen.go.shown().map_or(0.0, |(figure, _)| figure / 1000.0);
    let times = format!("{floor:>6.1} us {ours:>6.1} us {peer:>8.1} us {go:>6.1} us");
    println!("{name} {times}  {verdict}; {over_go}");
}

/// Measures programs in turns; who begins changes from round to round.
fn interleaved<const N: usize>(
    programs: [&str; N],
    urls: &str,
    job: Job,
    rounds: usize,
) -> Result<[Rounds; N]> {
    let mut figures = [(); N].map(|()| Rounds::default());
    // A quick bench has short rounds, too.
    let job = if rounds < ROUNDS { Job { ops: job.ops / 3, ..job } } else { job };
    for round in 0..rounds {
        for turn in 0..N {
            let which = (round + turn) % N;
            let cpu = measure(programs[which], urls, job, &[])?.need("cpu_ns_per_op")?;
            figures[which].add(cpu);
        }
    }
    Ok(figures)
}

/// Compares the runtimes: two threads with etcd-client, other adapters with tokio.
fn against(urls: &str, rounds: usize, judge: &mut Judge) -> Result<()> {
    judge.heading("tokio on two threads: processor time of a put over etcd-client's");
    for (callers, most) in MULTI {
        let job = plain("put", *callers);
        let programs = ["ours-multi", "etcd-client-multi", "floor"];
        let [ours, peer, floor] = interleaved(programs, urls, job, rounds)?;
        let least = floor.over(&peer).median();
        let beside = format!("over etcd-client (the floor on one: {least:.2})");
        let name = format!("{job}, two threads: {beside}");
        let verdict = judge.spread(&name, &ours.over(&peer), *most);
        say!(judge, "{job} {verdict}");
    }
    judge.heading("smol and async-std: processor time of a put over tokio's");
    for (callers, most) in ADAPTERS {
        let job = plain("put", *callers);
        let programs = [OURS, "ours-smol", "ours-async-std"];
        let [tokio, smol, async_std] = interleaved(programs, urls, job, rounds)?;
        for (name, other) in [("smol", smol), ("async-std", async_std)] {
            let text = format!("{job}: {name} over tokio");
            let verdict = judge.spread(&text, &other.over(&tokio), *most);
            say!(judge, "{job} {name:<9} {verdict}");
        }
    }
    Ok(())
}

fn system_calls_of_ours(urls: &str, is_quick: bool, judge: &mut Judge) -> Result<()> {
    judge.heading("system calls of a call on tokio");
    let works: &[&'static str] = if is_quick { &["put"] } else { &["put", "get"] };
    for work in works {
        for (callers, most) in SYSTEM_CALLS {
            let job = short(plain(work, *callers));
            let (floor, ours) = (system_calls("floor", urls, job)?, system_calls(OURS, urls, job)?);
            let verdict = judge.below(&format!("{job}: system calls"), ours, *most);
            say!(judge, "{job} floor {floor:.2}, etcd3 {verdict}");
        }
    }
    Ok(())
}

fn allocations(urls: &str, judge: &mut Judge) -> Result<()> {
    judge.heading("allocations of a call");
    for work in ["put", "get"] {
        let job = plain(work, 16);
        for name in ["floor-counted", "ours-counted", "etcd-client-counted"] {
            let (count, bytes) = programs::allocations(name, urls, job)?;
            let mut line = format!("{count:.2}, {bytes:.0} bytes");
            if name == "ours-counted" {
                let (count_limit, bytes_limit) = ALLOCATIONS;
                let count = judge.below(&format!("{work}: allocations"), count, count_limit);
                let bytes = judge.below(&format!("{work}: allocated bytes"), bytes, bytes_limit);
                line = format!("{count}; {bytes} bytes");
            }
            say!(judge, "{job} {name:<20} {line}");
        }
    }
    Ok(())
}

/// Finds what Go's client costs over the floor, in a file that says where it comes from.
fn from_file(job: Job) -> Result<Option<f64>> {
    let text = workspace::read("bench/go.tsv")?;
    let found = text.lines().find_map(|line| {
        let words: Vec<&str> = line.split('\t').collect();
        let [work, size, callers, floor, go] = words[..] else { return None };
        let fits =
            work == job.work && size == job.size.to_string() && callers == job.callers.to_string();
        let (floor, go): (f64, f64) = (floor.parse().ok()?, go.parse().ok()?);
        fits.then_some(go / floor)
    });
    Ok(found)
}
