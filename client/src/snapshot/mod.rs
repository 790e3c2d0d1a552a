//! Reading the database of a member: a stream that is checked as it passes.

// M30–M34, I-D1

mod partial;
mod save;

pub use save::{SaveSnapshot, SavedSnapshot};

use crate::call::{self, streamed::StreamDriver};
use crate::maintenance::Maintenance;
use crate::{Client, Error};
use bytes::Bytes;
use etcd3_core::Version;
use etcd3_core::endpoint::Endpoint;
use etcd3_core::frame;
use etcd3_core::method::{self, Effect};
use etcd3_core::proto::etcdserverpb::SnapshotRequest;
use etcd3_core::snapshot::{SnapshotProgress, SnapshotVerifier};
use etcd3_core::stream::server_stream::{Options, ServerStream};
use futures_core::Stream;
use std::fmt;
use std::future::poll_fn;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// The database of one member, as a stream of its bytes; made by [`Maintenance::snapshot`].
///
/// Read it to its end, which is `None`, or have it [saved](Self::save) to a file. The last 32 bytes
/// are the SHA-256 of all before them, which `etcdutl snapshot restore` checks:
/// [`without_digest`](Self::without_digest) leaves them out.
///
/// The digest is computed while the bytes pass, in constant memory, and the stream ends without an
/// error only if it is right and the server said that all is well. The last bytes are handed out
/// after that alone, so what was cut short or changed on its way is never whole.
///
/// The server is held back from one who is slow to take the bytes, and other calls of the client go
/// on meanwhile.
///
/// # Errors
///
/// Kind [`DigestMismatch`](crate::ErrorKind::DigestMismatch) when the bytes are not those that the
/// server sent, [`SnapshotTruncated`](crate::ErrorKind::SnapshotTruncated) when not all came, and
/// those of any read. A failure ends the stream. Until the first bytes the call is repeated as any
/// read is; what breaks after that has to be begun again.
///
/// # Cancel safety
///
/// Dropping the future of one `next` loses nothing; dropping the stream ends the call.
#[must_use = "a stream does nothing until it is polled"]
pub struct Snapshot {
    timeout: Option<Duration>,
    total_timeout: Option<Duration>,
    keeps_digest: bool,
    progress: SnapshotProgress,
    version: Option<Version>,
    state: State,
    /// Declared last so that it is dropped last.
    client: Client,
}

enum State {
    Idle,
    Reading(Box<Reading>),
    Done,
}

struct Reading {
    driver: StreamDriver,
    verifier: SnapshotVerifier,
}

impl Maintenance {
    /// Reads the database of a member, any that answers: a backup of the whole cluster.
    ///
    /// The stream begins when it is read, and is checked as it passes. A user must have the role
    /// `root` for it. [`snapshot_from`](Self::snapshot_from) says which member is read.
    ///
    /// # Examples
    ///
    /// ```
    /// # etcd3_sim::example(|client| async move {
    /// client.put("k", "v").await?;
    /// let mut snapshot = client.maintenance().snapshot();
    /// let mut bytes = Vec::new();
    /// while let Some(chunk) = snapshot.next().await {
    ///     bytes.extend_from_slice(&chunk?);
    /// }
    /// assert_eq!(snapshot.progress().received, bytes.len() as u64);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// To a file:
    ///
    /// ```
    /// # let folder = std::env::temp_dir().join(format!("etcd3-example-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder).unwrap();
    /// # let path = folder.join("backup.db");
    /// # etcd3_sim::example(|client| async move {
    /// # client.put("k", "v").await?;
    /// let saved = client.maintenance().snapshot().save(&path).await?;
    /// println!("{} bytes of storage version {:?}", saved.size, saved.version);
    /// # assert_eq!(std::fs::metadata(&path)?.len(), saved.size);
    /// # Ok(())
    /// # });
    /// # std::fs::remove_dir_all(&folder).unwrap();
    /// ```
    // M30, SNAP-001, SNAP-002
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            timeout: None,
            total_timeout: None,
            keeps_digest: true,
            progress: SnapshotProgress::default(),
            version: None,
            state: State::Idle,
            client: self.client.clone(),
        }
    }

    /// Reads the database of the member at this endpoint, which need not be one of those of the
    /// client.
    ///
    /// # Errors
    ///
    /// Kind [`InvalidConfig`](crate::ErrorKind::InvalidConfig) when the endpoint cannot be read.
    ///
    /// # Examples
    ///
    /// ```
    /// # etcd3_sim::example(|client| async move {
    /// for endpoint in client.endpoints() {
    ///     let mut snapshot = client.maintenance().snapshot_from(&endpoint)?;
    ///     while let Some(chunk) = snapshot.next().await {
    ///         chunk?;
    ///     }
    ///     println!("{endpoint} holds {} bytes", snapshot.progress().received);
    /// }
    /// # Ok(())
    /// # });
    /// ```
    // M32
    pub fn snapshot_from(&self, endpoint: impl Into<String>) -> Result<Snapshot, Error> {
        Ok(self.client.pinned_to(endpoint)?.maintenance().snapshot())
    }
}

