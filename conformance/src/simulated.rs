//! The suite in virtual time, on the simulated network, against the model.

use crate::results::Subject;
use crate::trial::{self, Encryption};
use crate::{Case, CaseResult, Ctx, EtcdSource, cases};
use etcd3_lab::etcd::Version;
use libtest_mimic::{Failed, Trial};
use std::sync::Arc;

/// The versions whose behaviour the model knows well.
const VERSIONS: [Version; 5] = [
    Version { major: 3, minor: 4, patch: 23 },
    Version { major: 3, minor: 5, patch: 16 },
    Version { major: 3, minor: 5, patch: 30 },
    Version { major: 3, minor: 6, patch: 16 },
    Version { major: 3, minor: 7, patch: 3 },
];
/// The environment variable with another seed.
const SEED: &str = "ETCD3_SEED";

/// Returns all cases that the model is enough for, against each version; and the others, as
/// ignored, each with what it needs.
pub(crate) fn trials(runtime: &'static str, seed: u64) -> Vec<Trial> {
    let given = std::env::var(SEED).ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or(seed);
    let mut trials = Vec::new();
    for case in cases::all() {
        if let Some(what_for) = case.needs.real {
            trials.push(left_out(case, what_for));
            continue;
        }
        let versions = VERSIONS.into_iter().filter(|version| is_for(case, *version));
        trials.extend(versions.map(|version| {
            let name = trial::name_of(case, Encryption::Plain);
            let subject = Subject { runtime, case: *case, name, version };
            trial::trial(subject, move || run(runtime, *case, version, seed))
        }));
    }
    trials
}

fn is_for(case: &Case, version: Version) -> bool {
    let newest = VERSIONS[VERSIONS.len() - 1];
    case.needs.since.is_none_or(|since| version >= since)
        && (!case.needs.is_versionless || version == newest)
}

fn left_out(case: &Case, what_for: &'static str) -> Trial {
    let why = Failed::from(format!("the model is not enough for this case: {what_for}"));
    Trial::test(case.short_name(), move || Err(why))
        .with_kind(format!("left out: {what_for}"))
        .with_ignored_flag(true)
}

fn run(runtime: &'static str, case: Case, version: Version, seed: u64) -> CaseResult {
    let outcome = trial::caught(|| {
        let ended = etcd3_sim::run(seed, |world| async move {
            let rt = Arc::new(world.host().runtime());
            let etcd = EtcdSource::model(world, version);
            case.run_in(Ctx::new(rt, etcd, runtime)).await
        });
        ended.map_or_else(|failure| Err(failure.into()), |(result, _)| result)
    });
    outcome.map_err(|error| format!("{error} (again with {SEED}={seed})").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_enough_for_most_cases() {
        // The others are about scripted peers, broken networks and certificates.
        let is_about_servers =
            |case: &&Case| !case.needs.is_versionless && !case.name.contains("::tls_");
        let about_servers = || cases::all().filter(is_about_servers);
        let all = about_servers().count();
        let left_out = about_servers().filter(|case| case.needs.real.is_some()).count();
        assert!(left_out * 10 <= all * 4, "{left_out} of {all} cases are left out");
    }
}
