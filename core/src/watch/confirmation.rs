//! Finding out whether the cluster is still the one that it was.
//!
//! A member that lags tells of a state before what has been seen, and so does a cluster that was
//! restored from an older snapshot; a member of another cluster, and a cluster that was replaced,
//! tell of another id. A linearizable read tells them apart: a watch on a store that went back
//! would wait for a revision that has been already.

// I-W15, W62, W64

use super::{Output, Watches};
use crate::Instant;
use crate::channel::HealthSignal;
use crate::error::{Error, ErrorKind};
use crate::header::ResponseHeader;
use crate::outcome::Outcome;
use std::time::Duration;

/// The time between two reads.
const INTERVAL: Duration = Duration::from_secs(5);

/// Whether it is being found out if the cluster is still the one that it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Confirmation {
    NotNeeded,
    /// A read is under way, which has to show this revision.
    Asked(i64),
    /// The read failed, and is made again.
    Later(i64, Instant),
}

impl Watches {
    /// Has a read made that must show this revision.
    pub(super) fn confirm(&mut self, revision: i64) {
        self.confirmation = match self.confirmation {
            Confirmation::NotNeeded => {
                self.outputs.push_back(Output::Confirm);
                Confirmation::Asked(revision)
            }
            Confirmation::Asked(asked) => Confirmation::Asked(asked.max(revision)),
            Confirmation::Later(asked, at) => Confirmation::Later(asked.max(revision), at),
        };
    }

    /// Judges what the read found.
    pub(super) fn on_confirmed(&mut self, now: Instant, answer: Result<ResponseHeader, Error>) {
        let Confirmation::Asked(seen) = self.confirmation else {
            self.ignored += 1;
            return;
        };
        let expected = self.cluster_id;
        let error = match answer {
            Ok(header) if self.is_of_another_cluster(header.cluster_id) => {
                let found = header.cluster_id;
                Error::new(ErrorKind::ClusterChanged { expected, found })
            }
            Ok(header) if header.revision < seen => {
                Error::new(ErrorKind::StaleRead { revision: header.revision, seen })
            }
            Ok(_) => {
                self.confirmation = Confirmation::NotNeeded;
                return;
            }
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::ClusterChanged { .. } | ErrorKind::StaleRead { .. }
                ) =>
            {
                error
            }
            Err(_) => {
                self.confirmation = Confirmation::Later(seen, now + INTERVAL);
                return;
            }
        };
        self.end_all(&error.with_outcome(Outcome::Unknown));
        // What is watched from now on is of the cluster as it is.
        (self.cluster_id, self.seen) = (0, 0);
        self.confirmation = Confirmation::NotNeeded;
        self.opening.signal = HealthSignal::None;
        self.close(now);
    }
}
