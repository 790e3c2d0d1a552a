//! Unpacking Debian packages without root, without installing them and without the machine's lists.
//!
//! A pinned package is fetched by its hash, without any index; else the suite's index is fetched
//! into folders of our own. Both ask the mirror that the machine's configuration names.

use crate::command::{self, ProgramOutput};
use crate::distribution::{self, Pin, Suite};
use crate::{Error, Result};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The limit of each step; the largest fetches about 12 MB.
const LIMIT: Duration = Duration::from_secs(150);

/// The largest number of mirrors that are tried one after the other.
const MAX_MIRRORS: usize = 4;

/// A package, with those that it needs and that no machine is sure to have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    /// The package first, and what else is to be unpacked with it.
    pub(crate) packages: &'static [&'static str],
    /// The beginnings of the names of dependencies that are unpacked too, in all depths.
    pub(crate) needs: &'static [&'static str],
    /// The first package where it is known beforehand; it is fetched alone then.
    pub(crate) pin: Option<Pin>,
}

/// Unpacks packages of a suite below `scratch`, and returns the folder that has their tree.
pub(crate) fn unpack(suite: &Suite, wanted: Wanted, scratch: &Path) -> Result<PathBuf> {
    let mut reasons = Vec::new();
    for (turn, mirror) in mirrors(scratch)?.iter().take(MAX_MIRRORS).enumerate() {
        let folder = scratch.join(format!("mirror-{turn}"));
        let by_hash = wanted.pin.map(|pin| pinned(mirror, pin, &folder));
        let tree = match by_hash {
            Some(Ok(tree)) => Ok(tree),
            Some(Err(_)) | None => indexed(mirror, suite, wanted, &folder),
        };
        match tree {
            Ok(tree) => return Ok(tree),
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
    Ok(mirrors_in(&asked.stdout, &distribution::mirror_suites()))
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

/// Fetches and unpacks a package whose address and hash are known.
fn pinned(mirror: &str, pin: Pin, folder: &Path) -> Result<PathBuf> {
    folders(&[folder])?;
    let helper = ["/usr/lib/apt/apt-helper", "/usr/libexec/apt/apt-helper"];
    let helper = helper.into_iter().find(|file| Path::new(file).exists());
    let helper = helper.ok_or_else(|| Error::new("no apt-helper"))?;
    let package = folder.join("pinned.deb");
    let mut fetch = Command::new(helper);
    fetch.args(["-o", "APT::Sandbox::User=", "download-file"]).arg(format!("{mirror}{}", pin.path));
    run(fetch.arg(&package).arg(format!("SHA256:{}", pin.sha256)))?;
    extract(&package, folder)
}

/// Fetches a suite's index into folders below `folder`, and unpacks the packages that it names.
fn indexed(mirror: &str, suite: &Suite, wanted: Wanted, folder: &Path) -> Result<PathBuf> {
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
    let mut names: Vec<String> = wanted.packages.iter().map(|&name| name.to_owned()).collect();
    let mut next = 0;
    while let Some(name) = names.get(next).cloned() {
        next += 1;
        run(apt().args(["download", &name]))?;
        let package = downloaded(&out, &name)?;
        extract(&package, folder)?;
        let asked = run(Command::new("dpkg-deb").arg("-f").arg(&package).arg("Depends"))?;
        for needed in needs_in(&asked.stdout, wanted.needs) {
            if !names.contains(&needed) {
                names.push(needed);
            }
        }
    }
    Ok(folder.join("tree"))
}

/// Finds the file of a package that was downloaded: its name is followed by its version.
fn downloaded(out: &Path, name: &str) -> Result<PathBuf> {
    let begin = format!("{name}_");
    let files = std::fs::read_dir(out).map_err(Error::doing(out.display()))?;
    let mut files = files.flatten().map(|file| file.path());
    let found = files.find(|file| {
        let file = file.file_name().unwrap_or_default().to_string_lossy();
        file.starts_with(&begin)
    });
    found.ok_or_else(|| Error::new(format!("{name} was not downloaded")))
}

/// Finds the dependencies whose names begin in one of these ways; of alternatives the first.
fn needs_in(depends: &str, beginnings: &[&str]) -> Vec<String> {
    let names = depends.split(',').filter_map(|one| {
        let name = one.trim().split([' ', '(', '|', ':']).next()?;
        beginnings.iter().any(|it| name.starts_with(it)).then(|| name.to_owned())
    });
    names.collect()
}

fn source_entry(mirror: &str, suite: &Suite) -> String {
    let (name, component) = (&suite.name, suite.component);
    let architecture = distribution::architecture();
    let mut entry = format!(
        "Types: deb\nURIs: {mirror}\nSuites: {name}\nComponents: {component}\n\
         Architectures: {architecture}\n"
    );
    if let Some(keyring) = distribution::keyring(suite) {
        entry.push_str("Signed-By: ");
        entry.push_str(keyring);
        entry.push('\n');
    }
    entry
}

/// Adds the files of a package to the tree below `folder`.
fn extract(package: &Path, folder: &Path) -> Result<PathBuf> {
    let tree = folder.join("tree");
    run(Command::new("dpkg").arg("-x").arg(package).arg(&tree))?;
    Ok(tree)
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

fn run(command: &mut Command) -> Result<ProgramOutput> {
    let name = command.get_program().to_string_lossy().into_owned();
    command::run(command, LIMIT).and_then(ProgramOutput::success).map_err(Error::doing(name))
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
    fn dependencies_are_taken_by_the_begin_of_their_names() {
        let depends =
            "libc6 (>= 2.34), libprotobuf32 (= 3.21.12-3), libprotoc32:any, a | libprotox";
        assert_eq!(needs_in(depends, &["libproto"]), ["libprotobuf32", "libprotoc32"]);
        assert!(needs_in("", &["libproto"]).is_empty());
    }

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
