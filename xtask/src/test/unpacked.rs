//! The published packages as they are downloaded: made by cargo, and unpacked into a workspace of
//! their own, in which each takes the others from there.

use crate::shell::{self, Ended, STEP_LIMIT};
use crate::workspace;
use etcd3_lab::{Error, Result};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The first cargo that packages crates which depend on one another before one is published.
const MIN_CARGO: (u32, u32) = (1, 90);
/// The limit of what compiles nothing.
const LIMIT: Duration = Duration::from_secs(60);
/// The variable that keeps cargo from using the network.
const OFFLINE: &str = "CARGO_NET_OFFLINE";
/// What cargo says when it misses something that it could have fetched.
const OFFLINE_SIGNS: &[&str] = &["--offline", "could not be found in registry index"];

/// A package, by the name and the folder of its crate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) folder: String,
    version: String,
}

impl Package {
    pub(super) fn new(name: &str, folder: &str, version: &str) -> Self {
        Self { name: name.to_owned(), folder: folder.to_owned(), version: version.to_owned() }
    }

    /// Returns the folder that it is unpacked into, which is also the stem of its file.
    pub(super) fn unpacked(&self) -> String {
        format!("{}-{}", self.name, self.version)
    }
}

/// A workspace of unpacked packages.
#[derive(Debug)]
pub(super) struct Unpacked {
    pub(super) packages: Vec<Package>,
    folder: PathBuf,
}

impl Unpacked {
    /// Packages what is published and unpacks it, with the versions of our own lock file.
    ///
    /// # Errors
    ///
    /// Fails when cargo or tar does.
    pub(super) fn make() -> Result<Self> {
        let packages = published()?;
        // Nothing is built and no version chosen yet, so no network is needed.
        let words = ["package", "--offline", "--no-verify", "--allow-dirty", "--exclude-lockfile"];
        let mut cargo = workspace::cargo(words);
        for package in &packages {
            cargo.args(["-p", &package.name]);
        }
        finish(&cargo)?;
        let folder = workspace::target().join("unpacked");
        let told = |error| Error::new(format!("{}: {error}", folder.display()));
        match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(told(error)),
            _ => std::fs::create_dir_all(&folder).map_err(told)?,
        }
        for package in &packages {
            let file = workspace::target().join("package").join(package.unpacked() + ".crate");
            let mut tar = Command::new("tar");
            // The times in a package are always the same; cargo would take changes for built.
            finish(tar.args(["-x", "-z", "-m", "-f"]).arg(file).arg("-C").arg(&folder))?;
        }
        let lock = workspace::root().join("Cargo.lock");
        std::fs::copy(lock, folder.join("Cargo.lock")).map_err(told)?;
        let unpacked = Self { packages, folder };
        unpacked.write("Cargo.toml", &manifest(&unpacked.packages, &[]))?;
        Ok(unpacked)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Adds a program without dependencies, and returns its folder.
    pub(super) fn add_program(&self, name: &str, source: &str) -> Result<PathBuf> {
        let folder = self.folder.join(name);
        std::fs::create_dir_all(folder.join("src"))
            .map_err(|error| Error::new(format!("{}: {error}", folder.display())))?;
        let package =
            format!("[package]\nname = \"{name}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n");
        self.write(&format!("{name}/Cargo.toml"), &package)?;
        self.write(&format!("{name}/src/main.rs"), source)?;
        self.write("Cargo.toml", &manifest(&self.packages, &[name]))?;
        Ok(folder)
    }

    fn write(&self, file: &str, text: &str) -> Result<()> {
        let path = self.folder.join(file);
        std::fs::write(&path, text)
            .map_err(|error| Error::new(format!("{}: {error}", path.display())))
    }

    /// Makes a command line of cargo in a folder of the workspace. What it builds of others is
    /// shared with all else.
    pub(super) fn cargo<'a>(folder: &Path, words: impl IntoIterator<Item = &'a str>) -> Command {
        let mut cargo = workspace::cargo(words);
        cargo.current_dir(folder).env("CARGO_TARGET_DIR", workspace::target());
        cargo
    }

    /// Runs a command line of cargo without the network, and with it where something is missing.
    ///
    /// # Errors
    ///
    /// Fails when cargo does, with what it says.
    pub(super) fn run(mut cargo: Command) -> Result<()> {
        let ended = shell::capture(cargo.env(OFFLINE, "true"), STEP_LIMIT)?;
        let may_fetch = std::env::var_os(OFFLINE).is_none();
        if !ended.ok() && may_fetch && misses_network(&ended.output) {
            return finish(cargo.env_remove(OFFLINE)).map(drop);
        }
        good(ended).map(drop)
    }
}

