//! What a client has to be able to do, to be measured.

use bytes::Bytes;
use std::fmt;
use std::future::{Future, ready};
use std::time::Duration;

/// Any failure.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// The result of a workload.
pub type Result<T> = std::result::Result<T, Error>;

/// The error of a client that does not have a workload.
#[derive(Debug, Clone, Copy)]
pub struct NoSuchWork;

impl fmt::Display for NoSuchWork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the client has no such workload")
    }
}

impl std::error::Error for NoSuchWork {}

/// A client that is measured. Every caller has a clone of it.
pub trait Client: Clone + Send + Sized + 'static {
    /// The leases that [`lease_all`](Self::lease_all) makes, with what keeps them alive.
    type Leases: Send;

    /// Makes a client that is ready for its first call.
    fn connect(endpoints: &[String]) -> impl Future<Output = Result<Self>> + Send;

    /// Puts a value, and decodes the answer.
    fn put(&mut self, key: Bytes, value: Bytes) -> impl Future<Output = Result<()>> + Send;

    /// Gets a key, and tells how many bytes its value has.
    fn get(&mut self, key: Bytes) -> impl Future<Output = Result<usize>> + Send;

    /// Reads all keys of a range, page by page, and tells how many there are.
    fn pages(&mut self, begin: Bytes, end: Bytes) -> impl Future<Output = Result<u64>> + Send {
        let _ = (begin, end);
        ready(Err(NoSuchWork.into()))
    }

    /// Watches a key until so many events have come.
    fn flood(&mut self, key: Bytes, events: u64) -> impl Future<Output = Result<()>> + Send {
        let _ = (key, events);
        ready(Err(NoSuchWork.into()))
    }

    /// Creates so many watchers, and calls `created` while all of them live.
    fn watchers<F>(&mut self, count: u64, created: F) -> impl Future<Output = Result<()>> + Send
    where
        F: FnOnce() + Send,
    {
        let _ = (count, created);
        ready(Err(NoSuchWork.into()))
    }

    /// Creates so many watchers that begin where the store is, and calls `created` while all of
    /// them live.
    fn watchers_now<F>(&mut self, count: u64, created: F) -> impl Future<Output = Result<()>> + Send
    where
        F: FnOnce() + Send,
    {
        let _ = (count, created);
        ready(Err(NoSuchWork.into()))
    }

    /// Creates so many watchers, has all connections cut by a compaction, calls `cut`, and waits
    /// until the server has created all of them again, which the key `created` tells.
    fn watchers_again<F>(&mut self, count: u64, cut: F) -> impl Future<Output = Result<()>> + Send
    where
        F: FnOnce() + Send,
    {
        let _ = (count, cut);
        ready(Err(NoSuchWork.into()))
    }

    /// Grants so many leases with a time to live in seconds, and makes ready to keep them alive.
    fn lease_all(
        &mut self,
        count: u64,
        ttl: u64,
    ) -> impl Future<Output = Result<Self::Leases>> + Send {
        let _ = (count, ttl);
        ready(Err(NoSuchWork.into()))
    }

    /// Keeps the leases alive until so many renewals are acknowledged, or a few more: a client that
    /// renews by itself goes on meanwhile. Others renew a [part](crate::SLOTS) of the leases, take
    /// the answers and wait for the next slot; without one they renew all at once, again and again.
    fn renew_all(
        &mut self,
        leases: &mut Self::Leases,
        acknowledgements: u64,
        slot: Option<Duration>,
    ) -> impl Future<Output = Result<()>> + Send {
        let _ = (leases, acknowledgements, slot);
        ready(Err(NoSuchWork.into()))
    }

    /// Gets a key whose value is a number.
    fn number(&mut self, key: Bytes) -> impl Future<Output = Result<u64>> + Send {
        let _ = key;
        ready(Err(NoSuchWork.into()))
    }
}
