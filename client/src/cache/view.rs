//! One key of a cache, as a value of the program's own.

use super::Cache;
use crate::Error;
use etcd3_core::{Bytes, KeyValue};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// One key of a [`Cache`], whose value a function reads. Made by [`Cache::value`].
///
/// The value is read once for each revision of the key that is looked at. A function that can fail
/// returns a `Result`: the view then has values of that type.
///
/// # Examples
///
/// ```
/// # etcd3_sim::example(|client| async move {
/// client.put("config/workers", "8").await?;
/// let cache = client.cache("config/workers").await?;
/// let read = |pair: &etcd3::KeyValue| pair.value_str().ok()?.parse::<u32>().ok();
/// let mut workers = cache.value("config/workers", read)?;
///
/// // At first as it is, then whenever it has changed.
/// let now = workers.changed().await?.expect("it is there");
/// assert_eq!(*now, Some(8));
/// client.put("config/workers", "many").await?;
/// let now = workers.changed().await?.expect("it is there");
/// assert_eq!(*now, None);
/// # Ok(())
/// # });
/// ```
// case 25
pub struct CachedValue<T> {
    cache: Cache,
    key: Bytes,
    read: Box<dyn Fn(&KeyValue) -> T + Send + Sync>,
    /// The value that was read last, and the revision that wrote it.
    last: Mutex<Option<(i64, Arc<T>)>>,
    /// The revision of what [`changed`](Self::changed) returned last; 0 for no value.
    told: Option<i64>,
}

impl<T> CachedValue<T> {
    pub(super) fn new(
        cache: Cache,
        key: Bytes,
        read: Box<dyn Fn(&KeyValue) -> T + Send + Sync>,
    ) -> Self {
        Self { cache, key, read, last: Mutex::new(None), told: None }
    }

    /// Returns the value as it is; `None` where the key is not there.
    ///
    /// # Errors
    ///
    /// Why the cache has ended.
    pub fn get(&self) -> Result<Option<Arc<T>>, Error> {
        Ok(self.look()?.map(|(_, value)| value))
    }

    /// Waits until the value differs from what was returned last, and returns it; at first, as it
    /// is. Changes that come faster than they are asked for are seen as one; a key that was deleted
    /// and created again has another value, also if that is the same.
    ///
    /// # Errors
    ///
    /// Why the cache has ended.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn changed(&mut self) -> Result<Option<Arc<T>>, Error> {
        loop {
            let changed = self.cache.inner.listen();
            let found = self.look()?;
            let revision = found.as_ref().map_or(0, |(revision, _)| *revision);
            if self.told != Some(revision) {
                self.told = Some(revision);
                return Ok(found.map(|(_, value)| value));
            }
            changed.await;
        }
    }

    fn look(&self) -> Result<Option<(i64, Arc<T>)>, Error> {
        let Some(pair) = self.cache.get(self.key.clone())? else { return Ok(None) };
        let revision = pair.mod_revision;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((read, value)) = &*last
            && *read == revision
        {
            return Ok(Some((revision, Arc::clone(value))));
        }
        let value = Arc::new((self.read)(&pair));
        *last = Some((revision, Arc::clone(&value)));
        Ok(Some((revision, value)))
    }
}

impl<T> fmt::Debug for CachedValue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedValue").field("key", &self.key).finish_non_exhaustive()
    }
}
