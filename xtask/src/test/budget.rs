//! Which steps of a test run took longer than they may.

use super::share::Share;
use super::steps::Step;
use crate::shell;

/// Returns a line for each share that its steps have overrun, with the longest of them.
pub(super) fn overruns(steps: &[&Step], seconds: impl Fn(&str) -> f64) -> Vec<String> {
    let overrun = |share: Share| {
        let of_share = steps.iter().filter(|step| step.share == Some(share));
        let mut times: Vec<_> = of_share.map(|step| (step.name, seconds(step.name))).collect();
        let sum: f64 = times.iter().map(|(_, time)| time).sum();
        times.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        let (name, longest) = *times.first()?;
        (sum > f64::from(share.minutes()) * 60.0).then(|| {
            format!(
                "SLOW {}: {} of {} min, {name} alone {}",
                share.name(),
                shell::time(sum),
                share.minutes(),
                shell::time(longest)
            )
        })
    };
    Share::ALL.into_iter().filter_map(overrun).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test::steps::chosen;

    #[test]
    fn a_share_is_overrun_by_the_sum_of_its_steps() {
        let all = chosen(&[]).unwrap();
        assert_eq!(overruns(&all, |_| 0.0), Vec::<String>::new());
        // Two of a share that are each within it.
        let seconds = |name: &str| match name {
            "worlds" => 250.0,
            "failover" => 240.0,
            "conformance" => 25.0 * 60.0,
            _ => 0.0,
        };
        let lines = overruns(&all, seconds);
        assert_eq!(lines, ["SLOW tortures and worlds: 8.2 min of 8 min, worlds alone 4.2 min"]);
        let some = chosen(&["failover"]).unwrap();
        assert_eq!(overruns(&some, seconds), Vec::<String>::new(), "what did not run");
    }

    #[test]
    fn every_share_has_steps() {
        let all = chosen(&[]).unwrap();
        for share in Share::ALL {
            assert!(all.iter().any(|step| step.share == Some(share)), "{share:?}");
        }
        assert_eq!(overruns(&all, |_| 1e6).len(), Share::ALL.len());
    }
}
