//! Go's compiler, and its `go` command.
//!
//! What is in `PATH` is taken if it is new enough; else the package of the distribution's newest
//! release is unpacked below the workspace's target directory, and nothing is installed.

use crate::apt::Wanted;
use crate::version::Version;
use crate::{Error, Result, command, distribution, tools};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The limit of a request for the version.
const LIMIT: Duration = Duration::from_secs(20);

/// The package of the compiler, with the packages that hold its programs and its library.
const PACKAGE: Wanted = Wanted { packages: &["golang-go"], needs: &["golang-1."], pin: None };

/// A `go` command that compiles for this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Go {
    program: PathBuf,
    /// Where its library is, unless it finds that itself.
    root: Option<PathBuf>,
    /// The version of the compiler.
    pub(crate) version: Version,
    /// Where it came from, for a person.
    pub(crate) source: String,
}

impl Go {
    /// Makes a command line of it that builds modules without a C compiler and without any other
    /// version of Go. Where modules come from, `GOPROXY` and the like, stays the user's.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.envs(self.root.iter().map(|root| ("GOROOT", root)));
        command.env("CGO_ENABLED", "0").env("GOTOOLCHAIN", "local").env("GO111MODULE", "on");
        // A workspace in some folder above, and another machine, are not meant here.
        command.env("GOWORK", "off").env_remove("GOOS").env_remove("GOARCH");
        command
    }

    /// Asks a `go` command for its version.
    pub(crate) fn of(program: PathBuf, root: Option<PathBuf>, source: String) -> Result<Self> {
        let version = Version { major: 0, minor: 0, patch: 0 };
        let mut go = Self { program, root, version, source };
        // Away from this workspace, so that no file of a module has a say.
        let mut asked = go.command();
        asked.arg("version").current_dir(std::env::temp_dir());
        let said = command::run(&mut asked, LIMIT)?.success()?.stdout;
        let version = parse(&said);
        go.version = version.ok_or_else(|| Error::new(format!("not a version of Go: {said}")))?;
        Ok(go)
    }
}

/// Makes a command line of `go` for the module in a folder, whose `go.mod` says how new it has to
/// be. Modules come from where the user's settings of Go say.
///
/// # Errors
///
/// Fails when there is no such module, and when no compiler that is new enough can be had.
pub fn command_in(module: &Path) -> Result<Command> {
    let file = module.join("go.mod");
    let text = std::fs::read_to_string(&file).map_err(Error::doing(file.display()))?;
    let mut command = find(demanded(&text)?)?.command();
    command.current_dir(module);
    Ok(command)
}

/// Reads which version of Go a `go.mod` demands.
pub(crate) fn demanded(text: &str) -> Result<Version> {
    let line = text.lines().find_map(|line| line.trim().strip_prefix("go "));
    line.and_then(|it| number(it.trim())).ok_or_else(|| Error::new("go.mod names no version of Go"))
}

/// Finds a compiler in `PATH` that is at least as new as `needed`; says what is there otherwise.
pub(crate) fn installed(needed: Version) -> Result<Go> {
    let program = tools::in_path("go").ok_or_else(|| Error::new("no go in PATH"))?;
    new_enough(Go::of(program, None, "PATH".to_owned())?, needed)
}

/// Finds a compiler that is at least as new as `needed`, or fetches one: some 100 MB from the
/// mirror, once.
///
/// # Errors
///
/// Fails when there is none, or only older ones; the error names their versions.
pub(crate) fn find(needed: Version) -> Result<Go> {
    let reason = match installed(needed) {
        Ok(go) => return Ok(go),
        Err(error) => error,
    };
    packaged()
        .and_then(|go| new_enough(go, needed))
        .map_err(|error| Error::new(format!("Go {needed} or newer is needed: {reason}; {error}")))
}

/// Unpacks the compiler of the distribution's newest release.
fn packaged() -> Result<Go> {
    let suite = distribution::suites().pop();
    let source =
        suite.as_ref().map(|suite| format!("package of {}", suite.name)).unwrap_or_default();
    let root = tools::fetch_of(suite, "golang", PACKAGE)?.join("usr/lib/go");
    Go::of(root.join("bin/go"), Some(root), source)
}

fn new_enough(go: Go, needed: Version) -> Result<Go> {
    if go.version >= needed {
        return Ok(go);
    }
    let (version, source) = (go.version, go.source);
    Err(Error::new(format!("Go {version} ({source}) is older than {needed}")))
}

/// Reads `go version go1.26.8 linux/amd64`.
fn parse(said: &str) -> Option<Version> {
    said.split_whitespace().find_map(|word| number(word.strip_prefix("go")?))
}

/// Reads a version of Go, which may lack the last number, as in `1.27rc1`.
pub(crate) fn number(text: &str) -> Option<Version> {
    let end = text.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(text.len());
    let mut parts = text[..end].split('.');
    let (major, minor) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let patch = parts.next().map_or(Some(0), |patch| patch.parse().ok())?;
    Some(Version { major, minor, patch })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(major: u32, minor: u32, patch: u32) -> Version {
        Version { major, minor, patch }
    }

    #[test]
    fn versions_of_all_kinds_are_read() {
        for (said, expected) in [
            ("go version go1.26.8 linux/amd64\n", version(1, 26, 8)),
            ("go version go1.21 linux/amd64", version(1, 21, 0)),
            ("go version go1.27rc1 linux/amd64", version(1, 27, 0)),
            ("go version devel go1.27-3c9d X:nocoverage linux/amd64", version(1, 27, 0)),
        ] {
            assert_eq!(parse(said), Some(expected), "{said}");
        }
        assert!(parse("").is_none() && parse("go version go1 linux/amd64").is_none());
    }

    #[test]
    fn a_module_says_how_new_go_has_to_be() {
        assert_eq!(demanded("module x\n\ngo 1.26.0\n"), Ok(version(1, 26, 0)));
        assert!(demanded("module go\n").is_err());
    }

    #[test]
    fn an_old_compiler_is_refused_with_both_versions() {
        let go = |version| Go { program: "go".into(), root: None, version, source: "PATH".into() };
        let needed = version(1, 26, 0);
        assert!(new_enough(go(version(1, 26, 0)), needed).is_ok());
        let error = new_enough(go(version(1, 25, 9)), needed).expect_err("too old").to_string();
        assert!(error.contains("1.25.9 (PATH)") && error.contains("1.26.0"), "{error}");
    }
}
