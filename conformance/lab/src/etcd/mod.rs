//! Where etcd comes from.
//!
//! On Debian and Ubuntu the distribution's own packages are unpacked below the workspace's target
//! directory, from the mirror that the machine's package configuration names; nothing is installed
//! and root is not needed. On other machines, and in addition everywhere, the environment variable
//! [`ETCD3_ETCD`](LIST_VARIABLE) names binaries, separated by colons.
//!
//! Versions that no distribution has are built from etcd's published Go modules, which `go/`
//! pins; they are kept in the user's cache folder, in `etcd3-lab`. The `go` command and its
//! settings are the user's, `GOPROXY` for example; where it is missing or too old, the compiler
//! comes from the distribution's newest release.
//!
//! | machine | versions |
//! |---|---|
//! | Debian | those of bookworm (3.4.23), trixie (3.5.16) and sid (the newest) |
//! | Ubuntu | that of its own release, and that of the release in development |
//! | with Go, or of the two | the pinned patches of 3.5, 3.6 and 3.7, where no package is one |
//! | other | those named by `ETCD3_ETCD` |

mod built;
mod cache;
mod entry;
mod module;

pub use crate::version::Version;
pub use module::Program;

use crate::distribution::Suite;
use crate::{Error, Result, command, distribution};
use built::Unbuilt;
use module::Module;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

/// The environment variable that lists etcd binaries, separated by colons.
pub const LIST_VARIABLE: &str = "ETCD3_ETCD";

/// The environment variable that moves the folder in which unpacked binaries are kept. It
/// is `etcd` in the workspace's target directory otherwise.
pub const CACHE_VARIABLE: &str = "ETCD3_ETCD_CACHE";

/// The environment variable that lists what not to fetch, separated by commas: versions, as
/// in `3.4.23` or `3.6`, or releases of the distribution, as in `sid`.
pub const WITHOUT_VARIABLE: &str = "ETCD3_WITHOUT";

/// The oldest version that this workspace supports.
pub const OLDEST: Version = Version::minor(3, 4);

/// The releases that a whole run of the tests has a version of, each.
const RELEASES: [(u32, u32); 4] = [(3, 4), (3, 5), (3, 6), (3, 7)];

/// The minor versions that have a Go module, the oldest first. Of 3.5 it is the patch that Debian's
/// unstable release has, which is built once that one moves on.
pub const BUILT: [(u32, u32); 3] = [(3, 5), (3, 6), (3, 7)];

/// An etcd on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binary {
    /// The version that the binary itself gave.
    pub version: Version,
    /// The path of the binary.
    pub path: PathBuf,
    /// Its origin, for a person.
    pub source: String,
}

/// An etcd that was looked for and is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The name of what was looked for.
    pub what: String,
    /// The reason why it is not there.
    pub why: String,
    /// Whether it should be there: this machine's packages have it, or it was asked for, and
    /// nobody left it out by [`ETCD3_WITHOUT`](WITHOUT_VARIABLE).
    pub is_required: bool,
}

/// The versions that [`fetch`] found, and those that it did not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fetched {
    /// The binaries, the oldest version first, no version twice.
    pub binaries: Vec<Binary>,
    /// The missing versions, to be reported loudly: they are not tested.
    pub missing: Vec<Missing>,
}

impl Fetched {
    /// Returns the newest etcd.
    pub fn newest(&self) -> Option<&Binary> {
        self.binaries.last()
    }
}

impl fmt::Display for Binary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "etcd {} ({}) at {}", self.version, self.source, self.path.display())
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.is_required { "MISSING" } else { "WITHOUT" };
        write!(f, "{how} {}: {}", self.what, self.why)
    }
}

impl Binary {
    /// Asks the program at `path` for its version.
    ///
    /// # Errors
    ///
    /// Fails when it cannot be run, does not call itself etcd or is older than [`OLDEST`].
    pub fn of(path: impl Into<PathBuf>, source: impl Into<String>) -> Result<Self> {
        let path = path.into();
        let asked = command::run(Command::new(&path).arg("--version"), Duration::from_secs(20))
            .and_then(command::ProgramOutput::success)
            .map_err(Error::doing(path.display()))?;
        let version = Version::said_by(&asked.stdout)
            .ok_or_else(|| Error::new(format!("{} does not tell its version", path.display())))?;
        if version < OLDEST {
            let place = path.display();
            return Err(Error::new(format!("{place} is etcd {version}, older than {OLDEST}")));
        }
        Ok(Self { version, path, source: source.into() })
    }
}

/// Returns all etcd versions that this machine can have.
///
/// The first call of a workspace takes some seconds and about 30 MB from the mirror, and the first
/// one of a user some minutes, in which Go builds what no distribution has; later ones find the
/// binaries on disk. Processes and threads may call it at the same time; a process looks only once,
/// also for what is missing.
pub fn fetch() -> Fetched {
    static ONCE: OnceLock<Fetched> = OnceLock::new();
    ONCE.get_or_init(look).clone()
}

