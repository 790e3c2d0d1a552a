//! Unpacking a Debian package without root, without installing it and without the machine's lists.
//!
//! A pinned package is fetched by its hash, without any index; else the suite's index is fetched
//! into folders of our own. Both ask the mirror that the machine's configuration names.

use super::machine::{self, Pin, Suite};
use crate::command::{self, Finished};
use crate::{Error, Result};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Bounds each step; the largest fetches about 12 MB.
const LIMIT: Duration = Duration::from_secs(150);

/// Bounds the mirrors that are tried one after the other.
const MAX_MIRRORS: usize = 4;

/// Unpacks the etcd server of a suite below `scratch`, and returns the binary and its source.
pub(super) fn unpack(suite: &Suite, scratch: &Path) -> Result<(PathBuf, String)> {
    let mut reasons = Vec::new();
    for (turn, mirror) in mirrors(scratch)?.iter().take(MAX_MIRRORS).enumerate() {
        let folder = scratch.join(format!("mirror-{turn}"));
        let by_hash = suite.pin.map(|pin| pinned(mirror, pin, &folder));
        let package = match by_hash {
            Some(Ok(package)) => Ok(package),
            Some(Err(_)) | None => indexed(mirror, suite, &folder),
        };
        match package.and_then(|package| extract(&package, &folder)) {
            Ok(binary) => return Ok((binary, format!("package of {}", suite.name))),
            Err(error) => reasons.push(error.to_string()),
        }
    }
    Err(Error::new(if reasons.is_empty() {
        "the package configuration names no main mirror".to_owned()
    } else {
        reasons.join("; ")
    }))
}

/// Asks the machine's package configuration for the addresses of its main archive.
fn mirrors(scratch: &Path) -> Result<Vec<String>> {
    // With empty lists the configured addresses are printed as they stand; nothing is fetched.
    let lists = scratch.join("none");
    folders(&[&lists.join("partial")])?;
    let mut ask = apt_get();
    ask.args(["-o", &format!("Dir::State::Lists={}", lists.display())]);
    let asked = run(ask.args(["update", "--print-uris"]))?;
    Ok(mirrors_in(&asked.stdout, &machine::mirror_suites()))
}

/// Finds the bases of `'<base>dists/<suite>/InRelease'` in the order of `suites`.
fn mirrors_in(uris: &str, suites: &[String]) -> Vec<String> {
    let mut mirrors: Vec<String> = Vec::new();
    for suite in suites {
        let end = format!("dists/{suite}/InRelease");
        for line in uris.lines() {
            let uri = line.split('\'').nth(1).unwrap_or_default();
            let base = uri.strip_suffix(&end).filter(|base| base.ends_with('/'));
            if let Some(base) = base.filter(|base| !mirrors.iter().any(|known| known == base)) {
                mirrors.push(base.to_owned());
            }
        }
    }
    mirrors
}

/// Fetches a package whose address and hash are known.
fn pinned(mirror: &str, pin: Pin, folder: &Path) -> Result<PathBuf> {
    folders(&[folder])?;
    let helper = ["/usr/lib/apt/apt-helper", "/usr/libexec/apt/apt-helper"];
    let helper = helper.into_iter().find(|file| Path::new(file).exists());
    let helper = helper.ok_or_else(|| Error::new("no apt-helper"))?;
    let package = folder.join("pinned.deb");
    let mut fetch = Command::new(helper);
    fetch.args(["-o", "APT::Sandbox::User=", "download-file"]).arg(format!("{mirror}{}", pin.path));
    run(fetch.arg(&package).arg(format!("SHA256:{}", pin.sha256)))?;
    Ok(package)
}

