//! `cargo xtask fuzz`: random input, guided by coverage.
//!
//! New inputs go below the target directory; the committed corpus is read and not changed.

use crate::options::Options;
use crate::{ExitResult, shell, workspace};
use etcd3_lab::{Error, Result};
use std::process::{Command, ExitCode};
use std::time::Duration;

/// The limit of a target beyond its own time: the first build takes a minute or two.
const BUILD_LIMIT: Duration = Duration::from_secs(15 * 60);

pub(crate) fn run(options: &Options) -> ExitResult {
    let seconds: u64 = match options.value("--seconds").unwrap_or("20").parse() {
        Ok(seconds) if seconds > 0 => seconds,
        _ => return Err(Error::new("--seconds takes a whole number above zero.")),
    };
    check_tools()?;
    let all = targets()?;
    let chosen: Vec<&String> = match options.word() {
        None => all.iter().collect(),
        Some(name) => all.iter().filter(|target| *target == name).collect(),
    };
    if chosen.is_empty() {
        return Err(Error::new(format!("The fuzz targets are: {}.", all.join(", "))));
    }
    let mut failed = 0;
    for target in &chosen {
        failed += u32::from(!fuzz(target, seconds)?);
    }
    println!("{} targets, {failed} failed", chosen.len());
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Finds the targets by their files.
fn targets() -> Result<Vec<String>> {
    let files = workspace::files()?;
    let names = files.iter().filter_map(|file| {
        let name = file.strip_prefix("fuzz/fuzz_targets/")?.strip_suffix(".rs")?;
        (!name.contains('/')).then(|| name.to_owned())
    });
    let names: Vec<String> = names.collect();
    if names.is_empty() {
        return Err(Error::new("There is no file in fuzz/fuzz_targets."));
    }
    Ok(names)
}

fn check_tools() -> Result<()> {
    if !shell::in_path("rustup") {
        return Err(Error::new("Fuzzing needs rustup, to choose a nightly toolchain."));
    }
    let missing = |words: &[&str], advice: &str| {
        let asked = shell::capture(&rustup(words), Duration::from_secs(60));
        match asked {
            Ok(ended) if ended.ok() => Ok(()),
            _ => Err(Error::new(advice)),
        }
    };
    missing(
        &["rustc", "--version"],
        "Fuzzing needs a nightly toolchain: rustup toolchain install nightly --profile minimal",
    )?;
    missing(
        &["cargo", "fuzz", "--version"],
        "Fuzzing needs cargo-fuzz: cargo install --locked cargo-fuzz",
    )
}

/// Makes a command line of the nightly toolchain. `cargo +nightly` would not do: cargo calls us
/// with its own toolchain first in the path.
fn rustup(words: &[&str]) -> Command {
    let mut rustup = Command::new("rustup");
    rustup.args(["run", "nightly"]).args(words).current_dir(workspace::root());
    for name in ["CARGO", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN"] {
        rustup.env_remove(name);
    }
    shell::forget_outer_cargo(&mut rustup);
    rustup
}

fn fuzz(target: &str, seconds: u64) -> Result<bool> {
    shell::heading(&format!("fuzz {target} for {seconds} s"));
    let found = workspace::target().join("fuzz-corpus").join(target);
    std::fs::create_dir_all(&found)
        .map_err(|error| Error::new(format!("{}: {error}", found.display())))?;
    let mut fuzz =
        rustup(&["cargo", "fuzz", "run", "--features", "fuzzing", "--fuzz-dir", "fuzz", target]);
    fuzz.arg(&found);
    let committed = workspace::root().join("fuzz/corpus").join(target);
    if committed.is_dir() {
        fuzz.arg(committed);
    }
    fuzz.args(["--", &format!("-max_total_time={seconds}")]);
    let ended = shell::capture(&fuzz, BUILD_LIMIT + Duration::from_secs(seconds))?;
    if ended.ok() {
        let last = ended.output.lines().rev().find(|line| line.contains("DONE"));
        println!("    ok, {}: {}", shell::time(ended.seconds), last.unwrap_or_default().trim());
    } else {
        println!("{}\n    FAILED, {}", ended.output.trim_end(), shell::time(ended.seconds));
    }
    Ok(ended.ok())
}
