//! What is known of the server at the other end of a connection.
//!
//! Learned when something depends on it, and forgotten with the connection: a server of another
//! version is another process.

// V5

use etcd3_core::Version;
use etcd3_core::method::{self, Method};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// What is known of one server; nothing at first.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    version: OnceLock<Version>,
    lacks_range_stream: AtomicBool,
    is_progress_ordered: OnceLock<bool>,
}

impl Facts {
    /// Notes the version that the server told.
    pub(crate) fn note_version(&self, version: Version) {
        // The first one counts: all have come from the same server, unless a proxy has several.
        let _ = self.version.set(version);
    }

    /// Returns the version of the server, if it told it.
    pub(crate) fn version(&self) -> Option<Version> {
        self.version.get().copied()
    }

    /// Notes whether the server answers requests for progress in their order.
    pub(crate) fn note_progress_order(&self, is_ordered: bool) {
        let _ = self.is_progress_ordered.set(is_ordered);
    }

    /// Returns whether the server answers requests for progress in their order, if that is known.
    pub(crate) fn is_progress_ordered(&self) -> Option<bool> {
        self.is_progress_ordered.get().copied()
    }

    /// Notes that the server, or a proxy before it, has no `RangeStream`.
    pub(crate) fn note_lack_of_range_stream(&self) {
        self.lacks_range_stream.store(true, Ordering::Relaxed);
    }

    /// Returns the version that the method needs, if it is known that the server lacks it.
    pub(crate) fn needs_for(&self, method: &Method) -> Option<Version> {
        let needs = method.since()?;
        let is_old = self.version().is_some_and(|version| version < needs);
        let is_refused =
            *method == method::RANGE_STREAM && self.lacks_range_stream.load(Ordering::Relaxed);
        (is_old || is_refused).then_some(needs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_lacks_is_known_by_its_version_or_by_its_refusal() {
        let needs = |facts: &Facts, method| facts.needs_for(method);
        let facts = Facts::default();
        assert_eq!(needs(&facts, &method::RANGE_STREAM), None, "nothing is known");
        facts.note_lack_of_range_stream();
        assert_eq!(needs(&facts, &method::RANGE_STREAM), Some(Version::new(3, 7)));
        assert_eq!(needs(&facts, &method::AUTH_STATUS), None);
        let facts = Facts::default();
        facts.note_version(Version::new(3, 4));
        facts.note_version(Version::new(3, 7));
        assert_eq!(facts.version(), Some(Version::new(3, 4)));
        assert_eq!(needs(&facts, &method::AUTH_STATUS), Some(Version::new(3, 5)));
        assert_eq!(needs(&facts, &method::RANGE), None, "every version has it");
        let facts = Facts::default();
        facts.note_version(Version::new(3, 7));
        assert_eq!(needs(&facts, &method::RANGE_STREAM), None);
    }
}
