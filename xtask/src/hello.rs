//! `cargo xtask hello`: what a program costs to build that puts one key, with this client and with
//! etcd-client.
//!
//! Both are built as a user would: release profile, default features, from nothing. They take
//! turns, and the second build of each counts: the first one fills the caches of the machine. Each
//! puts its key into a real etcd before anything is said about it.

use crate::crates::Crates;
use crate::options::Options;
use crate::{ExitResult, shell, workspace};
use etcd3_lab::{Error, Result, Server, protoc};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

/// The largest number of crates of such a program, itself included.
const MAX_CRATES: usize = 40;
/// The limit of one build.
const BUILD_LIMIT: Duration = Duration::from_secs(30 * 60);
/// The limit of a run of one of the programs.
const RUN_LIMIT: Duration = Duration::from_secs(60);
/// The number of times that each program is built.
const BUILDS: usize = 2;

const OURS: &str = "hello-etcd3";
const THEIRS: &str = "hello-etcd-client";

/// A script that prints the processor time of all its processes, after the program's own output.
const TIMED: &str = r#""$@" || exit; times"#;

/// The cost of a program.
struct Cost {
    crates: usize,
    /// Whether its build needs `protoc`.
    protoc: bool,
    build: Build,
    stripped_bytes: u64,
}

/// A build from nothing.
struct Build {
    wall_seconds: f64,
    cpu_seconds: f64,
    bytes: u64,
}