/// Returns why there can be no packages with this cargo.
pub(super) fn why_not() -> Result<Option<String>> {
    let mut cargo = workspace::cargo(["--version"]);
    let said = good(shell::capture(cargo.env("CARGO_TERM_COLOR", "never"), LIMIT)?)?;
    let version = version_of(&said).ok_or_else(|| Error::new(format!("no version: {said}")))?;
    let (major, minor) = MIN_CARGO;
    Ok((version < MIN_CARGO).then(|| {
        let said = said.trim();
        format!("{said} cannot package crates that depend on one another, {major}.{minor} can")
    }))
}

/// Reads `cargo 1.95.0 (f2d3ce0bd 2026-03-21)`.
fn version_of(said: &str) -> Option<(u32, u32)> {
    let mut numbers = said.trim().strip_prefix("cargo ")?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Lists the members of the workspace that are published.
fn published() -> Result<Vec<Package>> {
    let root = workspace::read("Cargo.toml")?;
    let version = value_of(&root, "version").ok_or_else(|| Error::new("no version"))?;
    let mut packages = Vec::new();
    for folder in workspace::members()? {
        let manifest = workspace::read(&format!("{folder}/Cargo.toml"))?;
        if is_published(&manifest) {
            let name = value_of(&manifest, "name")
                .ok_or_else(|| Error::new(format!("{folder}: no name")))?;
            packages.push(Package::new(name, &folder, version));
        }
    }
    Ok(packages)
}

fn is_published(manifest: &str) -> bool {
    !manifest.lines().any(|line| line.trim() == "publish = false")
}

/// Returns the first text that a key of a manifest has, in a line of its own.
fn value_of<'a>(manifest: &'a str, key: &str) -> Option<&'a str> {
    let mut values =
        manifest.lines().filter_map(|line| line.strip_prefix(key)?.trim().strip_prefix('='));
    values.find_map(|value| value.trim().strip_prefix('"')?.strip_suffix('"'))
}

fn manifest(packages: &[Package], programs: &[&str]) -> String {
    let folders = packages.iter().map(Package::unpacked);
    let members: Vec<_> = folders.chain(programs.iter().map(|it| (*it).to_owned())).collect();
    let mut text =
        format!("[workspace]\nresolver = \"3\"\nmembers = {members:?}\n\n[patch.crates-io]\n");
    for package in packages {
        // A String takes everything.
        let _ = writeln!(text, "{} = {{ path = {:?} }}", package.name, package.unpacked());
    }
    text
}

fn misses_network(output: &str) -> bool {
    OFFLINE_SIGNS.iter().any(|sign| output.contains(sign))
}

fn finish(command: &Command) -> Result<String> {
    good(shell::capture(command, STEP_LIMIT)?)
}

fn good(ended: Ended) -> Result<String> {
    if ended.ok() { Ok(ended.output) } else { Err(Error::new(ended.output)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_cargos_are_known_by_their_versions() {
        assert_eq!(version_of("cargo 1.95.0 (f2d3ce0bd 2026-03-21)\n"), Some((1, 95)));
        assert!(version_of("cargo 1.88.0").unwrap() < MIN_CARGO);
        assert!(version_of("cargo 2.0.0").unwrap() > MIN_CARGO);
        assert_eq!(version_of("rustc 1.95.0"), None);
        assert_eq!(version_of("cargo one"), None);
    }

    #[test]
    fn what_says_nothing_is_published() {
        let manifest = "[package]\nname = \"a\"\nversion.workspace = true\n";
        assert!(is_published(manifest));
        assert!(!is_published(&format!("{manifest}publish = false\n")));
        assert_eq!(value_of(manifest, "name"), Some("a"));
        assert_eq!(value_of(manifest, "version"), None);
    }

    #[test]
    fn packages_take_each_other_from_where_they_are_unpacked() {
        let package = |name| Package::new(name, "x", "0.1.0");
        let text = manifest(&[package("a"), package("a-b")], &["program"]);
        assert!(text.contains("members = [\"a-0.1.0\", \"a-b-0.1.0\", \"program\"]"), "{text}");
        let patches = ["a = { path = \"a-0.1.0\" }", "a-b = { path = \"a-b-0.1.0\" }"];
        let patches = format!("[patch.crates-io]\n{}\n", patches.join("\n"));
        assert!(text.ends_with(&patches), "{text}");
    }

    #[test]
    fn only_what_is_missing_is_fetched() {
        assert!(misses_network("attempting to make an HTTP request, but --offline was specified"));
        assert!(misses_network("error: the crate `a` could not be found in registry index."));
        assert!(!misses_network("error[E0425]: cannot find value `a`"));
    }
}
