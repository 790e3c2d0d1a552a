//! One at a time of each name, among the handles of a session.

use super::handle::Session;
use etcd3_core::{Bytes, IntoBytes};
use event_listener::Event;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The turns of a session that are taken or waited for.
#[derive(Default)]
pub(super) struct Turns {
    state: Mutex<State>,
    given_back: Event,
}

#[derive(Default)]
struct State {
    /// Counts who asked.
    last: u64,
    /// Who asked, in that order; the first one has the turn. None is empty.
    queues: BTreeMap<Bytes, VecDeque<u64>>,
}

/// The turn of a name among the handles of one session, given back when this is dropped. Made by
/// [`Session::turn`] and [`Session::try_turn`].
///
/// Does not keep the session.
#[must_use = "a turn that is dropped is given back"]
pub struct SessionTurn {
    turns: Arc<Turns>,
    name: Bytes,
    number: u64,
}

impl Turns {
    fn ask(self: &Arc<Self>, name: Bytes) -> SessionTurn {
        let mut state = self.lock();
        state.last += 1;
        let number = state.last;
        state.queues.entry(name.clone()).or_default().push_back(number);
        drop(state);
        SessionTurn { turns: Arc::clone(self), name, number }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SessionTurn {
    fn is_first(&self) -> bool {
        let state = self.turns.lock();
        state.queues.get(&self.name).and_then(VecDeque::front) == Some(&self.number)
    }
}

impl Drop for SessionTurn {
    fn drop(&mut self) {
        let mut state = self.turns.lock();
        if let Some(queue) = state.queues.get_mut(&self.name) {
            queue.retain(|number| *number != self.number);
            if queue.is_empty() {
                state.queues.remove(&self.name);
            }
        }
        drop(state);
        self.turns.given_back.notify(usize::MAX);
    }
}

impl Session {
    /// Waits for the turn of this name, which one at a time has of all that use this session and
    /// its clones, in the order in which they asked. Nothing is sent.
    ///
    /// What contends in the name of a session has the id of its lease in its key, so that two
    /// handles of one session are the same contender to the cluster: this tells them apart. The
    /// [`recipes`](crate::recipes) take the turn of their key.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up its place. One that is neither polled nor dropped holds up
    /// those behind it.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # etcd3_sim::example(|client| async move {
    /// let session = client.session(Duration::from_secs(10)).await?;
    /// let turn = session.turn("report").await;
    /// assert!(session.clone().try_turn("report").is_none());
    /// drop(turn);
    /// assert!(session.try_turn("report").is_some());
    /// # Ok(())
    /// # });
    /// ```
    // I-S4
    pub async fn turn(&self, name: impl IntoBytes) -> SessionTurn {
        let turns = self.turns();
        let place = turns.ask(name.into_bytes());
        loop {
            let given_back = turns.given_back.listen();
            if place.is_first() {
                return place;
            }
            given_back.await;
        }
    }

    /// Takes the turn of this name if nobody has it; see [`turn`](Self::turn).
    // I-S4
    pub fn try_turn(&self, name: impl IntoBytes) -> Option<SessionTurn> {
        Some(self.turns().ask(name.into_bytes())).filter(SessionTurn::is_first)
    }
}

impl fmt::Debug for SessionTurn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionTurn").field("name", &self.name).finish_non_exhaustive()
    }
}
