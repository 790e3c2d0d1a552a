//! The database of a member, as it is sent, and what may go wrong with that.

// M30

use super::Cluster;
use etcd3::proto::mvccpb::Event;
use etcd3::runtime::Instant;
use etcd3::{Bytes, Status};
use prost::Message;

/// The unit of a database, in bytes.
const PAGE: usize = 4096;
/// The pages of an empty one.
const FIRST_PAGES: usize = 5;

/// What is wrong with the snapshots that members send, though they say that all is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotFault {
    /// This byte has one bit changed; one beyond the end is that many bytes before it.
    Flipped(usize),
    /// Bytes follow that do not belong to it.
    Longer(usize),
    /// It ends after so many bytes, and in the status OK.
    Cut(usize),
    /// The digest is missing.
    WithoutDigest,
    /// All of it is sent, and no status.
    WithoutStatus,
}

/// A snapshot that is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    /// The bytes of the file.
    pub bytes: Bytes,
    /// The version of the storage, empty where servers do not tell.
    pub version: String,
    /// What goes wrong.
    pub fault: Option<SnapshotFault>,
}

impl Cluster {
    /// Sets what is wrong with the snapshots of all members from now on.
    pub fn set_snapshot_fault(&mut self, fault: Option<SnapshotFault>) {
        self.snapshot_fault = fault;
    }

    /// Returns the database of a member: all that is not compacted away, in pages, so that two of
    /// the same content are the same.
    ///
    /// # Errors
    ///
    /// As servers refuse it: without the role `root` where authentication is on.
    pub fn snapshot(
        &mut self,
        now: Instant,
        member: u64,
        token: Option<&str>,
    ) -> Result<Database, Status> {
        self.advance(now);
        self.require_admin(now, member, token)?;
        let replica = &self.members[&member].replica;
        let mut bytes = b"a model of a database\n".to_vec();
        let events = replica.store().history().values().flatten();
        events.for_each(|event: &Event| bytes.extend(event.encode_length_delimited_to_vec()));
        bytes.resize(bytes.len().next_multiple_of(PAGE).max(FIRST_PAGES * PAGE), 0);
        let (major, minor, _) = self.config.personality.version;
        let tells = (major, minor) >= (3, 6);
        let version = if tells { format!("{major}.{minor}.0") } else { String::new() };
        Ok(Database { bytes: bytes.into(), version, fault: self.snapshot_fault })
    }
}
