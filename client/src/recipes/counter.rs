//! A number that many change.

use super::RecipeError;
use super::retry::{Backoff, passes};
use super::unique;
use crate::{
    Bytes, Client, Error, ErrorKind, GetResponse, IntoBytes, KeyValue, Outcome, ResponseHeader,
    ResumeToken, get, key, ops, put,
};

/// How often a change is made at most whose answer was lost.
const CHANGES: u32 = 5;

/// A number in the cluster, changed by one at a time.
///
/// # Keys
///
/// The key of its name holds the number in decimal digits; without the key it is 0. With each
/// change the key `NAME/writer` is written, too, by which a change is found again whose answer was
/// lost. Others may change the number, as long as they compare the revision of its key, or put it
/// as it is; Go has no such recipe. To begin anew, set it to 0: when the keys are deleted, a change
/// whose answer was lost just then may be made a second time, or its outcome is unknown.
///
/// # Examples
///
/// ```
/// use etcd3::recipes::Counter;
///
/// # etcd3_sim::example(|client| async move {
/// let tickets = Counter::new(&client, "tickets");
/// assert_eq!(tickets.add(1).await?, 1);
/// assert_eq!(tickets.add(10).await?, 11);
///
/// assert_eq!(tickets.compare_and_set(11, 100).await?, Ok(()));
/// assert_eq!(tickets.compare_and_set(11, 200).await?, Err(100));
/// assert_eq!(tickets.get().await?, 100);
/// # Ok(())
/// # });
/// ```
#[derive(Debug, Clone)]
pub struct Counter {
    client: Client,
    key: Bytes,
    writer: Bytes,
}

/// The number as it was read.
#[derive(Debug, Clone, Copy)]
struct Number {
    value: i64,
    /// The revision that wrote it; 0 without the key.
    written: i64,
    /// When it was read.
    seen: ResumeToken,
}

/// What became of a change.
enum Change {
    Made,
    /// Somebody else made one before.
    Lost(Number),
}

impl Counter {
    /// Makes a handle of the counter of this name; sends nothing.
    pub fn new(client: &Client, name: impl IntoBytes) -> Self {
        let key = name.into_bytes();
        let writer = [&key[..], b"/writer"].concat().into_bytes();
        Self { client: client.clone(), key, writer }
    }

    /// Returns its key.
    #[must_use]
    pub const fn key(&self) -> &Bytes {
        &self.key
    }

    /// Reads the number.
    ///
    /// # Errors
    ///
    /// Those of a read, and [`NotANumber`](RecipeError::NotANumber).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn get(&self) -> Result<i64, RecipeError> {
        Ok(self.read().await?.value)
    }

    /// Adds to the number; returns the sum. Made again while others change it meanwhile.
    ///
    /// # Errors
    ///
    /// [`NotANumber`](RecipeError::NotANumber), also of a sum that does not fit, and those of a
    /// read and of a write. It is never added twice. When the answer is lost, it is found out what
    /// became of the change; the outcome is *unknown* only when that fails, or its history has been
    /// compacted, or `NAME/writer` deleted.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves open whether it is added.
    pub async fn add(&self, amount: i64) -> Result<i64, RecipeError> {
        let mut number = self.read().await?;
        loop {
            let sum = number.value.checked_add(amount).ok_or_else(|| self.not_a_number())?;
            match self.change(number, sum).await? {
                Change::Made => return Ok(sum),
                Change::Lost(now) => number = now,
            }
        }
    }

    /// Sets the number if it is this one; otherwise returns, as the inner error, what it is.
    ///
    /// # Errors
    ///
    /// Those of [`add`](Self::add).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves open whether it is set.
    pub async fn compare_and_set(
        &self,
        expected: i64,
        value: i64,
    ) -> Result<Result<(), i64>, RecipeError> {
        let mut number = self.read().await?;
        loop {
            if number.value != expected {
                return Ok(Err(number.value));
            }
            match self.change(number, value).await? {
                Change::Made => return Ok(Ok(())),
                Change::Lost(now) => number = now,
            }
        }
    }

    async fn read(&self) -> Result<Number, RecipeError> {
        let found = self.client.get(self.key.clone()).await?;
        self.parse(&found.header, found.first())
    }

    fn parse(
        &self,
        header: &ResponseHeader,
        pair: Option<&KeyValue>,
    ) -> Result<Number, RecipeError> {
        let seen = ResumeToken::after(header);
        let Some(pair) = pair else { return Ok(Number { value: 0, written: 0, seen }) };
        let value = pair.value_str().ok().and_then(|text| text.trim().parse().ok());
        let value = value.ok_or_else(|| self.not_a_number())?;
        Ok(Number { value, written: pair.mod_revision, seen })
    }

    fn not_a_number(&self) -> RecipeError {
        RecipeError::NotANumber(self.key.clone())
    }

    /// Writes another number in place of this one, once.
    async fn change(&self, from: Number, to: i64) -> Result<Change, RecipeError> {
        let mark = unique::draw(&self.client, b"");
        let mut unknown: Option<Error> = None;
        let mut backoff = Backoff::new(&self.client);
        for _ in 0..CHANGES {
            let same = key(self.key.clone()).mod_revision().eq(from.written);
            let writes =
                ops![put(self.key.clone(), to.to_string()), put(self.writer.clone(), mark.clone())];
            let reads = ops![get(self.key.clone()), get(self.writer.clone())];
            // Made again it is made once: the second one finds another revision.
            match self.client.txn().when([same]).then(writes).otherwise(reads).await {
                Ok(done) if done.succeeded => return Ok(Change::Made),
                Ok(done) => {
                    let now = done.get(0).and_then(GetResponse::first);
                    let last = done.get(1).and_then(GetResponse::first);
                    let was_made = match unknown {
                        Some(_) => self.was_made(from.seen, &mark, last).await,
                        None => Some(false),
                    };
                    return match (was_made, unknown) {
                        (Some(true), _) => Ok(Change::Made),
                        (None, Some(error)) => Err(error.into()),
                        _ => self.parse(&done.header, now).map(Change::Lost),
                    };
                }
                Err(error) if error.outcome() == Outcome::Unknown => {
                    unknown.get_or_insert(error);
                }
                Err(error) if unknown.is_none() => return Err(error.into()),
                Err(error) if passes(&error) => {}
                Err(_) => break,
            }
            backoff.rest().await;
        }
        Err(unknown.unwrap_or_else(|| Error::new(ErrorKind::Closed)).into())
    }

    /// Finds out whether the change of this mark was made, now that it cannot be made any more:
    /// then it is among those that the second key has had. `None` if its history cannot be read, or
    /// that key is gone, so that nothing tells where its history ends.
    async fn was_made(
        &self,
        since: ResumeToken,
        mark: &Bytes,
        last: Option<&KeyValue>,
    ) -> Option<bool> {
        let last = last?;
        if last.mod_revision < since.revision {
            return Some(false);
        }
        if last.value == *mark {
            return Some(true);
        }
        let history = self.client.watch(self.writer.clone()).resume(since).without_deletes();
        let mut history = history.await.ok()?;
        while let Some(batch) = history.next().await {
            let batch = batch.ok()?;
            if batch.events.iter().any(|event| event.kv.value == *mark) {
                return Some(true);
            }
            if batch.revision() >= last.mod_revision {
                return Some(false);
            }
        }
        None
    }
}
