//! Taking one item, which is done to the end once it is begun.
//!
//! ```text
//!   Claim ──► taken, or somebody else has it
//!     │ dropped
//!     ▼
//!   in the background ──► taken ──► left to the reader ──► (a second, or no reader) ──► put back
//! ```
//!
//! An item is claimed by deleting it if nobody has written it since it was read. A claim without an
//! answer is made again as long as the item is there: whichever of them deletes it, it was us. Once
//! it is gone, nobody can tell who has it.

use super::super::RecipeError;
use super::super::race::race;
use super::super::retry::{Backoff, passes};
use super::super::unique;
use super::items::{Claimed, Shared};
use crate::runtime::BoxFuture;
use crate::{Bytes, Client, Compare, IntoBytes, KeyRange, KeyValue, Outcome, delete, key, put};
use std::future::poll_fn;
use std::sync::{Arc, Weak};
use std::task::ready;
use std::time::Duration;

/// How long an item waits for a reader who gave up claiming it.
const KEPT: Duration = Duration::from_secs(1);

/// How often an item is claimed again whose claim had no answer.
const CLAIMS: u32 = 4;

/// What must hold for an item to be taken, besides that it is there.
#[derive(Debug)]
pub(super) struct Rule {
    /// Where no other item may be.
    pub(super) before: Option<KeyRange>,
}

/// A claim under way. Dropping it leaves it to the background.
pub(super) struct Claim<'a> {
    shared: &'a Arc<Shared>,
    work: Option<BoxFuture<'static, Result<Option<KeyValue>, RecipeError>>>,
}

impl<'a> Claim<'a> {
    /// Takes an item; `None` if somebody else has taken it, or another one is to be taken first.
    pub(super) async fn begin(
        shared: &'a Arc<Shared>,
        item: KeyValue,
    ) -> Result<Option<KeyValue>, RecipeError> {
        // It goes on in the background when nobody waits for it any more.
        let work = claim(shared.client().for_cleanup(), shared.rule(&item), item);
        let mut claim = Self { shared, work: Some(Box::pin(work)) };
        poll_fn(|cx| match &mut claim.work {
            Some(work) => {
                let done = ready!(work.as_mut().poll(cx));
                claim.work = None;
                done.into()
            }
            None => std::task::Poll::Pending,
        })
        .await
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            let client = self.shared.client().for_cleanup();
            // It does not keep the reader: without one, the item is put back.
            let (reader, open) = (Arc::downgrade(self.shared), self.shared.give_up());
            client.clone().spawn(async move {
                let claimed = match work.await {
                    Ok(Some(item)) => Ok(item),
                    Err(error @ RecipeError::ClaimUnknown(_)) => Err(error),
                    // Nothing was taken.
                    Ok(None) | Err(_) => return,
                };
                let taken = claimed.clone().ok();
                let has_reader = tell(&reader, claimed);
                drop(open);
                if let Some(item) = taken {
                    keep(&client, &reader, has_reader, item).await;
                }
            });
        }
    }
}

async fn claim(
    client: Client,
    rule: Rule,
    item: KeyValue,
) -> Result<Option<KeyValue>, RecipeError> {
    let first = rule.before.map(KeyRange::missing).into_iter().chain([unchanged(&item)]);
    let done = client.txn().when(first).then([delete(item.key.clone())]).await;
    let error = match done {
        Ok(done) => return Ok(done.succeeded.then_some(item)),
        Err(error) if error.outcome() != Outcome::Unknown => return Err(error.into()),
        Err(error) => error,
    };
    // It may yet come: nothing else is taken before this is settled, whatever came before it.
    let mut backoff = Backoff::new(&client);
    for _ in 0..CLAIMS {
        backoff.rest().await;
        let again = client.txn().when([unchanged(&item)]).then([delete(item.key.clone())]);
        match again.await {
            Ok(done) if done.succeeded => return Ok(Some(item)),
            Err(later) if passes(&later) => {}
            Ok(_) | Err(_) => break,
        }
    }
    Err(RecipeError::claim_unknown(item, error))
}

fn unchanged(item: &KeyValue) -> Compare {
    key(item.key.clone()).mod_revision().eq(item.mod_revision)
}

/// Leaves what came of a claim to its reader, if there is one.
fn tell(reader: &Weak<Shared>, claimed: Claimed) -> bool {
    let shared = reader.upgrade();
    shared.map(|shared| shared.leave(claimed)).is_some()
}

/// Keeps an item for its reader for a while, then puts it back.
async fn keep(client: &Client, reader: &Weak<Shared>, has_reader: bool, item: KeyValue) {
    if !has_reader {
        return put_back(client, reader, item).await;
    }
    let rt = client.runtime();
    let closed = async { drop(client.closed().await) };
    race(rt.sleep_until(rt.now() + KEPT), closed).await;
    // A reader that is dropped puts it back itself.
    if let Some(item) = reader.upgrade().and_then(|shared| shared.withdraw(&item)) {
        put_back(client, reader, item).await;
    }
}

/// Puts an item back of which no reader is left.
pub(super) fn put_back_later(client: &Client, item: KeyValue) {
    let writer = client.for_cleanup();
    writer.clone().spawn(async move { put_back(&writer, &Weak::new(), item).await });
}

/// Writes an item again, under another name of its own, so that it is known whether it was written.
async fn put_back(client: &Client, reader: &Weak<Shared>, item: KeyValue) {
    let name = unique::draw(client, &stem(&item.key));
    let mut backoff = Backoff::new(client);
    loop {
        let write = put(name.clone(), item.value.clone()).lease(item.lease);
        let Err(error) = client.execute(write).await else { return };
        let error = match error.outcome() {
            Outcome::Unknown => match unique::settle(client, &name, error).await {
                Ok(_) => return,
                Err(error) => error,
            },
            _ if passes(&error) => {
                backoff.rest().await;
                continue;
            }
            _ => error,
        };
        tell(reader, Err(RecipeError::claim_unknown(item, error)));
        return;
    }
}

/// Returns the key up to the name that is of this incarnation alone.
fn stem(key: &Bytes) -> Bytes {
    let name = key.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
    let end = key[name..].iter().position(|byte| *byte == b'-').map_or(key.len(), |at| name + at);
    let mut stem = key[..end].to_vec();
    stem.push(b'-');
    stem.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_put_back_again_and_again_does_not_grow() {
        let key = |text: &str| text.into_bytes();
        assert_eq!(stem(&key("a-b/0123")), key("a-b/0123-"));
        assert_eq!(stem(&key("a-b/0123-ff")), key("a-b/0123-"));
        assert_eq!(stem(&key("q/00001/0000000000000007-ff")), key("q/00001/0000000000000007-"));
    }
}
