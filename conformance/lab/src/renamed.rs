//! Flags of etcd that have other names in other versions.

use crate::etcd::Version;

/// The flags that are called `--experimental-…` before etcd 3.6, by their values, where they were
/// set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RenamedFlags {
    /// The time between two notifications of the progress of a watch, in milliseconds.
    pub progress_interval_ms: Option<u32>,
    /// The number of entries of the log that are kept behind a snapshot for members that lag.
    pub catch_up_entries: Option<u32>,
}

impl RenamedFlags {
    /// Returns the flags for members of this version, with their values.
    pub(crate) fn flags(self, version: Version) -> impl Iterator<Item = (&'static str, String)> {
        let is_plain = version >= Version::minor(3, 6);
        let progress = self.progress_interval_ms.map(|ms| {
            let names = [
                "--experimental-watch-progress-notify-interval",
                "--watch-progress-notify-interval",
            ];
            (names[usize::from(is_plain)], format!("{ms}ms"))
        });
        let catch_up = self.catch_up_entries.map(|entries| {
            let names = ["--experimental-snapshot-catchup-entries", "--snapshot-catchup-entries"];
            (names[usize::from(is_plain)], entries.to_string())
        });
        [progress, catch_up].into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_version() {
        let set = RenamedFlags { progress_interval_ms: Some(200), catch_up_entries: Some(5) };
        let flags = |version| set.flags(version).collect::<Vec<_>>();
        let old = [
            ("--experimental-watch-progress-notify-interval", "200ms".to_owned()),
            ("--experimental-snapshot-catchup-entries", "5".to_owned()),
        ];
        let new = [
            ("--watch-progress-notify-interval", "200ms".to_owned()),
            ("--snapshot-catchup-entries", "5".to_owned()),
        ];
        assert_eq!(flags(Version::minor(3, 5)), old);
        assert_eq!(flags(Version::minor(3, 6)), new);
        assert_eq!(RenamedFlags::default().flags(Version::minor(3, 7)).count(), 0);
    }
}
