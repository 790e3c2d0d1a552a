//! Which cases run on which runtime, and against which servers.
//!
//! In each turn a case runs against every server that it is for on one of the runtimes, and against
//! the newest one on the others. The turns of different cases begin at different runtimes, so that
//! each turn has something of all pairs; after three turns every case has been run everywhere.

use crate::Case;
use etcd3_lab::etcd::Binary;

/// The variable that makes all cases run everywhere.
const ALL: &str = "ETCD3_ALL";
/// The variable with the number of the turn: the number of commits, for example.
const TURN: &str = "ETCD3_TURN";
/// The runtimes that take turns.
const RUNTIMES: [&str; 3] = ["tokio", "smol", "async-std"];

/// A turn, or all of them at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// The turn with this number.
    Number(usize),
    /// Everything runs everywhere.
    All,
}

impl Turn {
    /// Reads the variables that decide about it; without them it is the first one.
    pub(crate) fn from_environment() -> Self {
        if std::env::var_os(ALL).is_some() {
            return Self::All;
        }
        let number = std::env::var(TURN).ok().and_then(|turn| turn.parse().ok());
        Self::Number(number.unwrap_or_default())
    }

    /// Returns the servers that a case runs against on a runtime in this turn, the oldest first.
    pub(crate) fn servers<'a>(
        self,
        case: &Case,
        binaries: &'a [Binary],
        runtime: &str,
    ) -> &'a [Binary] {
        let fitting = fitting(case, binaries);
        let newest = &fitting[fitting.len().saturating_sub(1)..];
        if case.needs.is_versionless {
            return newest;
        }
        match self {
            Self::Number(turn) if !is_due(case, runtime, turn) => newest,
            Self::Number(_) | Self::All => fitting,
        }
    }
}

/// Returns the servers that a case is for.
fn fitting<'a>(case: &Case, binaries: &'a [Binary]) -> &'a [Binary] {
    let since = case.needs.since;
    let first = binaries.iter().position(|etcd| since.is_none_or(|since| etcd.version >= since));
    &binaries[first.unwrap_or(binaries.len())..]
}

/// Tells whether it is this runtime's turn to run a case against all servers. It is always the turn
/// of a runtime of somebody else's.
fn is_due(case: &Case, runtime: &str, turn: usize) -> bool {
    let sum = case.name.bytes().fold(0usize, |sum, byte| sum.wrapping_mul(31) + usize::from(byte));
    let due = RUNTIMES[(sum % RUNTIMES.len() + turn % RUNTIMES.len()) % RUNTIMES.len()];
    due == runtime || !RUNTIMES.contains(&runtime)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases;
    use etcd3_lab::etcd::Version;
    use std::collections::BTreeSet;

    fn binaries() -> Vec<Binary> {
        let binary = |version: &str| Binary {
            version: version.parse().unwrap(),
            path: version.into(),
            source: "a test".into(),
        };
        ["3.4.23", "3.5.16", "3.5.30", "3.6.16", "3.7.3"].map(binary).to_vec()
    }

    /// Returns the pairs of runtime and version that a case runs on in a turn.
    fn pairs(case: &Case, turn: Turn) -> BTreeSet<(&'static str, Version)> {
        let binaries = binaries();
        let of = |runtime| turn.servers(case, &binaries, runtime).iter();
        RUNTIMES.into_iter().flat_map(|name| of(name).map(move |it| (name, it.version))).collect()
    }

    #[test]
    fn a_turn_has_every_version_on_one_runtime_and_the_newest_on_the_others() {
        let newest = binaries().pop().unwrap().version;
        for case in cases::all() {
            let for_case = fitting(case, &binaries()).len();
            for turn in [0, 1, 2, 1_000_000] {
                let pairs = pairs(case, Turn::Number(turn));
                let expected = if case.needs.is_versionless { 3 } else { for_case + 2 };
                assert_eq!(pairs.len(), expected, "{} in turn {turn}", case.name);
                for runtime in RUNTIMES {
                    assert!(pairs.contains(&(runtime, newest)), "{} on {runtime}", case.name);
                }
            }
        }
    }

    #[test]
    fn three_turns_bring_every_case_to_every_pair_of_runtime_and_version() {
        for case in cases::all() {
            for first in [0, 7, 1_000_000, usize::MAX - 2] {
                let turns = (first..=first + 2).map(Turn::Number);
                let seen: BTreeSet<_> = turns.flat_map(|turn| pairs(case, turn)).collect();
                assert_eq!(seen, pairs(case, Turn::All), "{} from {first}", case.name);
            }
            let everywhere =
                if case.needs.is_versionless { 1 } else { fitting(case, &binaries()).len() };
            assert_eq!(pairs(case, Turn::All).len(), 3 * everywhere, "{}", case.name);
        }
    }

    #[test]
    fn every_turn_has_something_of_every_pair() {
        for turn in 0..3 {
            let seen: BTreeSet<_> =
                cases::all().flat_map(|case| pairs(case, Turn::Number(turn))).collect();
            assert_eq!(seen.len(), RUNTIMES.len() * binaries().len(), "turn {turn}: {seen:?}");
        }
    }

    #[test]
    fn a_runtime_of_somebody_elses_runs_everything() {
        let all = binaries();
        for case in cases::all() {
            let run = Turn::Number(1).servers(case, &all, "mine");
            assert_eq!(run, Turn::All.servers(case, &all, "mine"), "{}", case.name);
        }
    }

    #[test]
    fn a_case_runs_on_no_older_server_than_it_needs() {
        let any = cases::all().find(|case| !case.needs.is_versionless);
        let case = any.unwrap().since(Version::minor(3, 6));
        let binaries = binaries();
        let versions = |servers: &[Binary]| servers.iter().map(|it| it.version).collect::<Vec<_>>();
        let run = versions(Turn::All.servers(&case, &binaries, "tokio"));
        assert_eq!(run, versions(&binaries[3..]));
        assert!(Turn::All.servers(&case, &binaries[..3], "tokio").is_empty());
        assert!(Turn::All.servers(&case.any_version(), &binaries[..3], "tokio").is_empty());
    }
}
