//! The double barrier: all enter together, and all leave together.
//!
//! ```text
//!   enter: create a key ──► all are there ──► write `ready` ──► inside
//!              │                  ▲               ▲
//!              │                  └ wait ─────────┘ somebody else has written it
//!              └─► there are as many without it ──► delete it: too many
//!   leave: delete the key ──► wait for the others of the round ──► delete `ready` of the round
//! ```
//!
//! A *round* ends with the revision that wrote `ready`: it is of those whose keys were created
//! before. Keys that were created later are of the next round, and so are not taken for those of
//! this one that are yet to leave, and a `ready` that is left over from an earlier round is seen to
//! be old.

use super::RecipeError;
use super::contender::{Contender, Entry};
use super::guard::guard;
use super::race::{race, within};
use super::retry::{self, Backoff, passes};
use super::unique;
use super::view::{Pairs, View};
use crate::{Bytes, Client, IntoBytes, KeyValue, Session, delete, get, key, prefix, put};
use std::time::Duration;

/// How long those who were there before leave it to the last one to say that all are there.
const PATIENCE: Duration = Duration::from_millis(100);

/// A double barrier: participants, so many, wait for each other before they begin, and again before
/// they end.
///
/// One that dies, or whose session is lost, is missing while the others wait to enter, until there
/// is another one in its place; and counts as having left when they wait to leave. One more than
/// there may be is refused.
///
/// # Keys
///
/// A participant is a key `NAME/waiters/…` of a unique name, attached to the lease of its session;
/// `NAME/ready` is written when all are there. Go's `recipe.DoubleBarrier` and this one can use the
/// same barrier, with Go's weaknesses: there, participants of the next round are taken for those of
/// this one that are yet to leave, so that `Leave` may wait for them without end, and a failure of
/// the last participant before it has written `ready` leaves the others waiting.
///
/// # Examples
///
/// ```
/// use etcd3::recipes::DoubleBarrier;
/// use std::time::Duration;
///
/// # etcd3_sim::example(|client| async move {
/// # let two = client.session(Duration::from_secs(10)).await?;
/// # client.spawn(async move {
/// #     let inside = DoubleBarrier::new(&two, "round", 2).enter().await.unwrap();
/// #     inside.leave().await.unwrap();
/// # });
/// let session = client.session(Duration::from_secs(10)).await?;
/// let barrier = DoubleBarrier::new(&session, "round", 2);
///
/// let inside = barrier.enter().await?;
/// println!("both are there");
/// inside.leave().await?;
/// println!("both are done");
/// # Ok(())
/// # });
/// ```
// X42, S-12, I-S8
#[derive(Debug, Clone)]
pub struct DoubleBarrier {
    session: Session,
    keys: Keys,
    count: usize,
}

/// The names of its keys.
#[derive(Debug, Clone)]
struct Keys {
    all: Bytes,
    waiters: Bytes,
    ready: Bytes,
}

/// A participant inside of a [`DoubleBarrier`].
///
/// Dropping it deletes its key in the background, which counts as leaving, without waiting for the
/// others. It keeps its session.
#[must_use = "whoever drops it has left the barrier"]
pub struct DoubleBarrierGuard {
    contender: Contender,
    client: Client,
    keys: Keys,
    /// The revision that wrote `ready` for this round.
    round: i64,
}

/// What a participant sees that is yet to pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sight {
    /// Its own key is not there any more.
    Gone,
    /// All were there, as this revision says.
    Ready(i64),
    /// All are there, and nobody has said so since this revision of `ready`; 0 if there is none.
    Complete {
        before: i64,
        /// No participant came later.
        is_last: bool,
    },
}

impl DoubleBarrier {
    /// Makes a handle of the barrier of this name for so many participants, who have to agree on
    /// that; sends nothing.
    #[must_use]
    pub fn new(session: &Session, name: impl IntoBytes, count: usize) -> Self {
        let name = name.into_bytes();
        let under = |part: &[u8]| [&name[..], part].concat().into_bytes();
        let keys = Keys { all: under(b"/"), waiters: under(b"/waiters/"), ready: under(b"/ready") };
        Self { session: session.clone(), keys, count }
    }

    /// Waits until all participants have entered.
    ///
    /// # Errors
    ///
    /// [`TooManyClients`](RecipeError::TooManyClients) if as many are there already; the session
    /// is lost, or somebody deleted the key, also while it waits; and errors of calls that do not
    /// pass.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves no key behind: it is deleted in the background.
    // REC-004, REC-005
    pub async fn enter(&self) -> Result<DoubleBarrierGuard, RecipeError> {
        let client = self.session.client();
        let waiters = get(prefix(self.keys.waiters.clone())).count_only();
        let count = || client.execute(waiters.clone());
        let mut there = retry::read_in(&self.session, count).await?;
        let contender = loop {
            if usize::try_from(there.count).is_ok_and(|there| there >= self.count) {
                return Err(RecipeError::TooManyClients(self.count));
            }
            // No key is created that is one too many: others could not tell that it is to go.
            let nobody_came = prefix(self.keys.waiters.clone());
            let entry = Entry {
                lease: self.session.lease(),
                key: unique::draw(client, &self.keys.waiters),
                value: Bytes::new(),
                only_if: vec![nobody_came.create_revision().le(there.header.revision)],
                read: waiters.clone(),
            };
            let entered = Box::pin(entry.enter(&self.session)).await?;
            match entered.contender {
                Some(contender) => break contender,
                None => there = entered.read,
            }
        };
        let round = contender.unless_lost(Box::pin(self.pass(&contender))).await?;
        let (client, keys) = (client.clone(), self.keys.clone());
        Ok(DoubleBarrierGuard { contender, client, keys, round })
    }

