//! What whoever leads has in its hands.

use super::super::RecipeError;
use super::super::contender::Contender;
use crate::{Bytes, Compare, GetResponse, IntoBytes, ResponseHeader, Session, get, key, put};
use std::fmt;
use std::future::{Future, IntoFuture};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// The leadership of an election. Made by [`Election::campaign`](super::Election::campaign).
///
/// Lasts until it is given up, the session is lost, or somebody deletes the key. All three end
/// [`lost`](Self::lost), the loss of the session no later than the local deadline of its lease,
/// which is before the cluster lets go and another one leads. What is to be written only by the
/// leader is guarded by the [`fence`](Self::fence): whoever was suspended, or whose write was under
/// way, does not know in time that somebody else leads.
///
/// Cheap to clone. When the last clone is dropped it is given up in the background: the key is
/// deleted, with retries, until that is known to be done or the session is lost, and
/// [`Client::close`](crate::Client::close) waits for that; [`resign`](Self::resign) does it at
/// once. A leadership keeps its session.
#[derive(Clone)]
#[must_use = "a leadership that is dropped is given up"]
pub struct Leadership {
    shared: Arc<Shared>,
}

struct Shared {
    contender: Contender,
    /// The revision that last wrote the value, as far as is known.
    written: AtomicI64,
}

impl Leadership {
    pub(super) fn new(contender: Contender, written: AtomicI64) -> Self {
        Self { shared: Arc::new(Shared { contender, written }) }
    }

    pub(super) fn contender(&self) -> &Contender {
        &self.shared.contender
    }

    /// Returns the key by which it leads.
    #[must_use]
    pub fn key(&self) -> &Bytes {
        self.contender().key()
    }

    /// Returns the revision that created the key: that of each later leader is higher.
    #[must_use]
    pub fn create_revision(&self) -> i64 {
        self.contender().create_revision()
    }

    /// Returns the header of the response by which it entered the election, or was found in it.
    #[must_use]
    pub fn header(&self) -> &ResponseHeader {
        self.contender().header()
    }

    /// Returns the session in whose name it leads.
    pub fn session(&self) -> &Session {
        self.contender().session()
    }

    /// Returns the condition that it still leads, for the transactions of a leader.
    // X17, I-S1
    #[must_use]
    pub fn fence(&self) -> Compare {
        self.contender().fence()
    }

    /// Returns whether it leads, as far as is known here: the lease is valid, the key was not seen
    /// to be gone, and is not being given up.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.contender().is_valid()
    }

    /// Completes when it leads no more, with the reason. Watches its key, and keeps neither the
    /// leadership nor its session.
    // Case 20
    pub fn lost(&self) -> impl Future<Output = RecipeError> + Send + 'static {
        self.contender().lost()
    }

    /// Proclaims another value.
    ///
    /// # Errors
    ///
    /// Why it leads no more, if that is so, and those of any write. When the outcome is *unknown*
    /// the value may be proclaimed yet, but never after one that is proclaimed later: it may be
    /// done again.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves open whether the value is proclaimed.
    // X24
    pub async fn proclaim(&self, value: impl IntoBytes) -> Result<ResponseHeader, RecipeError> {
        proclaim(self.contender(), &self.shared.written, &value.into_bytes()).await
    }

    /// Gives it up: the next candidate leads. Once that succeeded there is nothing to do any more.
    ///
    /// # Errors
    ///
    /// Those of any write, after which it may be done again; dropping the leadership goes on with
    /// it, too. Why it did not lead any more, if that is so.
    ///
    /// # Cancel safety
    ///
    /// Once polled, it does not count as leading here. Dropping the future leaves open whether it
    /// is given up, until the leadership is dropped, too.
    // X25, I-S5, case 17
    pub async fn resign(&self) -> Result<(), RecipeError> {
        self.contender().leave().await
    }
}

/// Writes a value, unless the key is gone, or was written since by a later call.
///
/// The condition on the revision of the last write keeps a transaction whose answer was lost from
/// being applied after the next one.
// X24
pub(super) async fn proclaim(
    contender: &Contender,
    written: &AtomicI64,
    value: &Bytes,
) -> Result<ResponseHeader, RecipeError> {
    let client = contender.session().client();
    loop {
        let own = contender.key().clone();
        let is_newest = key(own.clone()).mod_revision().eq(written.load(Ordering::Relaxed));
        let change = put(own.clone(), value.clone()).lease(contender.lease().id());
        let txn = client.txn().when([contender.fence(), is_newest]);
        let call = txn.then([change]).otherwise([get(own)]);
        // Boxed: a call is large, and futures that hold futures move them.
        let done = contender.unless_lost(Box::pin(call.into_future())).await?;
        if done.succeeded {
            written.fetch_max(done.header.revision, Ordering::Relaxed);
            return Ok(done.header);
        }
        let found = done.get(0).and_then(GetResponse::first);
        match found.filter(|own| own.create_revision == contender.create_revision()) {
            None => return Err(contender.why_gone().await),
            Some(own) => {
                written.fetch_max(own.mod_revision, Ordering::Relaxed);
                if own.value == *value {
                    return Ok(done.header);
                }
            }
        }
    }
}

impl fmt::Debug for Leadership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leadership")
            .field("key", self.key())
            .field("create_revision", &self.create_revision())
            .field("is_valid", &self.is_valid())
            .finish_non_exhaustive()
    }
}