pub(crate) fn run(_options: &Options) -> ExitResult {
    let crates = [crates_of_ours()?, crates_of(THEIRS)?];
    check_crates(&crates[0])?;
    let server = Server::start()?;
    let costs = build_both(&crates, &server)?;
    shell::heading("a program that puts one key, tokio, no TLS, release profile, default features");
    println!("{}", table(&costs));
    let problems = problems(&costs);
    for problem in &problems {
        println!("!!! {problem}");
    }
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Returns the crates of the program that uses this client.
///
/// # Errors
///
/// Fails when cargo does not know them.
pub(crate) fn crates_of_ours() -> Result<Crates> {
    crates_of(OURS)
}

/// Counts the crates of the program that uses this client.
///
/// # Errors
///
/// Fails when there are too many, or one of ours has a build script.
pub(crate) fn check_crates(crates: &Crates) -> Result<usize> {
    let scripts = crates.own_build_scripts()?;
    if !scripts.is_empty() {
        return Err(Error::new(format!("build scripts of ours: {}", scripts.join(", "))));
    }
    crates.at_most(MAX_CRATES)
}

fn crates_of(program: &str) -> Result<Crates> {
    Crates::of(program, &["--manifest-path", "bench/Cargo.toml"])
}

/// Builds both programs, in turns, and lets each put its key.
fn build_both(crates: &[Crates; 2], server: &Server) -> Result<[Cost; 2]> {
    let mut costs = None;
    for turn in 1..=BUILDS {
        let mut pair = Vec::new();
        for (program, crates) in [OURS, THEIRS].into_iter().zip(crates) {
            shell::heading(&format!("building {program} from nothing, {turn} of {BUILDS}"));
            let cost = cost_of(program, crates, server)?;
            println!("    {}", shell::time(cost.build.wall_seconds));
            pair.push(cost);
        }
        costs = <[Cost; 2]>::try_from(pair).ok();
    }
    costs.ok_or_else(|| Error::new("nothing was built"))
}

fn cost_of(program: &str, crates: &Crates, server: &Server) -> Result<Cost> {
    let target =
        tempfile::tempdir().map_err(|error| Error::new(format!("a target folder: {error}")))?;
    // A build that compiles protocols does so by this crate, which calls protoc.
    let protoc = crates.find("prost-build").is_some();
    let build = build(program, protoc, target.path())?;
    let mut hello = Command::new(target.path().join("release").join(program));
    let ended = shell::capture(hello.arg(server.client_url()), RUN_LIMIT)?;
    if !ended.ok() {
        return Err(Error::new(format!("{program}: {}", ended.output)));
    }
    // Only the program itself is compiled again.
    let mut stripping = cargo("rustc", program, protoc, target.path())?;
    stripping.args(["--", "-C", "strip=symbols"]);
    finish(&stripping)?;
    let stripped_bytes = size_of(program, target.path())?;
    Ok(Cost { crates: crates.len(), protoc, build, stripped_bytes })
}

fn build(program: &str, protoc: bool, target: &Path) -> Result<Build> {
    let cargo = cargo("build", program, protoc, target)?;
    let mut timed = Command::new("sh");
    timed.args(["-c", TIMED, "timed"]).arg(cargo.get_program()).args(cargo.get_args());
    timed.current_dir(workspace::root());
    for (name, value) in cargo.get_envs() {
        match value {
            Some(value) => timed.env(name, value),
            None => timed.env_remove(name),
        };
    }
    let (output, wall_seconds) = finish(&timed)?;
    let last = output.lines().next_back().unwrap_or_default();
    let cpu_seconds = cpu_seconds(last).ok_or_else(|| Error::new(format!("no times: {last}")))?;
    Ok(Build { wall_seconds, cpu_seconds, bytes: size_of(program, target)? })
}

/// Makes a command line of cargo for a program, in a target folder of its own.
fn cargo(verb: &str, program: &str, protoc: bool, target: &Path) -> Result<Command> {
    let mut cargo = workspace::cargo([verb, "--locked", "--release", "-p", program]);
    cargo.args(["--manifest-path", "bench/Cargo.toml", "--target-dir"]).arg(target);
    // The profile of a new program, not the one of the workspace.
    cargo.env("CARGO_PROFILE_RELEASE_DEBUG", "0");
    if protoc {
        protoc::find()?.offer(&mut cargo);
    } else {
        // It has to do without; a call of protoc fails.
        cargo.env("PROTOC", "no-protoc-here");
    }
    Ok(cargo)
}

fn finish(command: &Command) -> Result<(String, f64)> {
    let ended = shell::capture(command, BUILD_LIMIT)?;
    if ended.ok() { Ok((ended.output, ended.seconds)) } else { Err(Error::new(ended.output)) }
}

fn size_of(program: &str, target: &Path) -> Result<u64> {
    let file = target.join("release").join(program);
    let metadata =
        file.metadata().map_err(|error| Error::new(format!("{}: {error}", file.display())))?;
    Ok(metadata.len())
}

/// Adds up the two times in the last line of the shell's `times`, such as `1m2.5s 0m3s`.
fn cpu_seconds(line: &str) -> Option<f64> {
    let mut times = line.split_whitespace().map(|word| {
        let (minutes, seconds) = word.strip_suffix('s')?.split_once('m')?;
        Some(60.0 * minutes.parse::<f64>().ok()? + seconds.parse::<f64>().ok()?)
    });
    let sum = times.next()?? + times.next()??;
    times.next().is_none().then_some(sum)
}

fn table([ours, theirs]: &[Cost; 2]) -> String {
    let yes = |it: bool| if it { "yes" } else { "no" }.to_owned();
    let seconds = |it: f64| format!("{it:.1} s");
    let rows = [
        ("", "etcd3".to_owned(), "etcd-client".to_owned()),
        ("crates", ours.crates.to_string(), theirs.crates.to_string()),
        ("protoc needed", yes(ours.protoc), yes(theirs.protoc)),
        (
            "clean build, CPU time",
            seconds(ours.build.cpu_seconds),
            seconds(theirs.build.cpu_seconds),
        ),
        ("clean build, wall", seconds(ours.build.wall_seconds), seconds(theirs.build.wall_seconds)),
        ("binary", mebibytes(ours.build.bytes), mebibytes(theirs.build.bytes)),
        ("binary, stripped", mebibytes(ours.stripped_bytes), mebibytes(theirs.stripped_bytes)),
    ];
    let lines = rows.map(|(what, ours, theirs)| format!("    {what:<24}{ours:>12}{theirs:>14}"));
    lines.join("\n")
}

fn mebibytes(bytes: u64) -> String {
    let hundredths = (bytes * 100).div_ceil(1 << 20);
    format!("{}.{:02} MiB", hundredths / 100, hundredths % 100)
}

/// Lists what must hold and does not.
fn problems([ours, theirs]: &[Cost; 2]) -> Vec<&'static str> {
    let less = [
        (ours.build.cpu_seconds < theirs.build.cpu_seconds, "its build takes more CPU time"),
        (ours.build.wall_seconds < theirs.build.wall_seconds, "its build takes longer"),
        (ours.build.bytes < theirs.build.bytes, "its binary is larger"),
        (ours.stripped_bytes < theirs.stripped_bytes, "its stripped binary is larger"),
        (!ours.protoc, "its build needs protoc"),
    ];
    less.into_iter().filter_map(|(holds, problem)| (!holds).then_some(problem)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(size: u64, protoc: bool) -> Cost {
        let seconds = f64::from(u32::try_from(size).unwrap());
        let build = Build { wall_seconds: seconds, cpu_seconds: seconds, bytes: size };
        Cost { crates: 3, protoc, build, stripped_bytes: size }
    }

    #[test]
    fn times_of_the_shell_are_added_up() {
        assert_eq!(cpu_seconds("1m2.5s 0m3.25s"), Some(65.75));
        for other in ["", "1m2.5s", "1m2s 0m3s 0m1s", "a b", "Finished in 3s"] {
            assert_eq!(cpu_seconds(other), None, "{other}");
        }
    }

    #[test]
    fn sizes_are_rounded_up() {
        assert_eq!(mebibytes(3 << 20), "3.00 MiB");
        assert_eq!(mebibytes((3 << 20) + 1), "3.01 MiB");
    }

    #[test]
    fn ours_has_to_be_less_in_all() {
        assert_eq!(problems(&[cost(1, false), cost(2, true)]), [""; 0]);
        assert_eq!(problems(&[cost(2, false), cost(2, true)]).len(), 4);
        assert_eq!(problems(&[cost(1, true), cost(2, true)]), ["its build needs protoc"]);
    }

    #[test]
    fn too_many_crates_are_refused() {
        let tree = |count: usize| {
            let crates: Vec<String> = (1..count).map(|i| format!("c{i} v1.0.0")).collect();
            Crates::read(OURS, &format!("{OURS} v0.1.0\n{}", crates.join("\n"))).unwrap()
        };
        assert_eq!(check_crates(&tree(MAX_CRATES)), Ok(MAX_CRATES));
        assert!(check_crates(&tree(MAX_CRATES + 1)).is_err());
    }
}