impl Snapshot {
    /// Sets how long the next bytes may take from when they are waited for, in place of
    /// `Config::request_timeout`.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets how long all of it may take, from when it is read first; the time that its reader takes
    /// counts, too. No limit by default.
    // M34, MNT-006
    pub fn total_timeout(mut self, timeout: Duration) -> Self {
        self.total_timeout = Some(timeout);
        self
    }

    /// Leaves the digest out: the bytes are those of the database alone. etcd's tools refuse to
    /// restore such a file, unless they are told to skip the check.
    pub fn without_digest(mut self) -> Self {
        self.keeps_digest = false;
        self
    }

    /// Writes the snapshot to a file, which appears under its name when it is whole, checked and on
    /// disk; the request is sent by awaiting it.
    pub fn save(self, path: impl Into<PathBuf>) -> SaveSnapshot {
        SaveSnapshot::new(self, path.into())
    }

    /// Returns the version of the storage that the snapshot is of. `None` before the first bytes,
    /// and where the member does not tell: before etcd 3.6, and when it was started for the first
    /// time and has not decided yet.
    // M31
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        self.version
    }

    /// Returns how much has come, and how much is yet to come.
    #[must_use]
    pub fn progress(&self) -> SnapshotProgress {
        self.progress
    }

    /// Returns the next bytes, 32 KiB or less from known servers; `None` after the last ones, or
    /// after a failure.
    ///
    /// # Errors
    ///
    /// Those of the stream; a failure ends it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<Bytes, Error>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    fn begin(&self) -> Box<Reading> {
        let shared = self.client.shared();
        let config = &shared.config;
        let options = Options {
            message_timeout: self.timeout.unwrap_or(config.request_timeout),
            deadline: self.total_timeout.map(|timeout| shared.now() + timeout),
            attempt_timeout: config.attempt_timeout,
            max_attempts: config.max_attempts,
            backoff: config.retry_backoff,
            max_message_bytes: config.max_response_bytes,
            // A member that has lost its leader has a database all the same.
            require_leader: false,
            is_linearizable: false,
            is_ordered: false,
            local_revision: 0,
            only: self.client.only(),
            is_optional: false,
            header: None,
            seed: shared.next_seed(),
        };
        let machine = ServerStream::new(&method::SNAPSHOT, options);
        let driver = StreamDriver::new(std::sync::Arc::clone(&shared.pool), machine);
        Box::new(Reading { driver, verifier: SnapshotVerifier::new(self.keeps_digest) })
    }

    /// Completes an error.
    fn complete(&self, reading: &Reading, error: Error) -> Error {
        let attempts = error.attempts().max(1);
        let error = error.with_method(method::SNAPSHOT.path).with_effect(Effect::Read);
        match (error.endpoint(), reading.driver.last().map(Endpoint::text)) {
            (None, Some(endpoint)) => error.with_attempts(attempts).with_endpoint(Some(endpoint)),
            (None, None) => call::explain(self.client.shared(), self.client.only(), error),
            (Some(_), _) => error,
        }
    }
}

impl Reading {
    /// Waits for the next bytes that may be handed out; none after the last ones.
    fn poll_next(&mut self, client: &Client, cx: &mut Context<'_>) -> Poll<Result<Chunk, Error>> {
        let shared = client.shared();
        let limit = shared.config.limits.max_request_bytes;
        let mut encode = || frame::encode(&SnapshotRequest {}, limit).map_err(Error::protocol);
        loop {
            let Some(message) = ready!(self.driver.poll_next(shared.now(), cx, &mut encode)) else {
                return Poll::Ready(self.verifier.clone().finish().map(Chunk::Last));
            };
            let passed = self.verifier.take(message?)?;
            if !passed.is_empty() {
                return Poll::Ready(Ok(Chunk::Next(passed)));
            }
        }
    }
}

/// Some bytes of a snapshot.
enum Chunk {
    Next(Bytes),
    /// The last ones, or none; all of them are right.
    Last(Bytes),
}

impl Stream for Snapshot {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut reading = match std::mem::replace(&mut self.state, State::Done) {
            State::Done => return Poll::Ready(None),
            State::Idle => self.begin(),
            State::Reading(reading) => reading,
        };
        let next = reading.poll_next(&self.client, cx);
        self.progress = reading.verifier.progress();
        self.version = reading.verifier.version();
        match next {
            Poll::Pending => {
                self.state = State::Reading(reading);
                Poll::Pending
            }
            Poll::Ready(Ok(Chunk::Next(bytes))) => {
                self.state = State::Reading(reading);
                Poll::Ready(Some(Ok(bytes)))
            }
            Poll::Ready(Ok(Chunk::Last(bytes))) => {
                Poll::Ready((!bytes.is_empty()).then_some(Ok(bytes)))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Some(Err(self.complete(&reading, error)))),
        }
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("progress", &self.progress)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}
