//! Following who leads, and what is proclaimed.
//!
//! ```text
//!                who leads there, or nobody
//!   Reading(at) ────────────────────────────► Following(leader) ──► its puts are proclaimed values
//!      ▲  ▲                                      │       │
//!      │  └── its delete, at that revision ──────┘       │
//!      │  └── nobody leads: the first put, there ────────┘
//!      └───── compacted: at the newest revision
//! ```
//!
//! Each reading but the first, and those after a compaction, is of the revision of the event that
//! made it necessary. So nobody who led meanwhile is passed over, and of several candidates in one
//! batch of events the one that was created first leads.

// X27, X28, I-S6, S-08, S-09

use super::super::contender::is_contender;
use super::super::retry::{Backoff, passes};
use super::leader::{Leader, key_prefix};
use crate::runtime::BoxFuture;
use crate::{Bytes, Client, Error, ErrorKind, Event, IntoBytes, ResumeToken, Watch, key, prefix};
use futures_core::Stream;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

/// The leaders of an election, and what they proclaim: a stream of [`LeaderChange`]s. Made by
/// [`Election::observe`](super::Election::observe), or, without a session, by
/// [`new`](Self::new).
///
/// The first item says how it is at the beginning. From then on every leader is delivered in the
/// order in which they were elected, and everything that each of them proclaims, whatever happens
/// to connections and members. Only where events have been compacted away before they were seen,
/// it goes on with what there is, so that leaders and values may be missing.
///
/// A leader that is delivered led at its revision; that may be over. For what is to be done only
/// while it leads there is [`Leader::fence`].
///
/// # Examples
///
/// ```
/// use etcd3::recipes::{Election, LeaderChange, LeaderChanges};
/// use std::time::Duration;
///
/// # etcd3_sim::example(|client| async move {
/// let mut changes = LeaderChanges::new(&client, "scheduler");
/// # let session = client.session(Duration::from_secs(10)).await?;
/// # let leadership = Election::new(&session, "scheduler").campaign("10.0.0.7:80").await?;
/// # let mut left = 1;
/// while let Some(change) = changes.next().await {
///     match change? {
///         LeaderChange::Elected(leader) => println!("{:?} leads", leader.value()),
///         LeaderChange::Proclaimed(leader) => println!("it is {:?} now", leader.value()),
///         LeaderChange::Vacant => println!("nobody leads"),
///         _ => {}
///     }
/// #   left -= 1;
/// #   if left == 0 { break; }
/// }
/// # Ok(())
/// # });
/// ```
///
/// # Errors
///
/// A failure ends the stream, once. Those that pass do not, for as long as it takes; what is left
/// is such as the lack of a permission, a cluster that was replaced, and
/// [`Closed`](ErrorKind::Closed) when the client is closed.
///
/// # Cancel safety
///
/// Dropping the future of one `next` loses nothing. Dropping the stream cancels its watch.
#[must_use = "a stream does nothing until it is polled"]
pub struct LeaderChanges {
    prefix: Bytes,
    state: Mutex<State>,
}

enum State {
    Idle(Box<Observer>),
    /// Looks for the next change.
    Busy(BoxFuture<'static, (Box<Observer>, Result<LeaderChange, Error>)>),
    Done,
}

/// What a [`LeaderChanges`] delivers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeaderChange {
    /// Another leader than before; as the first item, the one that there is.
    Elected(Leader),
    /// The leader has another value.
    Proclaimed(Leader),
    /// Nobody leads, and nobody who could is waiting.
    Vacant,
}

impl LeaderChange {
    /// Returns who leads; `None` where nobody does.
    #[must_use]
    pub const fn leader(&self) -> Option<&Leader> {
        match self {
            Self::Elected(leader) | Self::Proclaimed(leader) => Some(leader),
            Self::Vacant => None,
        }
    }
}

impl LeaderChanges {
    /// Follows the election of this name. Nothing is sent until it is polled.
    pub fn new(client: &Client, name: impl IntoBytes) -> Self {
        Self::of(client, key_prefix(name))
    }

    pub(super) fn of(client: &Client, prefix: Bytes) -> Self {
        let observer = Observer {
            client: client.clone(),
            prefix: prefix.clone(),
            position: Position::Reading(None),
            told: None,
            backoff: Backoff::new(client),
        };
        Self { prefix, state: Mutex::new(State::Idle(Box::new(observer))) }
    }

    /// Waits for the next change; `None` after a failure.
    ///
    /// # Errors
    ///
    /// Those of the stream; a failure ends it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<LeaderChange, Error>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for LeaderChanges {
    type Item = Result<LeaderChange, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut next = match std::mem::replace(state, State::Done) {
            State::Done => return Poll::Ready(None),
            State::Busy(next) => next,
            State::Idle(mut observer) => Box::pin(async move {
                let change = observer.next().await;
                (observer, change)
            }),
        };
        let Poll::Ready((observer, change)) = next.as_mut().poll(cx) else {
            *state = State::Busy(next);
            return Poll::Pending;
        };
        if change.is_ok() {
            *state = State::Idle(observer);
        }
        Poll::Ready(Some(change))
    }
}

