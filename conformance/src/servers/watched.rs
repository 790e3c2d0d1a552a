//! How much is watched at a member.

use super::{Member, OneMember};
use etcd3_lab::{Error, Result};

/// How much is watched at a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchCounts {
    /// The streams of watches that are open.
    pub streams: i64,
    /// The watchers on them.
    pub watchers: i64,
}

impl Member {
    /// Counts what is watched at the member.
    ///
    /// # Errors
    ///
    /// Fails when the member does not answer.
    pub fn watch_counts(&self) -> Result<WatchCounts> {
        match &self.0 {
            OneMember::Real(member) => {
                let metrics = member.metrics()?;
                Ok(WatchCounts {
                    streams: gauge(&metrics, "etcd_debugging_mvcc_watch_stream_total")?,
                    watchers: gauge(&metrics, "etcd_debugging_mvcc_watcher_total")?,
                })
            }
            OneMember::Model(etcd, index) => {
                let id = etcd.member_id(*index);
                let (streams, watchers) = etcd.model(|cluster, _| cluster.watch_counts_of(id));
                let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
                Ok(WatchCounts { streams: count(streams), watchers: count(watchers) })
            }
        }
    }
}

/// Reads a metric without labels; it may be negative, which would be a fault of the server.
fn gauge(metrics: &str, name: &str) -> Result<i64> {
    let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let value = value.and_then(|value| value.trim().parse().ok());
    value.ok_or_else(|| Error::new(format!("there is no {name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_is_read_by_its_whole_name() {
        let text = "# TYPE a gauge\nab 7\na -1\n";
        assert_eq!(gauge(text, "a"), Ok(-1));
        assert_eq!(gauge(text, "ab"), Ok(7));
        assert!(gauge(text, "b").is_err());
    }
}