fn look() -> Fetched {
    let without = Without::from_environment();
    let mut fetched = Fetched::default();
    for path in listed() {
        fetched.note(&path.display().to_string(), from_list(&path));
    }
    for suite in distribution::suites() {
        match without.suite(&suite) {
            Some(name) => fetched.leave_out(&suite.what(), name),
            None => fetched.note(&suite.what(), cache::unpacked(&suite)),
        }
    }
    for release in BUILT {
        fetched.note_built(release, &without);
    }
    if fetched.binaries.is_empty() && fetched.missing.iter().all(|missing| !missing.is_required) {
        fetched.note("etcd", Err(no_packages()));
    }
    for binary in std::mem::take(&mut fetched.binaries) {
        match without.version(binary.version) {
            Some(name) => fetched.leave_out(&binary.to_string(), name),
            None => fetched.binaries.push(binary),
        }
    }
    fetched.binaries.sort_by_key(|binary| binary.version);
    fetched.binaries.dedup_by_key(|binary| binary.version);
    fetched.miss_releases(&without);
    fetched
}

/// Lists the programs that the module of a minor version has; of 3.5 it is only the server, since
/// its tools were not published as modules.
///
/// # Errors
///
/// Fails when there is no module of that minor version.
pub fn programs((major, minor): (u32, u32)) -> Result<Vec<Program>> {
    Ok(Module::of(major, minor)?.programs())
}

/// Returns a program of the pinned patch of a minor version, one of [`BUILT`]; it is built by Go
/// when it is asked for the first time.
///
/// # Errors
///
/// Fails when there is no module of that minor version, and when it cannot be built.
pub fn program(program: Program, (major, minor): (u32, u32)) -> Result<Binary> {
    built::built(&Module::of(major, minor)?, program).map_err(|unbuilt| unbuilt.error)
}

/// What not to fetch.
struct Without(Vec<String>);

impl Without {
    fn from_environment() -> Self {
        Self::list(&std::env::var(WITHOUT_VARIABLE).unwrap_or_default())
    }

    fn list(text: &str) -> Self {
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        Self(names.map(str::to_owned).collect())
    }

    /// Returns the name by which a version is left out.
    fn version(&self, version: Version) -> Option<&str> {
        let minor = format!("{}.{}", version.major, version.minor);
        self.find(|name| name == minor || name == version.to_string())
    }

    /// Returns the name by which any version of a release is left out.
    fn release(&self, (major, minor): (u32, u32)) -> Option<&str> {
        let release = format!("{major}.{minor}");
        let patches = format!("{release}.");
        self.find(|name| name == release || name.starts_with(&patches))
    }

    /// Returns the name by which the package of a suite is left out.
    fn suite(&self, suite: &Suite) -> Option<&str> {
        let by_name = self.find(|name| name == suite.name);
        by_name.or_else(|| self.version(suite.version?))
    }

    fn find(&self, is_it: impl Fn(&str) -> bool) -> Option<&str> {
        self.0.iter().map(String::as_str).find(|name| is_it(name))
    }
}

/// Returns one etcd, by the least effort: the first that `ETCD3_ETCD` lists, else the one in
/// `PATH`, else one package; what has to be built comes last.
///
/// # Errors
///
/// Fails with the reasons of all sources when there is none, and at once when the binary that
/// `ETCD3_ETCD` lists cannot be used.
pub fn any() -> Result<Binary> {
    if let Some(path) = listed().first() {
        return from_list(path);
    }
    let mut reasons = Vec::new();
    if let Some(path) = in_path() {
        match Binary::of(path, "PATH") {
            Ok(binary) => return Ok(binary),
            Err(error) => reasons.push(error.to_string()),
        }
    }
    for suite in distribution::suites_by_preference() {
        match cache::unpacked(&suite) {
            Ok(binary) => return Ok(binary),
            Err(error) => reasons.push(error.to_string()),
        }
    }
    if reasons.is_empty() {
        reasons.push(no_packages().to_string());
    }
    for release in BUILT.into_iter().rev() {
        match program(Program::Server, release) {
            Ok(binary) => return Ok(binary),
            Err(error) => reasons.push(error.to_string()),
        }
    }
    Err(Error::new(format!("no etcd: {}", reasons.join("; "))))
}

impl Fetched {
    fn note(&mut self, what: &str, found: Result<Binary>) {
        match found {
            Ok(binary) => self.binaries.push(binary),
            Err(error) => self.miss(what, &error.to_string(), true),
        }
    }

    /// Notes a version that is built, unless it is there already.
    fn note_built(&mut self, (major, minor): (u32, u32), without: &Without) {
        let module = match Module::of(major, minor) {
            Ok(module) => module,
            Err(error) => return self.note(&format!("etcd {major}.{minor}"), Err(error)),
        };
        let what = format!("etcd {}", module.version);
        if let Some(name) = without.version(module.version) {
            return self.leave_out(&what, name);
        }
        if self.binaries.iter().any(|binary| binary.version == module.version) {
            return;
        }
        match built::built(&module, Program::Server) {
            Ok(binary) => self.binaries.push(binary),
            Err(Unbuilt { error, is_required }) => {
                self.miss(&what, &error.to_string(), is_required);
            }
        }
    }

