//! The parts of a snapshot, checked as they pass.
//!
//! A member sends its database in parts, then the SHA-256 of all of it. What is handed out lags
//! behind by one part, so that the last 32 bytes are never among it before they have been compared
//! with the digest of what came before them.

// M30, M31, I-D1

use crate::Version;
use crate::error::{Error, ErrorKind};
use crate::outcome::Outcome;
use bytes::{Bytes, BytesMut};
use etcd3_proto::etcdserverpb::SnapshotResponse;
use hmac_sha256::Hash;
use prost::Message;

/// The length of the digest that ends a snapshot, in bytes.
pub const DIGEST: usize = 32;

/// How much of a snapshot has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct SnapshotProgress {
    /// The number of bytes that have come, the digest included.
    pub received: u64,
    /// The number of bytes of the database that are yet to come, as the server told with the last
    /// part. The digest is not counted.
    pub remaining: u64,
}

/// Checks the parts of one snapshot, in constant memory.
#[derive(Clone)]
pub struct SnapshotVerifier {
    keeps_digest: bool,
    hash: Hash,
    /// What has come last and is yet to be handed out: the digest, if no more comes.
    held: Bytes,
    progress: SnapshotProgress,
    version: Option<Version>,
}

impl SnapshotVerifier {
    /// Makes a verifier of a snapshot that has not begun; says whether the digest is to be handed
    /// out after the database.
    #[must_use]
    pub fn new(keeps_digest: bool) -> Self {
        Self {
            keeps_digest,
            hash: Hash::new(),
            held: Bytes::new(),
            progress: SnapshotProgress::default(),
            version: None,
        }
    }

    /// Takes the next message of the stream, and returns the bytes that may be handed out; none
    /// after the first one.
    ///
    /// # Errors
    ///
    /// Kind [`Protocol`](ErrorKind::Protocol) when it is no part of a snapshot.
    pub fn take(&mut self, message: Bytes) -> Result<Bytes, Error> {
        let part = SnapshotResponse::decode(message).map_err(Error::protocol)?;
        if self.version.is_none() {
            self.version = Version::parse(&part.version);
        }
        let len = u64::try_from(part.blob.len()).unwrap_or(u64::MAX);
        self.progress.received = self.progress.received.saturating_add(len);
        self.progress.remaining = part.remaining_bytes;
        let passed = if part.blob.len() >= DIGEST {
            std::mem::replace(&mut self.held, part.blob)
        } else {
            // Part of the digest, or all of it, lies in what came before.
            let mut both = BytesMut::with_capacity(self.held.len() + part.blob.len());
            both.extend_from_slice(&self.held);
            both.extend_from_slice(&part.blob);
            let mut both = both.freeze();
            let passed = both.split_to(both.len().saturating_sub(DIGEST));
            self.held = both;
            passed
        };
        self.hash.update(&passed);
        Ok(passed)
    }

    /// Compares the digest, and returns the rest of the bytes. To be called when the stream has
    /// ended in the status OK: one that ended otherwise is not complete.
    ///
    /// # Errors
    ///
    /// Kind [`SnapshotTruncated`](ErrorKind::SnapshotTruncated) when bytes that the server had
    /// announced did not come, and [`DigestMismatch`](ErrorKind::DigestMismatch) when all came and
    /// differ from what the server sent.
    pub fn finish(mut self) -> Result<Bytes, Error> {
        let database = self.held.len().saturating_sub(DIGEST);
        self.hash.update(&self.held[..database]);
        let digest = self.hash.finalize();
        let SnapshotProgress { received, remaining } = self.progress;
        let kind = if self.held.len() < DIGEST {
            ErrorKind::SnapshotTruncated { received }
        } else if self.held[database..] == digest {
            let kept = if self.keeps_digest { self.held.len() } else { database };
            return Ok(self.held.split_to(kept));
        } else if remaining > 0 {
            ErrorKind::SnapshotTruncated { received }
        } else {
            ErrorKind::DigestMismatch
        };
        Err(Error::new(kind).with_outcome(Outcome::Unknown))
    }

    /// Returns how much has come.
    #[must_use]
    pub const fn progress(&self) -> SnapshotProgress {
        self.progress
    }

    /// Returns the version of the storage that the snapshot is of; `None` before the first part,
    /// and of members that do not tell: those before etcd 3.6, and new ones for a while.
    #[must_use]
    pub const fn version(&self) -> Option<Version> {
        self.version
    }
}

