//! `cargo xtask etcd`: which etcd versions the tests have, and where.

use crate::options::Options;
use crate::passed::Passed;
use crate::{ExitResult, shell, workspace};
use etcd3_lab::etcd::{self, Binary, Fetched, Program, WITHOUT_VARIABLE};
use etcd3_lab::{Error, Result};
use std::process::ExitCode;
use std::time::Instant;

pub(crate) fn run(_options: &Options) -> ExitResult {
    shell::heading("fetching etcd");
    let begin = Instant::now();
    let fetched = etcd::fetch();
    for binary in &fetched.binaries {
        show(Program::Server, binary);
    }
    for missing in &fetched.missing {
        println!("!!! {missing}");
    }
    show_tools(&fetched);
    let (found, missing) = (fetched.binaries.len(), fetched.missing.len());
    println!("{found} found, {missing} missing, {}", shell::time(begin.elapsed().as_secs_f64()));
    if found == 0 {
        return Err(Error::new("There is no etcd for the tests."));
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows the tools of the versions that are built; no test fails for want of them.
fn show_tools(fetched: &Fetched) {
    for release in etcd::BUILT {
        let is_it = |it: &Binary| (it.version.major, it.version.minor) == release;
        if !fetched.binaries.iter().any(is_it) {
            continue;
        }
        let programs = etcd::programs(release).unwrap_or_default();
        for tool in programs.into_iter().filter(|it| *it != Program::Server) {
            match etcd::program(tool, release) {
                Ok(binary) => show(tool, &binary),
                Err(error) => println!("!!! WITHOUT {}: {error}", tool.name()),
            }
        }
    }
}

fn show(program: Program, binary: &Binary) {
    let (name, version, source) = (program.name(), binary.version.to_string(), &binary.source);
    println!("    {name:<8} {version:<8} {source:<22} {}", workspace::relative(&binary.path));
}

/// Demands every version that this machine's packages should have.
pub(crate) fn demand_versions() -> Result<Passed> {
    verdict(&etcd::fetch()).map(Passed::saying)
}

fn verdict(fetched: &Fetched) -> Result<String> {
    let required = fetched.missing.iter().filter(|missing| missing.is_required);
    let mut problems: Vec<String> = required.map(ToString::to_string).collect();
    if !problems.is_empty() {
        problems.push(format!(
            "{WITHOUT_VARIABLE}=NAME,NAME does without: a version, or a release of the distribution"
        ));
        return Err(Error::new(problems.join("\n")));
    }
    if fetched.binaries.is_empty() {
        return Err(Error::new("There is no etcd for the tests."));
    }
    let versions: Vec<String> = fetched.binaries.iter().map(|it| it.version.to_string()).collect();
    Ok(versions.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use etcd3_lab::etcd::Missing;

    #[test]
    fn a_version_that_should_be_there_is_demanded() {
        let missing = |is_required| Missing { what: "x".into(), why: "y".into(), is_required };
        let version = "3.5.16".parse().unwrap();
        let binary = Binary { version, path: "etcd".into(), source: "a test".into() };
        let mut fetched = Fetched { binaries: vec![binary], missing: vec![missing(false)] };
        assert_eq!(verdict(&fetched).as_deref(), Ok("3.5.16"));
        fetched.missing.push(missing(true));
        let error = verdict(&fetched).unwrap_err().to_string();
        assert!(error.starts_with("MISSING x: y\nETCD3_WITHOUT="), "{error}");
        assert!(verdict(&Fetched::default()).is_err());
    }
}