/// Fetches a suite's index into folders below `folder`, and the package that it names.
fn indexed(mirror: &str, suite: &Suite, folder: &Path) -> Result<PathBuf> {
    let [etc, state, cache, out] = ["etc", "state", "cache", "out"].map(|name| folder.join(name));
    let lists = folder.join("lists");
    folders(&[&etc, &state, &lists.join("partial"), &cache.join("archives/partial"), &out])?;
    save(&state.join("status"), "")?;
    save(&etc.join("lab.sources"), &source_entry(mirror, suite))?;
    let apt = || {
        let mut apt = apt_get();
        for (key, place) in [
            ("Dir::Etc::SourceParts", etc.clone()),
            ("Dir::State", state.clone()),
            ("Dir::State::Lists", lists.clone()),
            ("Dir::State::status", state.join("status")),
            ("Dir::Cache", cache.clone()),
        ] {
            apt.args(["-o", &format!("{key}={}", place.display())]);
        }
        apt.args(["-o", "Dir::Etc::SourceList=/dev/null"]).current_dir(&out);
        apt
    };
    run(apt().arg("update"))?;
    run(apt().args(["download", "etcd-server"]))?;
    let package = std::fs::read_dir(&out)
        .map_err(Error::doing(out.display()))?
        .flatten()
        .map(|file| file.path())
        .find(|file| file.extension().is_some_and(|extension| extension == "deb"));
    package.ok_or_else(|| Error::new(format!("{} was not downloaded", suite.what())))
}

fn source_entry(mirror: &str, suite: &Suite) -> String {
    let (name, component) = (&suite.name, suite.component);
    let architecture = machine::architecture();
    let mut entry = format!(
        "Types: deb\nURIs: {mirror}\nSuites: {name}\nComponents: {component}\n\
         Architectures: {architecture}\n"
    );
    if let Some(keyring) = machine::keyring(suite) {
        entry.push_str("Signed-By: ");
        entry.push_str(keyring);
        entry.push('\n');
    }
    entry
}

fn extract(package: &Path, folder: &Path) -> Result<PathBuf> {
    let tree = folder.join("tree");
    run(Command::new("dpkg").arg("-x").arg(package).arg(&tree))?;
    let binary = tree.join("usr/bin/etcd");
    if binary.is_file() {
        return Ok(binary);
    }
    Err(Error::new(format!("no usr/bin/etcd in {}", package.display())))
}

/// Starts a command line that works for everybody and asks nobody.
fn apt_get() -> Command {
    let mut apt = Command::new("apt-get");
    apt.env("LC_ALL", "C").arg("-q");
    for option in [
        "APT::Sandbox::User=",
        "APT::Update::Post-Invoke=",
        // Without it an index that cannot be fetched is no error.
        "APT::Update::Error-Mode=any",
        "Acquire::Languages=none",
        "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
        "Acquire::Retries=2",
        "Debug::NoLocking=1",
    ] {
        apt.args(["-o", option]);
    }
    apt
}

fn run(command: &mut Command) -> Result<Finished> {
    let name = command.get_program().to_string_lossy().into_owned();
    command::run(command, LIMIT).and_then(Finished::success).map_err(Error::doing(name))
}

fn folders(paths: &[&Path]) -> Result<()> {
    paths
        .iter()
        .try_for_each(|path| std::fs::create_dir_all(path).map_err(Error::doing(path.display())))
}

fn save(file: &Path, text: &str) -> Result<()> {
    std::fs::write(file, text).map_err(Error::doing(file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_the_one_of_the_exact_suite() {
        let uris = "\
            'http://one.test/debian/dists/bookworm-updates/InRelease' x 0 \n\
            'http://one.test/debian-security/dists/bookworm-security/InRelease' x 0 \n\
            'http://one.test/debian/dists/bookworm/InRelease' x 0 \n\
            'http://one.test/debian/dists/bookworm/InRelease' x 0 \n\
            'http://two.test/debian/dists/sid/InRelease' x 0 \n\
            'http://one.test/debian/dists/bookworm/main/Packages.xz' x 0 \n";
        let suites = ["bookworm", "sid"].map(str::to_owned);
        let mirrors = mirrors_in(uris, &suites);
        assert_eq!(mirrors, ["http://one.test/debian/", "http://two.test/debian/"]);
        assert!(mirrors_in(uris, &["trixie".to_owned()]).is_empty());
    }
}