impl std::fmt::Debug for SnapshotVerifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Neither the bytes, which are those of all keys and passwords, nor their digest.
        f.debug_struct("SnapshotVerifier")
            .field("progress", &self.progress)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A database, and its parts as servers send them: the digest is a part of its own.
    fn database(len: usize) -> Vec<u8> {
        (0..len).map(|at| u8::try_from(at * 7 % 251).unwrap_or_default()).collect()
    }

    fn with_digest(database: &[u8]) -> Vec<u8> {
        [database, &Hash::hash(database)].concat()
    }

    fn message(blob: &[u8], remaining_bytes: u64, version: &str) -> Bytes {
        let blob = Bytes::copy_from_slice(blob);
        let version = version.to_owned();
        SnapshotResponse { header: None, remaining_bytes, blob, version }.encode_to_vec().into()
    }

    /// Sends bytes in parts of this size.
    fn send(bytes: &[u8], part: usize, keeps_digest: bool) -> Result<Vec<u8>, ErrorKind> {
        let mut verifier = SnapshotVerifier::new(keeps_digest);
        let mut got = Vec::new();
        for blob in bytes.chunks(part) {
            got.extend(verifier.take(message(blob, 0, "")).expect("a part"));
            assert!(verifier.held.len() <= part.max(DIGEST), "memory is bounded");
        }
        got.extend(verifier.finish().map_err(|error| error.kind())?);
        Ok(got)
    }

    // SHA-256 of "abc" as FIPS 180-4 has it.
    #[test]
    fn the_digest_is_sha_256() {
        let digest = Hash::hash(b"abc");
        assert_eq!(
            digest.map(|byte| format!("{byte:02x}")).concat(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    // M30; however the bytes are divided.
    #[test]
    fn a_whole_snapshot_passes_with_or_without_its_digest() {
        for len in [0, 1, 31, 32, 33, 63, 64, 65, 512, 4096] {
            let database = database(len);
            let whole = with_digest(&database);
            for part in [1, 7, 31, 32, 33, 64, 100, 512, 5000] {
                assert_eq!(send(&whole, part, true).as_deref(), Ok(&whole[..]), "{len} {part}");
                assert_eq!(send(&whole, part, false).as_deref(), Ok(&database[..]), "{len} {part}");
            }
        }
    }

    // I-D1: whatever is cut, changed or added.
    #[test]
    fn no_other_bytes_pass() {
        let whole = with_digest(&database(200));
        for part in [1, 32, 50, 300] {
            for len in 0..whole.len() {
                let error = send(&whole[..len], part, true).expect_err("cut");
                let is_short = len < DIGEST;
                let truncated = ErrorKind::SnapshotTruncated { received: len as u64 };
                assert_eq!(error == truncated, is_short, "{len}: {error:?}");
            }
            for at in 0..whole.len() {
                let mut flipped = whole.clone();
                flipped[at] ^= 1 << (at % 8);
                assert_eq!(send(&flipped, part, true), Err(ErrorKind::DigestMismatch), "{at}");
            }
            let longer = [&whole[..], b"x"].concat();
            assert_eq!(send(&longer, part, false), Err(ErrorKind::DigestMismatch));
        }
    }

    // Nothing that looks like a whole file has passed before the digest was compared.
    #[test]
    fn the_last_bytes_are_held_back() {
        let whole = with_digest(&database(200));
        for part in [1, 32, 50, 300] {
            let mut verifier = SnapshotVerifier::new(true);
            let passed: usize = whole
                .chunks(part)
                .map(|blob| verifier.take(message(blob, 0, "")).expect("a part").len())
                .sum();
            assert!(passed <= whole.len() - DIGEST, "{passed} of {}", whole.len());
        }
    }

    #[test]
    fn it_tells_how_much_has_come_and_of_which_version() {
        let mut verifier = SnapshotVerifier::new(true);
        assert_eq!((verifier.version(), verifier.progress().received), (None, 0));
        verifier.take(message(&[1; 100], 50, "3.6.0")).expect("a part");
        let progress = SnapshotProgress { received: 100, remaining: 50 };
        assert_eq!((verifier.version(), verifier.progress()), (Some(Version::new(3, 6)), progress));
        assert_eq!(
            verifier.finish().expect_err("cut").kind(),
            ErrorKind::SnapshotTruncated { received: 100 },
            "the server said that more comes"
        );
        let error = SnapshotVerifier::new(true).take(Bytes::from_static(&[0x1a, 0x7f]));
        assert_eq!(error.expect_err("no message").kind(), ErrorKind::Protocol);
        let shown = format!("{:?}", SnapshotVerifier::new(true));
        assert!(!shown.contains("held"), "{shown}");
    }
}
