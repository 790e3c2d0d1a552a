//! The dependencies: their licences, their sources, and what is known against them.

use crate::passed::Passed;
use crate::shell::{self, STEP_LIMIT};
use crate::tools::Tool;
use crate::workspace;
use etcd3_lab::{Child, Error, Result, until};
use std::path::PathBuf;
use std::process::Command;

/// The program that checks them.
const TOOL: Tool = Tool { name: "cargo-deny", version: "0.20.2" };
/// The errors of cargo-deny when its database of advisories cannot be reached.
const UNREACHABLE: &[&str] = &["failed to fetch", "failed to open advisory database"];

/// cargo-deny, or its build.
pub(super) enum Deny {
    Ready(PathBuf),
    Building(Child),
}

impl Deny {
    /// Finds cargo-deny, or starts to build it.
    pub(super) fn prepare() -> Result<Self> {
        if shell::in_path(TOOL.name) {
            return Ok(Self::Ready(TOOL.name.into()));
        }
        if TOOL.built().is_file() {
            return Ok(Self::Ready(TOOL.built()));
        }
        build().map(Self::Building)
    }

    pub(super) fn is_building(&self) -> bool {
        matches!(self, Self::Building(..))
    }

    /// Waits for the build and runs the checks.
    pub(super) fn check_dependencies(self) -> Result<Passed> {
        let program = self.ready()?;
        let deny = |what: &[&str]| {
            let mut deny = Command::new(&program);
            shell::forget_outer_cargo(&mut deny);
            deny.current_dir(workspace::root()).args(["--color", "never"]);
            shell::capture(deny.arg("check").args(what), STEP_LIMIT)
        };
        let ended = deny(&["bans", "licenses", "sources"])?;
        if !ended.ok() {
            return Err(Error::new(ended.output));
        }
        let advisories = deny(&["advisories"])?;
        if advisories.ok() {
            return Ok(Passed::saying("bans, licences, sources and advisories"));
        }
        if is_unreachable(&advisories.output) {
            return Ok(Passed::alarming(
                "SKIPPED advisories: their database cannot be reached from here",
            ));
        }
        Err(Error::new(advisories.output))
    }

    fn ready(self) -> Result<PathBuf> {
        match self {
            Self::Ready(program) => Ok(program),
            Self::Building(child) => {
                until(STEP_LIMIT, "the build of cargo-deny", || {
                    Ok((!child.is_running()).then_some(()))
                })?;
                drop(child);
                if TOOL.built().is_file() {
                    return Ok(TOOL.built());
                }
                let log = std::fs::read_to_string(log()).unwrap_or_default();
                let log = etcd3_lab::command::tail(&log, 20);
                Err(Error::new(format!("cargo-deny cannot be built:\n{log}")))
            }
        }
    }
}

/// Starts a build that ends with this process.
fn build() -> Result<Child> {
    let scratch = Tool::folder().join("build");
    Child::spawn(&TOOL.build(&scratch)?, &scratch, &log())
}

fn log() -> PathBuf {
    Tool::folder().join("build.log")
}

fn is_unreachable(output: &str) -> bool {
    UNREACHABLE.iter().any(|sign| output.contains(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_unreachable_database_is_excused() {
        assert!(is_unreachable("[ERROR] failed to fetch advisory database https://…"));
        assert!(!is_unreachable("error[vulnerability]: a crate with a hole"));
        assert!(!is_unreachable(""));
    }
}