impl fmt::Debug for LeaderChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaderChanges").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// What looks for changes.
struct Observer {
    client: Client,
    prefix: Bytes,
    position: Position,
    /// The revisions of creation and of the last change of the leader that was delivered last; zero
    /// if that nobody leads was.
    told: Option<(i64, i64)>,
    backoff: Backoff,
}

enum Position {
    /// The leader is to be read, at this revision or at the newest one.
    Reading(Option<i64>),
    Following(Following),
}

/// The key of a leader that is watched, or, where nobody leads, all keys.
struct Following {
    leader: Option<Bytes>,
    /// From where a watch delivers what has not been seen.
    from: ResumeToken,
    watch: Option<Watch>,
    events: std::vec::IntoIter<Event>,
}

impl Observer {
    async fn next(&mut self) -> Result<LeaderChange, Error> {
        loop {
            let step = match &mut self.position {
                Position::Reading(at) => {
                    let at = *at;
                    self.read(at).await
                }
                Position::Following(following) => {
                    following.next_event(&self.client, &self.prefix).await.map(|it| self.take(it))
                }
            };
            match step {
                Ok(Some(change)) => return Ok(change),
                Ok(None) => {}
                Err(error) => self.recover(error).await?,
            }
        }
    }

    /// Reads who leads.
    async fn read(&mut self, at: Option<i64>) -> Result<Option<LeaderChange>, Error> {
        let (leader, header) = Leader::first(&self.client, &self.prefix, at).await?;
        self.backoff = Backoff::new(&self.client);
        let mut from = ResumeToken::after(&header);
        if let Some(revision) = at {
            from.revision = revision + 1;
        }
        self.position = Position::Following(Following {
            leader: leader.as_ref().map(|it| it.key().clone()),
            from,
            watch: None,
            events: Vec::new().into_iter(),
        });
        Ok(self.tell(leader))
    }

    /// Takes an event of the leader, or the first one after nobody led.
    fn take(&mut self, event: Event) -> Option<LeaderChange> {
        self.backoff = Backoff::new(&self.client);
        let has_leader =
            matches!(&self.position, Position::Following(Following { leader: Some(_), .. }));
        if has_leader && !event.is_delete() {
            return self.tell(Some(Leader::new(event.kv)));
        }
        self.position = Position::Reading(Some(event.revision()));
        None
    }

    /// Makes the item of what was found, unless it was told already.
    fn tell(&mut self, leader: Option<Leader>) -> Option<LeaderChange> {
        let new = leader.as_ref().map_or((0, 0), |it| (it.create_revision(), it.kv().mod_revision));
        let before = self.told.replace(new);
        if before == Some(new) {
            return None;
        }
        let had = before.map(|(created, _)| created);
        Some(match leader {
            None => LeaderChange::Vacant,
            Some(leader) if had == Some(leader.create_revision()) => {
                LeaderChange::Proclaimed(leader)
            }
            Some(leader) => LeaderChange::Elected(leader),
        })
    }

    /// Continues after a failure, if that is possible.
    async fn recover(&mut self, error: Error) -> Result<(), Error> {
        let is_compacted =
            error.is_compacted() || matches!(error.kind(), ErrorKind::WatchCompacted { .. });
        if is_compacted {
            // What happened since is gone.
            // S-08, CONC-016
            self.position = Position::Reading(None);
            return Ok(());
        }
        if !passes(&error) && error.kind() != ErrorKind::WatchCanceled {
            return Err(error);
        }
        if let Position::Following(following) = &mut self.position {
            following.watch = None;
        }
        self.backoff.rest().await;
        Ok(())
    }
}

impl Following {
    /// Waits for the next event.
    async fn next_event(&mut self, client: &Client, keys: &Bytes) -> Result<Event, Error> {
        loop {
            let events = &mut self.events;
            if let Some(event) = events.find(|event| is_contender(keys, event.key())) {
                return Ok(event);
            }
            let watch = match &mut self.watch {
                Some(watch) => watch,
                none => {
                    let watch = match &self.leader {
                        Some(leader) => client.watch(key(leader.clone())),
                        None => client.watch(prefix(keys.clone())).without_deletes(),
                    };
                    none.insert(watch.resume(self.from).await?)
                }
            };
            let batch = match watch.next().await {
                Some(batch) => batch?,
                // It said why before.
                None => return Err(Error::new(ErrorKind::WatchCanceled)),
            };
            self.from = batch.resume_token();
            self.events = batch.events.into_iter();
        }
    }
}
