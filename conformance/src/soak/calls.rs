//! What became of calls.

/// What became of the calls of a client.
#[derive(Debug, Default)]
pub(super) struct CallCounts {
    pub(super) made: usize,
    pub(super) pings: usize,
    pub(super) failures: Vec<String>,
}

impl CallCounts {
    pub(super) fn note(&mut self, error: Option<etcd3::Error>) {
        self.made += 1;
        self.failures.extend(error.map(|error| error.report().to_string()));
    }
}
