//! What the closure has of a transaction.

use super::attempt::{Attempt, Interruption, Write};
use super::{Interrupted, Isolation, Reads};
use crate::{Bytes, Client, Error, Get, GetResponse, IntoBytes, KeyRange, KeyValue, LeaseId, get};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many keys are read by one call: what servers take by default.
// K31
const KEYS_PER_CALL: usize = 128;

/// One attempt of a transaction, which the closure of [`Stm::run`](super::Stm::run) reads and
/// writes by.
///
/// Nothing is written before the commit, which follows the closure. Reads see what the transaction
/// itself wrote, and give the same each time.
///
/// # Cancel safety
///
/// Dropping the future of a read leaves the attempt as it was.
#[derive(Debug)]
pub struct Transaction {
    client: Client,
    attempt: Shared,
}

/// What the transaction and the run share. It is taken out when the closure has ended.
#[derive(Debug, Clone)]
pub(super) struct Shared(Arc<Mutex<Option<Attempt>>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Option<Attempt>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the attempt from a transaction that is over.
    pub(super) fn take(&self) -> Option<Attempt> {
        self.lock().take()
    }
}

impl Transaction {
    pub(super) fn begin(
        client: &Client,
        isolation: Isolation,
        ahead: Option<Reads>,
    ) -> (Self, Shared) {
        let attempt = Attempt::new(isolation, ahead);
        let attempt = Shared(Arc::new(Mutex::new(Some(attempt))));
        (Self { client: client.clone(), attempt: attempt.clone() }, attempt)
    }

    /// Returns the value of a key; `None` for a key that does not exist.
    ///
    /// # Errors
    ///
    /// [`Interrupted`] when it cannot be read, or the transaction has to begin anew.
    pub async fn get(&mut self, key: impl IntoBytes) -> Result<Option<Bytes>, Interrupted> {
        let key = key.into_bytes();
        if !self.with(|attempt| attempt.writes(&key))? {
            self.read(std::slice::from_ref(&key)).await?;
        }
        self.with(|attempt| attempt.value(&key))
    }

