//! One at a time of each name, among the handles of a session.

use super::handle::Session;
use etcd3_core::{Bytes, IntoBytes};
use event_listener::Event;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
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
    /// Those that asked, in that order, successors first; the first one has the turn. None is
    /// empty.
    queues: BTreeMap<Bytes, VecDeque<u64>>,
    /// Those that have announced their end.
    ending: BTreeSet<u64>,
}

/// The turns of one name among the handles of a session. Made by [`Session::turns`]; does not keep
/// the session.
#[derive(Clone)]
#[must_use = "nothing is taken until it is asked for"]
pub struct SessionTurns {
    turns: Arc<Turns>,
    name: Bytes,
}

/// The turn of a name among the handles of a session, given back when this is dropped. Made by
/// [`SessionTurns::take`] and the like.
#[must_use = "a turn that is dropped is given back"]
pub struct SessionTurn {
    of: SessionTurns,
    number: u64,
}

impl Turns {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SessionTurn {
    /// Announces that it will be given back, as by whoever tidies up.
    pub fn announce_end(&self) {
        self.of.turns.lock().ending.insert(self.number);
    }

    fn is_first(&self) -> bool {
        let state = self.of.turns.lock();
        state.queues.get(&self.of.name).and_then(VecDeque::front) == Some(&self.number)
    }
}

impl Drop for SessionTurn {
    fn drop(&mut self) {
        let SessionTurns { turns, name } = &self.of;
        let mut state = turns.lock();
        state.ending.remove(&self.number);
        if let Some(queue) = state.queues.get_mut(name) {
            queue.retain(|number| *number != self.number);
            if queue.is_empty() {
                state.queues.remove(name);
            }
        }
        drop(state);
        turns.given_back.notify(usize::MAX);
    }
}

impl Session {
    /// Returns the turns of this name: one at a time has it of all that use this session and its
    /// clones. Nothing is sent.
    ///
    /// What contends in the name of a session has the id of its lease in its key, so that two
    /// handles of one session are the same contender to the cluster: turns tell them apart. The
    /// [`recipes`](crate::recipes) take that of their key.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # etcd3_sim::example(|client| async move {
    /// let session = client.session(Duration::from_secs(10)).await?;
    /// let turn = session.turns("report").take().await;
    /// assert!(session.clone().turns("report").try_take().is_none());
    /// drop(turn);
    /// assert!(session.turns("report").try_take().is_some());
    /// # Ok(())
    /// # });
    /// ```
    // I-S4
    pub fn turns(&self, name: impl IntoBytes) -> SessionTurns {
        SessionTurns { turns: Arc::clone(self.all_turns()), name: name.into_bytes() }
    }
}

impl SessionTurns {
    /// Waits for the turn, in the order of those who ask for it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up its place. One that is neither polled nor dropped holds up
    /// those behind it.
    pub async fn take(&self) -> SessionTurn {
        let place = self.ask(false);
        loop {
            let given_back = self.turns.given_back.listen();
            if place.is_first() {
                return place;
            }
            given_back.await;
        }
    }

    /// Has the turn after whoever has it now, before those that wait; at once if nobody has it.
    ///
    /// For whoever goes on with what the one that has it did not finish, and may do so beside it.
    pub fn succeed(&self) -> SessionTurn {
        self.ask(true)
    }

    /// Takes the turn if nobody has it.
    #[must_use]
    pub fn try_take(&self) -> Option<SessionTurn> {
        Some(self.ask(false)).filter(SessionTurn::is_first)
    }

    /// Returns whether somebody has the turn and has not [announced](SessionTurn::announce_end) to
    /// give it back.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        let state = self.turns.lock();
        let first = state.queues.get(&self.name).and_then(VecDeque::front);
        first.is_some_and(|number| !state.ending.contains(number))
    }

    fn ask(&self, is_next: bool) -> SessionTurn {
        let mut state = self.turns.lock();
        state.last += 1;
        let number = state.last;
        let queue = state.queues.entry(self.name.clone()).or_default();
        let place = if is_next { queue.len().min(1) } else { queue.len() };
        queue.insert(place, number);
        drop(state);
        SessionTurn { of: self.clone(), number }
    }
}

impl fmt::Debug for SessionTurns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionTurns").field("name", &self.name).finish_non_exhaustive()
    }
}

impl fmt::Debug for SessionTurn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionTurn").field("name", &self.of.name).finish_non_exhaustive()
    }
}
