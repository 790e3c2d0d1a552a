//! The core depends on no runtime, and who uses the client builds few crates.

use crate::crates::Crates;
use crate::hello;
use crate::passed::Passed;
use etcd3_lab::{Error, Result};

/// The crates that have no place below the core.
const FORBIDDEN: &[&str] = &["tokio", "async-std", "smol", "async-io", "mio", "h2", "hyper"];
/// The largest number of crates below the core, itself included.
const MAX_CRATES: usize = 10;

pub(super) fn core() -> Result<Passed> {
    let crates = Crates::of("etcd3-core", &["--target", "all", "--all-features"])?;
    pure(&crates).map(|count| Passed::saying(format!("{count} crates, no runtime")))
}

pub(super) fn program() -> Result<Passed> {
    let count = hello::check_crates(&hello::crates_of_ours()?)?;
    Ok(Passed::saying(format!("{count} crates, no build script of ours")))
}

fn pure(crates: &Crates) -> Result<usize> {
    if let Some(found) = FORBIDDEN.iter().find_map(|name| crates.find(name)) {
        return Err(Error::new(format!("The core depends on {found}.")));
    }
    crates.at_most(MAX_CRATES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_and_a_crowd_are_refused() {
        let with = |more: &str| {
            let tree = format!("etcd3-core v0.1.0 (a/core)\ntokio-like v1.0.0\n{more}");
            pure(&Crates::read("etcd3-core", &tree).unwrap())
        };
        assert_eq!(with(""), Ok(2));
        assert!(with("tokio v1.54.0\n").is_err());
        let crowd: Vec<String> = (0..9).map(|i| format!("c{i} v1.0.0")).collect();
        assert!(with(&crowd.join("\n")).is_err());
        assert!(with(&crowd[..8].join("\n")).is_ok());
    }
}