    /// Returns the values of several keys, in their order; what has not been read yet is read by
    /// one call. For no keys it makes no call.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get).
    pub async fn get_many<K: IntoBytes>(
        &mut self,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<Vec<Option<Bytes>>, Interrupted> {
        let keys: Vec<Bytes> = keys.into_iter().map(IntoBytes::into_bytes).collect();
        let unwritten = |attempt: &mut Attempt| {
            keys.iter().filter(|key| !attempt.writes(key)).cloned().collect::<Vec<_>>()
        };
        let unwritten = self.with(unwritten)?;
        self.read(&unwritten).await?;
        self.with(|attempt| keys.iter().map(|key| attempt.value(key)).collect())
    }

    /// Returns the pairs of a range, such as a [`prefix`](crate::prefix), in the order of the keys.
    ///
    /// A commit compares each pair that was found, and the range as a whole where the [`Isolation`]
    /// says so: a range of more than about a hundred pairs is too large for a transaction that
    /// writes.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get).
    pub async fn range(
        &mut self,
        range: impl Into<KeyRange>,
    ) -> Result<Vec<(Bytes, Bytes)>, Interrupted> {
        let range = range.into();
        let (has_read, base) = self.with(|attempt| (attempt.has_read(&range), attempt.base()))?;
        if !has_read {
            let answer = self.client.execute(at(get(range.clone()), base)).await;
            let GetResponse { header, kvs, .. } = self.taken(answer)?;
            self.with(|attempt| attempt.record_range(range.clone(), header.revision, kvs))??;
        }
        self.with(|attempt| attempt.pairs(&range))
    }

    /// Returns the revision that last changed a key, 0 for a key that does not exist: as it was
    /// read, whatever the transaction itself wrote.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get).
    pub async fn rev(&mut self, key: impl IntoBytes) -> Result<i64, Interrupted> {
        let key = key.into_bytes();
        self.read(std::slice::from_ref(&key)).await?;
        self.with(|attempt| attempt.mod_revision(&key))
    }

    /// Writes a key when the transaction is committed. The key loses the lease that it has.
    pub fn put(&mut self, key: impl IntoBytes, value: impl IntoBytes) {
        self.put_leased(key, value, LeaseId::NONE);
    }

    /// Writes a key when the transaction is committed, and attaches it to a lease.
    pub fn put_leased(
        &mut self,
        key: impl IntoBytes,
        value: impl IntoBytes,
        lease: impl Into<LeaseId>,
    ) {
        let write = Write::Put(value.into_bytes(), lease.into());
        self.write(key.into_bytes(), write);
    }

    /// Deletes a key when the transaction is committed.
    pub fn delete(&mut self, key: impl IntoBytes) {
        self.write(key.into_bytes(), Write::Delete);
    }

    /// Returns the revision that everything is read at; `None` before the first read, and at the
    /// levels that have none.
    #[must_use]
    pub fn base_revision(&self) -> Option<i64> {
        self.attempt.lock().as_ref().and_then(Attempt::base)
    }

    /// What is written after the attempt is over changes nothing.
    fn write(&self, key: Bytes, write: Write) {
        if let Some(attempt) = self.attempt.lock().as_mut() {
            attempt.write(key, write);
        }
    }

    /// Looks at the attempt, as long as it goes on.
    fn with<T>(&self, act: impl FnOnce(&mut Attempt) -> T) -> Result<T, Interrupted> {
        let mut attempt = self.attempt.lock();
        let Some(attempt) = attempt.as_mut() else { return Err(Interrupted { error: None }) };
        attempt.check()?;
        Ok(act(attempt))
    }

    /// Reads the keys that have not been read.
    async fn read(&self, keys: &[Bytes]) -> Result<(), Interrupted> {
        let needed = |attempt: &mut Attempt| {
            let mut needed: Vec<Bytes> = vec![];
            for key in keys {
                if attempt.needs(key) && !needed.contains(key) {
                    needed.push(key.clone());
                }
            }
            needed
        };
        for some in self.with(needed)?.chunks(KEYS_PER_CALL) {
            let base = self.with(|attempt| attempt.base())?;
            let answer = self.read_at(some, base).await;
            let (revision, found) = self.taken(answer)?;
            let found = some.iter().cloned().zip(found).collect();
            self.with(|attempt| attempt.record(revision, found))?;
        }
        Ok(())
    }

    /// Reads keys by one call, from any member if there is a base.
    async fn read_at(
        &self,
        keys: &[Bytes],
        base: Option<i64>,
    ) -> Result<(i64, Vec<Option<KeyValue>>), Error> {
        let mut gets = Attempt::gets(keys).map(|get| at(get, base));
        if keys.len() == 1
            && let Some(only) = gets.next()
        {
            let answer = self.client.execute(only).await?;
            return Ok((answer.header.revision, vec![answer.into_first()]));
        }
        let answer = self.client.txn().then(gets).await?;
        let read = |index| answer.get(index).and_then(|read| read.first().cloned());
        Ok((answer.header.revision, (0..keys.len()).map(read).collect()))
    }

    /// Takes an answer, or ends the attempt.
    fn taken<T>(&self, answer: Result<T, Error>) -> Result<T, Interrupted> {
        answer.map_err(|error| {
            let why = if error.is_compacted() {
                Interruption::Restart
            } else {
                Interruption::Failed(error)
            };
            let mut attempt = self.attempt.lock();
            let told = attempt.as_mut().map(|attempt| attempt.interrupt(why));
            told.unwrap_or(Interrupted { error: None })
        })
    }
}

/// Completes a read: what a base says may be read from any member, since it cannot change any more.
/// One that lags behind is passed over, as for all reads at a revision that was seen.
// R-08, X32
fn at(get: Get, base: Option<i64>) -> Get {
    match base {
        None => get,
        Some(base) => get.revision(base).serializable(),
    }
}
