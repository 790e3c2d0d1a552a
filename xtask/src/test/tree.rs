//! The core depends on no runtime, and on few crates.

use super::report::Passed;
use super::{LIMIT, shell};
use crate::workspace;
use etcd3_lab::{Error, Result};
use std::collections::BTreeSet;

/// Names what has no place below the core.
const FORBIDDEN: &[&str] = &["tokio", "async-std", "smol", "async-io", "mio", "h2", "hyper"];
/// Is the largest number of crates below the core, itself included.
const MAX_CRATES: usize = 20;

pub(super) fn check() -> Result<Passed> {
    let mut tree = workspace::cargo(["tree", "--locked", "-p", "etcd3-core"]);
    tree.args(["-e", "normal,build", "--target", "all", "--all-features"]);
    tree.args(["--prefix", "none", "--format", "{p}"]);
    let ended = shell::capture(&tree, LIMIT)?;
    if !ended.ok() {
        return Err(Error::new(ended.output));
    }
    count(&ended.output).map(|crates| Passed::saying(format!("{crates} crates, no runtime")))
}

/// Counts the crates of a tree that has one crate on each line. An absent crate proves nothing
/// unless the tree is there, so the core itself has to be in it.
fn count(tree: &str) -> Result<usize> {
    let lines = tree.lines().map(|line| line.trim().trim_end_matches(" (*)"));
    let crates: BTreeSet<&str> = lines.filter(|line| !line.is_empty()).collect();
    let name = |line: &&&str| line.split(' ').next().unwrap_or_default().to_owned();
    if !crates.iter().any(|line| name(&line) == "etcd3-core") {
        return Err(Error::new(format!("The tree of etcd3-core is not there:\n{tree}")));
    }
    if let Some(found) = crates.iter().find(|line| FORBIDDEN.contains(&name(line).as_str())) {
        return Err(Error::new(format!("The core depends on {found}.")));
    }
    if crates.len() > MAX_CRATES {
        let list: Vec<&str> = crates.iter().copied().collect();
        let (count, list) = (list.len(), list.join("\n"));
        return Err(Error::new(format!("{count} crates, {MAX_CRATES} allowed:\n{list}")));
    }
    Ok(crates.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "\
etcd3-core v0.1.0 (a/core)
bytes v1.12.0
etcd3-proto v0.1.0 (a/proto)
bytes v1.12.0 (*)
tokio-like v1.0.0
";

    #[test]
    fn distinct_crates_are_counted() {
        assert_eq!(count(TREE), Ok(4));
    }

    #[test]
    fn an_empty_tree_is_no_proof() {
        assert!(count("").is_err());
        assert!(count("bytes v1.12.0\n").is_err());
    }

    #[test]
    fn a_runtime_and_a_crowd_are_refused() {
        assert!(count(&format!("{TREE}tokio v1.54.0\n")).is_err());
        let crowd: Vec<String> = (0..17).map(|i| format!("c{i} v1.0.0")).collect();
        assert!(count(&format!("{TREE}{}", crowd.join("\n"))).is_err());
        assert!(count(&format!("{TREE}{}", crowd[..16].join("\n"))).is_ok());
    }
}
