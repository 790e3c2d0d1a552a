//! The pairs of a range as they are, followed until they are as they should be.
//!
//! One listing and one watch, however often it is looked at: what is shown is always all pairs at
//! one revision, and the revisions go up. Lost connections, members and compactions do not show.

use super::retry::{Backoff, passes};
use crate::{Bytes, Client, Difference, Error, ErrorKind, KeyRange, KeyValue, ListWatch};
use std::collections::BTreeMap;

/// The pairs of a range, by their keys.
pub(super) type Pairs = BTreeMap<Bytes, KeyValue>;

/// The pairs of a range and what becomes of them.
pub(super) struct View {
    client: Client,
    range: KeyRange,
    /// Of a view that begins anew after what passes.
    backoff: Option<Backoff>,
    list: ListWatch,
    pairs: Pairs,
    /// All pairs are of one revision: no listing is under way.
    is_whole: bool,
}

impl View {
    pub(super) fn new(client: &Client, range: impl Into<KeyRange>) -> Self {
        let range = range.into();
        let list = client.list_watch(range.clone());
        let (client, pairs) = (client.clone(), Pairs::new());
        Self { client, range, backoff: None, list, pairs, is_whole: false }
    }

    /// The same, where the first listing, too, is repeated for as long as it fails by what passes.
    pub(super) fn lasting(client: &Client, range: impl Into<KeyRange>) -> Self {
        Self { backoff: Some(Backoff::new(client)), ..Self::new(client, range) }
    }

    /// Waits until the pairs are such that this finds something.
    ///
    /// # Errors
    ///
    /// Those of a [`ListWatch`]; of one that is [`lasting`](Self::lasting), those that do not pass.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    // I-S3
    pub(super) async fn until<T>(
        &mut self,
        mut find: impl FnMut(&Pairs) -> Option<T>,
    ) -> Result<T, Error> {
        loop {
            if self.is_whole
                && let Some(found) = find(&self.pairs)
            {
                return Ok(found);
            }
            match (self.step().await, &mut self.backoff) {
                (Err(error), Some(backoff)) if passes(&error) => {
                    backoff.rest().await;
                    self.list = self.client.list_watch(self.range.clone());
                    (self.pairs, self.is_whole) = (Pairs::new(), false);
                }
                (step, _) => step?,
            }
        }
    }

    /// Takes in what comes next.
    async fn step(&mut self) -> Result<(), Error> {
        use crate::ListWatchItem as Item;
        // It ends in an error; when that was told before, by this one.
        let over = || Err(Error::new(ErrorKind::WatchCanceled));
        let item = self.list.next().await.unwrap_or_else(over)?;
        match &item {
            Item::Page(_) | Item::Compacted { .. } | Item::Differences(_) => self.is_whole = false,
            Item::Listed(_) | Item::Resynced(_) => self.is_whole = true,
            _ => {}
        }
        for difference in item.into_differences() {
            match difference {
                Difference::Put(pair) => {
                    self.pairs.insert(pair.key.clone(), pair);
                }
                Difference::Delete(key) => {
                    self.pairs.remove(&key);
                }
                _ => {}
            }
        }
        Ok(())
    }
}
