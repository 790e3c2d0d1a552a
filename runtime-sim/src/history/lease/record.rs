//! What a handle of a lease said, noted while the world goes on.

use etcd3::LossReason;
use etcd3::runtime::Instant;
use std::time::Duration;

/// What a handle said of its lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It is valid.
    Ok,
    /// It is valid, and its renewal is overdue.
    Late,
    /// It is lost, for this reason.
    Lost(LossReason),
}

impl Status {
    /// Returns whether the lease is valid.
    #[must_use]
    pub const fn is_valid(self) -> bool {
        !matches!(self, Self::Lost(_))
    }
}

/// What a handle said at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// The moment, in the time of the world.
    pub at: Instant,
    /// Until when the lease is valid: `at`, plus what the clock of the client has left until then.
    pub valid_until: Instant,
    /// How it does.
    pub status: Status,
    /// When its time is over for the leader, if there is one that has it.
    pub expiry: Option<Instant>,
}

/// A time in which nothing that a handle said changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first sample of it.
    pub first: Sample,
    /// The last sample of it, which may be the same.
    pub last: Instant,
}

/// Everything that a handle said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The name of the handle, for reports.
    pub name: String,
    /// The lease.
    pub lease: i64,
    /// The time to live that the server told.
    pub ttl: Duration,
    /// What it said when it was asked, in order.
    pub spans: Vec<Span>,
    /// The changes that it told by itself, with the moments.
    pub told: Vec<(Instant, Status)>,
    /// The first claim that the leader contradicted: a sample that was valid for longer than the
    /// leader keeps the lease.
    pub contradicted: Option<Sample>,
    /// How the program let go of it: the reasons that it may tell, beside those of the cluster.
    pub given_up: Vec<LossReason>,
    /// Whether the stream of its changes was over after the loss.
    pub is_over: bool,
}

/// Notes what a handle says.
#[derive(Debug, Clone)]
pub struct Recorder {
    record: Record,
}

impl Recorder {
    /// Begins the record of a handle.
    pub fn new(name: impl Into<String>, lease: i64, ttl: Duration) -> Self {
        let record = Record {
            name: name.into(),
            lease,
            ttl,
            spans: Vec::new(),
            told: Vec::new(),
            contradicted: None,
            given_up: Vec::new(),
            is_over: false,
        };
        Self { record }
    }

    /// Takes what the handle says when it is asked.
    pub fn sample(&mut self, sample: Sample) {
        let is_beyond = sample.expiry.is_some_and(|expiry| sample.valid_until > expiry);
        if sample.status.is_valid() && is_beyond {
            self.record.contradicted.get_or_insert(sample);
        }
        match self.record.spans.last_mut() {
            Some(Span { first, last })
                if (first.valid_until, first.status) == (sample.valid_until, sample.status)
                    || !(first.status.is_valid() || first.status != sample.status) =>
            {
                *last = sample.at;
            }
            _ => self.record.spans.push(Span { first: sample, last: sample.at }),
        }
    }

    /// Takes a change that the handle told by itself; `None` for the end of its changes.
    pub fn told(&mut self, at: Instant, status: Option<Status>) {
        match status {
            Some(status) => self.record.told.push((at, status)),
            None => self.record.is_over = true,
        }
    }

    /// Notes that the program lets go of the lease, so that the handle may tell this reason.
    pub fn give_up(&mut self, reason: LossReason) {
        self.record.given_up.push(reason);
    }

    /// Ends the record.
    #[must_use]
    pub fn finish(self) -> Record {
        self.record
    }
}

impl Record {
    /// Returns when and why the lease was lost, if it was.
    #[must_use]
    pub fn loss(&self) -> Option<(Instant, LossReason)> {
        self.told.iter().find_map(|(at, status)| match status {
            Status::Lost(reason) => Some((*at, *reason)),
            _ => None,
        })
    }

    /// Returns how many renewals were seen.
    #[must_use]
    pub fn renewals(&self) -> u64 {
        let valid = || self.spans.iter().filter(|span| span.first.status.is_valid());
        let pairs = valid().zip(valid().skip(1));
        let renewed = pairs.filter(|(a, b)| b.first.valid_until > a.first.valid_until);
        u64::try_from(renewed.count()).unwrap_or(u64::MAX)
    }
}
