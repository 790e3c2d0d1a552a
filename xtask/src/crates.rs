//! Which crates a package is built from.

use crate::{shell, workspace};
use etcd3_lab::{Error, Result};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

/// The limit of a question to cargo, which may have to fetch what it is asked about.
const LIMIT: Duration = Duration::from_secs(10 * 60);

/// The set of crates that a package is built from, itself included, without those that only its
/// tests need.
#[derive(Debug)]
pub(crate) struct Crates(BTreeSet<String>);

impl Crates {
    /// Asks cargo about a package; the words say more about where and how.
    ///
    /// # Errors
    ///
    /// Fails when cargo does, or does not know the package.
    pub(crate) fn of(package: &str, words: &[&str]) -> Result<Self> {
        // Without a word about crates that are downloaded for it, which would be counted.
        let mut tree = workspace::cargo(["tree", "--quiet", "--locked", "-p", package]);
        tree.args(["-e", "normal,build", "--prefix", "none", "--format", "{p}"]).args(words);
        let ended = shell::capture(&tree, LIMIT)?;
        if !ended.ok() {
            return Err(Error::new(ended.output));
        }
        Self::read(package, &ended.output)
    }

    /// Reads a tree that has one crate on each line. An absent crate proves nothing unless the tree
    /// is there, so the package itself has to be in it.
    pub(crate) fn read(package: &str, tree: &str) -> Result<Self> {
        let lines = tree.lines().map(|line| line.trim().trim_end_matches(" (*)"));
        let crates: BTreeSet<String> =
            lines.filter(|line| !line.is_empty()).map(str::to_owned).collect();
        if !crates.iter().any(|line| name(line) == package) {
            return Err(Error::new(format!("The tree of {package} is not there:\n{tree}")));
        }
        Ok(Self(crates))
    }

    /// Returns how many there are, two versions of one counted twice.
    ///
    /// # Errors
    ///
    /// Fails with all their names when there are more than `limit`.
    pub(crate) fn at_most(&self, limit: usize) -> Result<usize> {
        let count = self.len();
        if count <= limit {
            return Ok(count);
        }
        let list: Vec<&str> = self.0.iter().map(String::as_str).collect();
        Err(Error::new(format!("{count} crates, {limit} allowed:\n{}", list.join("\n"))))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Finds a crate by its name.
    pub(crate) fn find(&self, wanted: &str) -> Option<&str> {
        self.0.iter().map(String::as_str).find(|line| name(line) == wanted)
    }

    /// Lists the crates of this workspace that have a build script.
    ///
    /// # Errors
    ///
    /// Fails when a manifest cannot be read.
    pub(crate) fn own_build_scripts(&self) -> Result<Vec<&str>> {
        let mut found = Vec::new();
        for line in &self.0 {
            let folder = line.split_once('(').and_then(|(_, rest)| rest.split(')').next());
            let folder = Path::new(folder.unwrap_or_default());
            // Of others cargo tells no folder; a macro has a word in its place.
            if folder.is_absolute() {
                let manifest = folder.join("Cargo.toml");
                let manifest = std::fs::read_to_string(&manifest)
                    .map_err(|error| Error::new(format!("{}: {error}", manifest.display())))?;
                if has_build_script(&manifest) || folder.join("build.rs").exists() {
                    found.push(name(line));
                }
            }
        }
        Ok(found)
    }
}

fn name(line: &str) -> &str {
    line.split(' ').next().unwrap_or_default()
}

fn has_build_script(manifest: &str) -> bool {
    manifest.lines().any(|line| line.split('=').next().is_some_and(|key| key.trim() == "build"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "\
etcd3-core v0.1.0 (a/core)
bytes v1.12.0
etcd3-proto v0.1.0 (a/proto)
bytes v1.12.0 (*)
macros v1.0.0 (proc-macro)
";

    #[test]
    fn distinct_crates_are_counted() {
        let crates = Crates::read("etcd3-core", TREE).unwrap();
        assert_eq!(crates.at_most(4), Ok(4));
        assert!(crates.at_most(3).unwrap_err().to_string().contains("bytes v1.12.0"));
        assert_eq!(crates.find("bytes"), Some("bytes v1.12.0"));
        assert_eq!(crates.find("byte"), None);
    }

    #[test]
    fn an_empty_tree_is_no_proof() {
        assert!(Crates::read("etcd3-core", "").is_err());
        assert!(Crates::read("etcd3-core", "bytes v1.12.0\n").is_err());
    }

    #[test]
    fn a_build_script_is_found_by_its_file_or_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let line = format!("ours v0.1.0 ({})\nmacros v1.0.0 (proc-macro)", folder.path().display());
        let crates = Crates::read("ours", &line).unwrap();
        assert!(crates.own_build_scripts().is_err(), "a crate without a manifest");
        let manifest = folder.path().join("Cargo.toml");
        std::fs::write(&manifest, "[package]\nname = \"ours\"\n").unwrap();
        assert_eq!(crates.own_build_scripts().unwrap(), [""; 0]);
        std::fs::write(&manifest, "[package]\nbuild = \"make.rs\"\n").unwrap();
        assert_eq!(crates.own_build_scripts().unwrap(), ["ours"]);
        std::fs::write(&manifest, "[package]\nname = \"ours\"\n").unwrap();
        std::fs::write(folder.path().join("build.rs"), "").unwrap();
        assert_eq!(crates.own_build_scripts().unwrap(), ["ours"]);
    }
}
