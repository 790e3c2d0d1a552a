//! The list of equivalent mutants: edits that no caller could tell from the code as it is.
//!
//! ```text
//! # A comment.
//! core/src/rng.rs: replace | with ^ in Rng::next
//!     The operands have no bit in common.
//! ```
//!
//! A mutant is named as cargo-mutants names it, without its line; the reason stands below it,
//! indented. Where a function has several mutants of one name, each that is equivalent has an
//! entry of its own.

use etcd3_lab::{Error, Result};

/// A mutant that no test can notice, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Equivalent {
    pub(super) mutant: String,
    pub(super) reason: String,
}

impl Equivalent {
    /// Returns the file of the mutant.
    pub(super) fn file(&self) -> &str {
        self.mutant.split(':').next().unwrap_or_default()
    }
}

/// Reads the list.
pub(super) fn parse(list: &str) -> Result<Vec<Equivalent>> {
    let mut all: Vec<Equivalent> = Vec::new();
    for line in list.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        if line.starts_with(' ') {
            let of = all.last_mut().ok_or_else(|| Error::new(format!("{line:?} has no mutant")))?;
            let gap = if of.reason.is_empty() { "" } else { " " };
            of.reason.extend([gap, line.trim()]);
        } else {
            all.push(Equivalent { mutant: line.trim_end().to_owned(), reason: String::new() });
        }
    }
    match all.iter().find(|it| it.reason.is_empty() || !it.mutant.contains(": ")) {
        Some(bad) => Err(Error::new(format!("no reason, or no mutant: {:?}", bad.mutant))),
        None => Ok(all),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mutant_is_followed_by_its_reason() {
        let list = "# a\n\na/src/b.rs: replace c\n    for\n    two lines\nd.rs: e\n f\n";
        let all = parse(list).unwrap();
        assert_eq!(
            (all[0].mutant.as_str(), all[0].file()),
            ("a/src/b.rs: replace c", "a/src/b.rs")
        );
        assert_eq!((all[0].reason.as_str(), all[1].reason.as_str()), ("for two lines", "f"));
        assert_eq!(parse("# nothing\n"), Ok(vec![]));
    }

    #[test]
    fn a_mutant_without_a_reason_and_a_reason_without_a_mutant_are_refused() {
        for broken in ["a.rs: b\n", "a.rs: b\nc.rs: d\n  e\n", "  e\n", "b\n  e\n"] {
            assert!(parse(broken).is_err(), "{broken}");
        }
    }
}