    /// Notes what somebody wants to do without.
    fn leave_out(&mut self, what: &str, name: &str) {
        self.miss(what, &format!("left out, since {WITHOUT_VARIABLE} names {name}"), false);
    }

    /// Notes the releases of which no version is at hand, nor should be, and nothing was said yet.
    fn miss_releases(&mut self, without: &Without) {
        if self.missing.iter().any(|missing| missing.is_required) {
            return;
        }
        for release in RELEASES {
            let (major, minor) = release;
            let is_it = |version: Version| (version.major, version.minor) == release;
            let is_here = self.binaries.iter().any(|binary| is_it(binary.version));
            let what = format!("etcd {major}.{minor}");
            let patches = format!("{what}.");
            let is_told = self.missing.iter().any(|missing| missing.what.starts_with(&patches));
            if !is_here && !is_told && without.release(release).is_none() {
                let why =
                    format!("this machine has no package of it; {LIST_VARIABLE} can name one");
                self.miss(&what, &why, false);
            }
        }
    }

    fn miss(&mut self, what: &str, why: &str, is_required: bool) {
        // One line, because a report prints it as one.
        let why = why.lines().collect::<Vec<_>>().join("; ");
        self.missing.push(Missing { what: what.to_owned(), why, is_required });
    }
}

/// Says what to do on a machine whose packages are of no use.
fn no_packages() -> Error {
    Error::new(format!(
        "this machine has no packages of Debian or Ubuntu; install Go, or install etcd and set \
         {LIST_VARIABLE} to the paths of its binaries, separated by colons"
    ))
}

fn listed() -> Vec<PathBuf> {
    let list = std::env::var_os(LIST_VARIABLE).unwrap_or_default();
    std::env::split_paths(&list).filter(|path| !path.as_os_str().is_empty()).collect()
}

fn from_list(path: &Path) -> Result<Binary> {
    Binary::of(path, LIST_VARIABLE)
}

fn in_path() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join("etcd")).find(|etcd| etcd.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binary(version: &str) -> Binary {
        let version = version.parse().expect("a version");
        Binary { version, path: version.to_string().into(), source: "a test".into() }
    }

    #[test]
    fn a_release_that_is_not_at_hand_is_missed_unless_it_was_left_out() {
        let missed = |without: &str| {
            let binaries = ["3.5.16", "3.6.16", "3.7.3"].map(binary).to_vec();
            let mut fetched = Fetched { binaries, missing: vec![] };
            fetched.miss_releases(&Without::list(without));
            fetched.missing
        };
        let [old] = &missed("sid, 3.5.30")[..] else { panic!("one release") };
        assert_eq!((old.what.as_str(), old.is_required), ("etcd 3.4", false));
        assert!(old.to_string().starts_with("WITHOUT etcd 3.4: "), "{old}");
        assert_eq!(missed("3.4.23"), []);
        assert_eq!(missed("3.4"), []);
    }

    #[test]
    fn a_release_is_missed_with_one_line() {
        let mut fetched =
            Fetched { binaries: ["3.4.23", "3.5.16"].map(binary).into(), ..Default::default() };
        fetched.miss("etcd 3.6.16", "no go in PATH", false);
        fetched.leave_out("etcd 3.7.3", "3.7");
        fetched.miss_releases(&Without::list("3.7"));
        let lines: Vec<String> = fetched.missing.iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "WITHOUT etcd 3.6.16: no go in PATH",
                "WITHOUT etcd 3.7.3: left out, since ETCD3_WITHOUT names 3.7"
            ]
        );
    }

    #[test]
    fn versions_are_left_out_by_all_their_numbers_or_by_two() {
        let without = Without::list("3.6,3.5.30");
        let of = |version: &str| without.version(version.parse().expect("a version"));
        assert_eq!([of("3.6.16"), of("3.5.30")], [Some("3.6"), Some("3.5.30")]);
        assert_eq!([of("3.5.3"), of("3.7.3"), of("3.60.1")], [None; 3]);
        assert_eq!(without.release((3, 5)), Some("3.5.30"));
        assert_eq!([without.release((3, 7)), without.release((3, 3))], [None; 2]);
    }

    #[test]
    fn what_fails_is_required_and_what_is_left_out_is_not() {
        let mut fetched = Fetched::default();
        fetched.note("a", Err(Error::new("no\nmirror")));
        fetched.leave_out("b", "3.4.23");
        fetched.miss_releases(&Without::list(""));
        let [a, b] = &fetched.missing[..] else { panic!("{:?}", fetched.missing) };
        assert_eq!(a.to_string(), "MISSING a: no; mirror");
        assert!(a.is_required && !b.is_required);
    }
}
