//! Hashes of what a member has. Their values are others than those of real servers; members with
//! the same data have the same ones.

// M25

use super::personality::Personality;
use super::refusal::refuse;
use super::store::Store;
use etcd3::{ServerError, Status};

/// FNV-1a, of 32 bits.
struct Fnv(u32);

impl Fnv {
    const fn new() -> Self {
        Self(0x811c_9dc5)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        }
    }
}

impl Store {
    /// Returns a hash of the keys from the last compaction up to a revision; 0 is the newest.
    /// Returns that revision, too.
    ///
    /// # Errors
    ///
    /// `OutOfRange` when the revision is compacted or in the future.
    pub(super) fn hash_kv(&self, at: i64, personality: &Personality) -> Result<(u32, i64), Status> {
        // From 3.5 on the hash of the last compaction is stored.
        let is_compacted = if personality.version >= (3, 5, 0) {
            at < self.compacted
        } else {
            at <= self.compacted
        };
        if at > 0 && is_compacted {
            return Err(refuse(ServerError::Compacted));
        }
        if at > self.revision() {
            return Err(refuse(ServerError::FutureRev));
        }
        let at = if at == 0 { self.revision() } else { at };
        let mut hash = Fnv::new();
        for (key, versions) in &self.keys {
            let counts = versions.iter().filter(|version| version.revision <= at);
            for (n, version) in counts.rev().enumerate() {
                // What a compaction keeps of the past is one version, and no tombstone.
                if version.revision <= self.compacted && (n > 0 || version.live.is_none()) {
                    break;
                }
                hash.write(key);
                hash.write(&version.revision.to_be_bytes());
                if let Some(pair) = &version.live {
                    hash.write(&pair.value);
                    hash.write(&pair.create_revision.to_be_bytes());
                    hash.write(&pair.lease.to_be_bytes());
                }
            }
        }
        Ok((hash.0, at))
    }
}
