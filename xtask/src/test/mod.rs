//! `cargo xtask test`: everything that has to hold.
//!
//! Each step ends at its first failure; the steps after it run all the same, so that one run tells
//! all that is wrong.

mod budget;
mod deny;
mod examples;
mod followed;
mod hygiene;
mod method_docs;
mod packages;
mod report;
mod share;
mod size;
mod steps;
mod tree;
mod unpacked;

pub(crate) use crate::passed::Passed;

use crate::options::Options;
use crate::{ExitResult, workspace};
use deny::Deny;
use etcd3_lab::{Error, Result, etcd, notes};
use report::Report;
use std::process::ExitCode;
use steps::State;

/// The largest number of notes that are printed.
const MAX_NOTES: usize = 20;

pub(crate) fn run(options: &Options) -> ExitResult {
    if options.has("--list") {
        for step in steps::ALL {
            println!("{}", step.name);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let steps = steps::chosen(&options.values("--only"))?;
    let mut report = Report::default();
    let mut state = State::default();
    forget_notes()?;
    if steps.iter().any(|step| step.name == steps::DEPENDENCIES) {
        let deny = Deny::prepare()?;
        if deny.is_building() {
            println!("cargo-deny is not here and is being built meanwhile, at low priority");
        }
        state.deny = Some(deny);
    }
    for step in &steps {
        report.step(step.name, || (step.run)(&mut state));
    }
    for overrun in budget::overruns(&steps, |name| report.seconds_of(name)) {
        report.alarm(overrun);
    }
    for missing in &etcd::fetch().missing {
        report.alarm(missing.to_string());
    }
    for note in read_notes() {
        report.alarm(note);
    }
    println!("\n{}", report.times());
    if let Some(extent) = state.extent {
        println!("{extent}");
    }
    for alarm in report.alarms() {
        println!("!!! {alarm}");
    }
    for failure in report.failures() {
        println!("FAILED {failure}");
    }
    println!("{}", report.tally());
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Begins a file of notes, to which this process and the programs that it runs append.
fn forget_notes() -> Result<()> {
    let file = workspace::notes();
    notes::keep_in(&file);
    match std::fs::remove_file(&file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::new(format!("{}: {error}", workspace::relative(&file))))
        }
        _ => Ok(()),
    }
}

/// Returns the notes that this run has left, cut off where they are too many.
fn read_notes() -> Vec<String> {
    let text = std::fs::read_to_string(workspace::notes()).unwrap_or_default();
    let mut notes: Vec<String> = text.lines().take(MAX_NOTES).map(str::to_owned).collect();
    let more = text.lines().skip(MAX_NOTES).count();
    if more > 0 {
        notes.push(format!("{more} more notes in {}", workspace::relative(&workspace::notes())));
    }
    notes
}