    /// The same as [`enter`](Self::enter), waiting for so long at most.
    ///
    /// # Errors
    ///
    /// Those of [`enter`](Self::enter).
    ///
    /// # Cancel safety
    ///
    /// That of [`enter`](Self::enter).
    pub async fn enter_timeout(
        &self,
        time: Duration,
    ) -> Result<Option<DoubleBarrierGuard>, RecipeError> {
        within(self.session.client(), time, self.enter()).await
    }

    /// Waits until all are there, and says so if nobody else does; the revision that says so.
    async fn pass(&self, contender: &Contender) -> Result<i64, RecipeError> {
        let client = self.session.client();
        let rt = client.runtime();
        let mut view = View::lasting(client, prefix(self.keys.all.clone()));
        let mut backoff = Backoff::new(client);
        loop {
            let before = match view.until(|pairs| self.look(contender, pairs)).await? {
                Sight::Gone => return Err(contender.why_gone().await),
                Sight::Ready(round) => return Ok(round),
                Sight::Complete { before, is_last: true } => before,
                Sight::Complete { before, is_last: false } => {
                    // The last one says so; or else, it has died between two steps.
                    let same = Sight::Complete { before, is_last: false };
                    let other =
                        |pairs: &Pairs| (self.look(contender, pairs) != Some(same)).then_some(());
                    let changed = async { view.until(other).await.map(|()| true) };
                    let rest = async {
                        rt.sleep_until(rt.now() + PATIENCE).await;
                        Ok(false)
                    };
                    if race(changed, rest).await? {
                        continue;
                    }
                    before
                }
            };
            let ready = key(self.keys.ready.clone());
            let nobody_did = ready.mod_revision().eq(before);
            let say = put(self.keys.ready.clone(), "");
            match client.txn().when([nobody_did, contender.fence()]).then([say]).await {
                Ok(done) if done.succeeded => return Ok(done.header.revision),
                // Somebody else did, or it was this one: the view shows it.
                Ok(_) => self.until_it_shows(&mut view, contender, before).await?,
                Err(error) if passes(&error) => backoff.rest().await,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits until the view shows what the transaction has seen: another `ready`, or no own key.
    async fn until_it_shows(
        &self,
        view: &mut View,
        contender: &Contender,
        before: i64,
    ) -> Result<(), RecipeError> {
        let shows = |pairs: &Pairs| {
            let sight = self.look(contender, pairs);
            let is_new = self.keys.ready_of(pairs) != before || sight == Some(Sight::Gone);
            is_new.then_some(())
        };
        Ok(view.until(shows).await?)
    }

    /// Returns what there is to be done about what a participant sees.
    fn look(&self, contender: &Contender, pairs: &Pairs) -> Option<Sight> {
        let own = contender.create_revision();
        if pairs.get(contender.key()).map(|pair| pair.create_revision) != Some(own) {
            return Some(Sight::Gone);
        }
        let before = self.keys.ready_of(pairs);
        if before > own {
            return Some(Sight::Ready(before));
        }
        let of_the_round = |it: &&KeyValue| it.create_revision > before;
        let (mut there, mut later) = (0, 0);
        for waiter in self.keys.waiters_of(pairs).filter(of_the_round) {
            there += 1;
            later += usize::from(waiter.create_revision > own);
        }
        (there >= self.count).then_some(Sight::Complete { before, is_last: later == 0 })
    }
}

impl Keys {
    /// Returns the revision that wrote `ready` last; 0 if it is not there.
    fn ready_of(&self, pairs: &Pairs) -> i64 {
        pairs.get(&self.ready).map_or(0, |pair| pair.mod_revision)
    }

    fn waiters_of<'a>(&'a self, pairs: &'a Pairs) -> impl Iterator<Item = &'a KeyValue> {
        pairs.values().filter(|pair| pair.key.starts_with(&self.waiters))
    }
}

impl DoubleBarrierGuard {
    /// Leaves, and waits until all participants of this round have left, or died.
    ///
    /// # Errors
    ///
    /// Those of a write, and of reads what does not pass, after which it may be called again to go
    /// on; and why it was inside no more.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves open whether this participant has left; it may be called again.
    pub async fn leave(&self) -> Result<(), RecipeError> {
        self.contender.leave().await?;
        self.contender.unless_lost(Box::pin(self.leave_round())).await
    }

    async fn leave_round(&self) -> Result<(), RecipeError> {
        let mut view = View::lasting(&self.client, prefix(self.keys.waiters.clone()));
        let empty = |pairs: &Pairs| {
            let mut waiters = self.keys.waiters_of(pairs);
            waiters.all(|it| it.create_revision > self.round).then_some(())
        };
        view.until(empty).await?;
        // Whoever sees that all have left; and nobody takes that of another round.
        let same = key(self.keys.ready.clone()).mod_revision().eq(self.round);
        let ready = delete(self.keys.ready.clone());
        match self.client.txn().when([same]).then([ready]).await {
            // It is old, and seen to be: nobody is harmed if it stays.
            Err(error) if passes(&error) => Ok(()),
            Err(error) => Err(error.into()),
            Ok(_) => Ok(()),
        }
    }
}

guard!(DoubleBarrierGuard, "it is inside");
