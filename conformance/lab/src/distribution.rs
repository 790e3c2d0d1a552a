//! Which packages this machine's distribution has.

use crate::version::Version;
use std::path::Path;
use std::process::Command;

/// A part of a distribution that has an etcd of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Suite {
    pub(crate) name: String,
    pub(crate) component: &'static str,
    pub(crate) keyrings: &'static [&'static str],
    /// The version of its etcd, where that does not change any more.
    pub(crate) version: Option<Version>,
    /// The package of etcd and its hash where they never change; only for amd64.
    pub(crate) pin: Option<Pin>,
}

/// A package that is known beforehand, so that no index has to be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pin {
    pub(crate) path: &'static str,
    pub(crate) sha256: &'static str,
}

impl Suite {
    pub(crate) fn what(&self) -> String {
        format!("the etcd-server package of {}", self.name)
    }
}

const DEBIAN_KEYRINGS: &[&str] = &[
    "/usr/share/keyrings/debian-archive-keyring.gpg",
    "/usr/share/keyrings/debian-archive-keyring.pgp",
];
const UBUNTU_KEYRINGS: &[&str] = &["/usr/share/keyrings/ubuntu-archive-keyring.gpg"];

const OLD_STABLE: Version = Version { major: 3, minor: 4, patch: 23 };
const STABLE: Version = Version { major: 3, minor: 5, patch: 16 };

const BOOKWORM: Pin = Pin {
    path: "pool/main/e/etcd/etcd-server_3.4.23-4+b4_amd64.deb",
    sha256: "3a9445d4560ad6de1c375756b2a17d97713df44cbd20a658c871fe108af7ef5d",
};
const TRIXIE: Pin = Pin {
    path: "pool/main/e/etcd/etcd-server_3.5.16-4_amd64.deb",
    sha256: "0875921bb0d023f2af9b8e15cdfbe417a03e65731345fb832c40f9c2dd72967b",
};

/// Returns the suites of this machine's distribution; none when it is neither Debian nor Ubuntu.
pub(crate) fn suites() -> Vec<Suite> {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    suites_of(&Release::parse(&release), &architecture())
}

/// Returns the same suites, the one that is the quickest to have first.
pub(crate) fn suites_by_preference() -> Vec<Suite> {
    let mut suites = suites();
    suites.sort_by_key(|suite| suite.name != "trixie");
    suites
}

/// Returns the release that this machine runs, whose programs fit to it; none when it is neither
/// Debian nor Ubuntu.
pub(crate) fn own_suite() -> Option<Suite> {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    own_suite_of(Release::parse(&release))
}

/// Returns the names under which the machine's own configuration may list its main mirror.
pub(crate) fn mirror_suites() -> Vec<String> {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let own = Release::parse(&release).code_name;
    let rolling = ["sid", "unstable", "testing", "stable"].map(str::to_owned);
    Some(own).filter(|own| !own.is_empty()).into_iter().chain(rolling).collect()
}

/// Returns the distribution's name of this machine's architecture, as in `amd64`.
pub(crate) fn architecture() -> String {
    let asked = Command::new("dpkg").arg("--print-architecture").output();
    asked.map(|dpkg| String::from_utf8_lossy(&dpkg.stdout).trim().to_owned()).unwrap_or_default()
}

/// Returns the keyring to check a suite with, or `None` for the machine's own trusted keys.
pub(crate) fn keyring(suite: &Suite) -> Option<&'static str> {
    suite.keyrings.iter().copied().find(|file| Path::new(file).exists())
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Release {
    debian: bool,
    ubuntu: bool,
    code_name: String,
}

impl Release {
    fn parse(text: &str) -> Self {
        let value = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            line.unwrap_or_default().trim_matches('"').to_owned()
        };
        let code_name = match value("UBUNTU_CODENAME") {
            none if none.is_empty() => value("VERSION_CODENAME"),
            ubuntu => ubuntu,
        };
        let ubuntu =
            value("ID") == "ubuntu" || value("ID_LIKE").split(' ').any(|id| id == "ubuntu");
        Self { debian: value("ID") == "debian", ubuntu, code_name }
    }
}

fn suites_of(release: &Release, architecture: &str) -> Vec<Suite> {
    if release.debian {
        let pin = |pin| (architecture == "amd64").then_some(pin);
        let suite = |name: &str, version, pin| Suite {
            name: name.to_owned(),
            component: "main",
            keyrings: DEBIAN_KEYRINGS,
            version,
            pin,
        };
        return vec![
            suite("bookworm", Some(OLD_STABLE), pin(BOOKWORM)),
            suite("trixie", Some(STABLE), pin(TRIXIE)),
            suite("sid", None, None),
        ];
    }
    if release.ubuntu && !release.code_name.is_empty() {
        let suite = |name: &str| Suite {
            name: name.to_owned(),
            component: "universe",
            keyrings: UBUNTU_KEYRINGS,
            version: None,
            pin: None,
        };
        return vec![suite(&release.code_name), suite("devel")];
    }
    Vec::new()
}

fn own_suite_of(release: Release) -> Option<Suite> {
    let (component, keyrings) = match release {
        Release { debian: true, .. } => ("main", DEBIAN_KEYRINGS),
        Release { ubuntu: true, .. } => ("main universe", UBUNTU_KEYRINGS),
        Release { .. } => return None,
    };
    let name = release.code_name;
    (!name.is_empty()).then_some(Suite { name, component, keyrings, version: None, pin: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(release: &str, architecture: &str) -> Vec<(String, bool)> {
        suites_of(&Release::parse(release), architecture)
            .into_iter()
            .map(|suite| (suite.name, suite.pin.is_some()))
            .collect()
    }

    #[test]
    fn debian_has_three_suites_of_which_two_are_pinned_on_amd64() {
        let debian = "ID=debian\nVERSION_CODENAME=bookworm\n";
        let [a, b, c] = ["bookworm", "trixie", "sid"].map(str::to_owned);
        let expected = vec![(a.clone(), true), (b.clone(), true), (c.clone(), false)];
        assert_eq!(names(debian, "amd64"), expected);
        assert_eq!(names(debian, "arm64"), vec![(a, false), (b, false), (c, false)]);
    }

    #[test]
    fn ubuntu_and_its_children_have_their_own_release() {
        let ubuntu = "ID=ubuntu\nVERSION_CODENAME=noble\n";
        assert_eq!(names(ubuntu, "amd64")[0].0, "noble");
        let child = "ID=\"mint\"\nID_LIKE=\"ubuntu debian\"\nVERSION_CODENAME=wilma\n\
                     UBUNTU_CODENAME=noble\n";
        assert_eq!(names(child, "amd64")[0].0, "noble");
    }

    #[test]
    fn the_own_release_is_that_of_the_machine() {
        let own = |text: &str| own_suite_of(Release::parse(text));
        let debian = own("ID=debian\nVERSION_CODENAME=trixie\n").expect("a release");
        assert_eq!((debian.name.as_str(), debian.component), ("trixie", "main"));
        let ubuntu = own("ID=ubuntu\nVERSION_CODENAME=noble\n").expect("a release");
        assert_eq!((ubuntu.name.as_str(), ubuntu.component), ("noble", "main universe"));
        assert_eq!(own("ID=fedora\nVERSION_CODENAME=x\n"), None);
    }

    #[test]
    fn other_machines_have_none() {
        assert_eq!(names("ID=fedora\n", ""), vec![]);
        assert_eq!(names("", ""), vec![]);
    }
}
