//! Where etcd comes from.
//!
//! On Debian and Ubuntu the distribution's own packages are unpacked below the workspace's target
//! directory, from the mirror that the machine's package configuration names; nothing is installed
//! and root is not needed. On other machines, and in addition everywhere, the environment variable
//! [`ETCD3_ETCD`](LIST_VARIABLE) names binaries, separated by colons.
//!
//! | machine | versions |
//! |---|---|
//! | Debian | those of bookworm (3.4.23), trixie (3.5.16) and sid (the newest) |
//! | Ubuntu | that of its own release, and that of the release in development |
//! | other | those named by `ETCD3_ETCD` |

mod cache;

pub use crate::version::Version;
pub(crate) use cache::target;

use crate::{Error, Result, command, machine};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

/// Names the environment variable that lists etcd binaries, separated by colons.
pub const LIST_VARIABLE: &str = "ETCD3_ETCD";

/// Names the environment variable that moves the folder in which unpacked binaries are kept. It
/// is `etcd` in the workspace's target directory otherwise.
pub const CACHE_VARIABLE: &str = "ETCD3_ETCD_CACHE";

/// Names the environment variable that lists what not to fetch, separated by commas: versions, as
/// in `3.4.23`, or releases of the distribution, as in `sid`.
pub const WITHOUT_VARIABLE: &str = "ETCD3_WITHOUT";

/// Is the oldest version that this workspace supports.
pub const OLDEST: Version = Version { major: 3, minor: 4, patch: 0 };

/// The releases that a whole run of the tests has a version of, each.
const RELEASES: [(u32, u32); 2] = [(3, 4), (3, 5)];

/// Is an etcd on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binary {
    /// Tells the version that the binary itself gave.
    pub version: Version,
    /// Tells where the binary is.
    pub path: PathBuf,
    /// Says where it came from, for a person.
    pub source: String,
}

/// Is an etcd that could not be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Names what was looked for.
    pub what: String,
    /// Says why it is not there.
    pub why: String,
    /// Tells that it should be there: this machine's packages have it, or it was asked for, and
    /// nobody left it out by [`ETCD3_WITHOUT`](WITHOUT_VARIABLE).
    pub is_required: bool,
}

/// Is everything that [`fetch`] found, and everything that it did not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Holds the binaries, the oldest version first, no version twice.
    pub binaries: Vec<Binary>,
    /// Holds what is to be reported loudly: a version that is missing is not tested.
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
            .and_then(command::Finished::success)
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
/// The first call of a workspace takes some seconds and about 30 MB from the mirror; later ones
/// find the binaries on disk. Processes and threads may call it at the same time; a process looks
/// only once, also for what is missing.
pub fn fetch() -> Fetched {
    static ONCE: OnceLock<Fetched> = OnceLock::new();
    ONCE.get_or_init(look).clone()
}

fn look() -> Fetched {
    let without = Without::from_environment();
    let mut fetched = Fetched::default();
    let mut wanted = 0;
    for path in listed() {
        wanted += 1;
        fetched.note(&path.display().to_string(), from_list(&path));
    }
    for suite in machine::suites() {
        wanted += 1;
        let names = [Some(suite.name.clone()), suite.version.map(|it| it.to_string())];
        match names.into_iter().flatten().find(|name| without.names(name)) {
            Some(name) => fetched.leave_out(&suite.what(), &name),
            None => fetched.note(&suite.what(), cache::unpacked(&suite)),
        }
    }
    if wanted == 0 {
        fetched.note("etcd", Err(no_packages()));
    }
    for binary in std::mem::take(&mut fetched.binaries) {
        let version = binary.version.to_string();
        if without.names(&version) {
            fetched.leave_out(&binary.to_string(), &version);
        } else {
            fetched.binaries.push(binary);
        }
    }
    fetched.binaries.sort_by_key(|binary| binary.version);
    fetched.binaries.dedup_by_key(|binary| binary.version);
    fetched.miss_releases(&without);
    fetched
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

    fn names(&self, name: &str) -> bool {
        self.0.iter().any(|known| known == name)
    }
}

/// Returns one etcd, by the least effort: the first that `ETCD3_ETCD` lists, else the one in
/// `PATH`, else one package.
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
    for suite in machine::suites_by_preference() {
        match cache::unpacked(&suite) {
            Ok(binary) => return Ok(binary),
            Err(error) => reasons.push(error.to_string()),
        }
    }
    if reasons.is_empty() {
        return Err(no_packages());
    }
    Err(Error::new(format!("no etcd: {}", reasons.join("; "))))
}

impl Fetched {
    fn note(&mut self, what: &str, found: Result<Binary>) {
        match found {
            Ok(binary) => self.binaries.push(binary),
            Err(error) => {
                // One line, because a report prints it as one.
                let why: Vec<String> = error.to_string().lines().map(str::to_owned).collect();
                self.miss(what, why.join("; "), true);
            }
        }
    }

    /// Notes what somebody wants to do without.
    fn leave_out(&mut self, what: &str, name: &str) {
        self.miss(what, format!("left out, since {WITHOUT_VARIABLE} names {name}"), false);
    }

    /// Notes the releases of which no version is at hand, nor should be.
    fn miss_releases(&mut self, without: &Without) {
        if self.missing.iter().any(|missing| missing.is_required) {
            return;
        }
        for (major, minor) in RELEASES {
            let is_it = |version: Version| (version.major, version.minor) == (major, minor);
            let is_here = self.binaries.iter().any(|binary| is_it(binary.version));
            let is_left_out = without.0.iter().filter_map(|name| name.parse().ok()).any(is_it);
            if !is_here && !is_left_out {
                let why =
                    format!("this machine has no package of it; {LIST_VARIABLE} can name one");
                self.miss(&format!("etcd {major}.{minor}"), why, false);
            }
        }
    }

    fn miss(&mut self, what: &str, why: String, is_required: bool) {
        self.missing.push(Missing { what: what.to_owned(), why, is_required });
    }
}

/// Says what to do on a machine whose packages are of no use.
fn no_packages() -> Error {
    Error::new(format!(
        "this machine has no packages of Debian or Ubuntu; install etcd and set {LIST_VARIABLE} \
         to the paths of its binaries, separated by colons"
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
            let mut fetched = Fetched { binaries: vec![binary("3.5.16")], missing: vec![] };
            fetched.miss_releases(&Without::list(without));
            fetched.missing
        };
        let [old] = &missed("sid, 3.5.30")[..] else { panic!("one release") };
        assert_eq!((old.what.as_str(), old.is_required), ("etcd 3.4", false));
        assert!(old.to_string().starts_with("WITHOUT etcd 3.4: "), "{old}");
        assert_eq!(missed("3.4.23"), []);
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
