//! The published packages have all that they need, and each of them builds on its own.

use super::unpacked::{Package, Unpacked, why_not};
use crate::passed::Passed;
use etcd3_lab::{Error, Result};
use std::path::Path;

/// The files that every package has, besides its sources.
const FILES: &[&str] = &["README.md", "LICENSE-MIT", "LICENSE-APACHE"];
/// The keys that the manifest of every package has.
const KEYS: [&str; 6] =
    ["description", "license", "repository", "documentation", "readme", "rust-version"];
/// The part of a manifest that has docs.rs show what lies behind features.
const DOCS: &str = "[package.metadata.docs.rs]";

pub(super) fn check_packages() -> Result<Passed> {
    if let Some(why) = why_not()? {
        return Ok(Passed::alarming(format!("SKIPPED packages: {why}")));
    }
    let unpacked = Unpacked::make()?;
    let mut problems = Vec::new();
    for package in &unpacked.packages {
        problems.extend(problems_of(package, &unpacked.folder().join(package.unpacked()))?);
    }
    if !problems.is_empty() {
        return Err(Error::new(problems.join("\n")));
    }
    for package in &unpacked.packages {
        let cargo = |words| {
            let check = ["check", "--quiet", "-p", &package.name].into_iter().chain(words);
            Unpacked::run(Unpacked::cargo(unpacked.folder(), check))
        };
        // As a dependency, then with its tests and examples, none of which may need a file outside.
        cargo(vec![])?;
        cargo(vec!["--all-features", "--all-targets"])?;
    }
    let names: Vec<&str> = unpacked.packages.iter().map(|it| it.name.as_str()).collect();
    Ok(Passed::saying(format!("{} packages: {}", names.len(), names.join(", "))))
}

fn problems_of(package: &Package, folder: &Path) -> Result<Vec<String>> {
    let path = folder.join("Cargo.toml");
    let manifest = std::fs::read_to_string(&path)
        .map_err(|error| Error::new(format!("{}: {error}", path.display())))?;
    let files = FILES.iter().filter(|file| !folder.join(file).is_file());
    let files = files.map(|file| format!("the file {file}"));
    let missing = files.chain(missing_in(&manifest));
    Ok(missing.map(|it| format!("The package of {} lacks {it}.", package.folder)).collect())
}

/// Lists what the manifest of a package, as cargo wrote it, lacks.
fn missing_in(manifest: &str) -> Vec<String> {
    let has = |begin: &str| manifest.lines().any(|line| line.starts_with(begin));
    let keys = KEYS.iter().filter(|key| !has(&format!("{key} = ")));
    let mut missing: Vec<_> = keys.map(|key| format!("the key {key}")).collect();
    if has("[features]") && !has(DOCS) {
        missing.push(format!("the part {DOCS}"));
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> String {
        KEYS.map(|key| format!("{key} = \"x\"\n")).concat()
    }

    #[test]
    fn every_key_is_missed() {
        assert_eq!(missing_in(&manifest()), [""; 0]);
        for key in KEYS {
            let without = manifest().replace(&format!("{key} = \"x\"\n"), "");
            assert_eq!(missing_in(&without), [format!("the key {key}")]);
        }
    }

    #[test]
    fn features_are_documented() {
        let features = manifest() + "[features]\nlaws = []\n";
        assert_eq!(missing_in(&features), ["the part [package.metadata.docs.rs]"]);
        assert_eq!(missing_in(&(features + DOCS + "\n")), [""; 0]);
    }
}
