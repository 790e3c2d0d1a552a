//! When something is to be done about which lease.

use crate::{Instant, LeaseId};
use std::collections::BTreeMap;

/// How many entries that are void a moment may have besides as many as are not.
const MAX_VOID: usize = 64;

/// The moments at which something is to be done. Many leases share one, since they are renewed in
/// slots: so there are few moments, whatever the number of leases.
///
/// A lease notes itself at which moment it stands; an entry that does not fit that is void. So a
/// lease is taken out by counting, without a search.
#[derive(Debug, Clone)]
pub(super) struct Timers(BTreeMap<Instant, Moment>);

#[derive(Debug, Clone, Default)]
struct Moment {
    leases: Vec<LeaseId>,
    /// How many of them are not void.
    live: usize,
}

impl Timers {
    pub(super) const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Returns the first moment.
    pub(super) fn first(&self) -> Option<Instant> {
        self.0.first_key_value().map(|(at, _)| *at)
    }

    pub(super) fn insert(&mut self, at: Instant, lease: LeaseId) {
        let moment = self.0.entry(at).or_default();
        moment.leases.push(lease);
        moment.live += 1;
    }

    /// Takes out a lease that stands at this moment.
    pub(super) fn remove(&mut self, at: Instant, lease: LeaseId) {
        let Some(moment) = self.0.get_mut(&at) else { return };
        moment.live -= 1;
        if moment.live == 0 {
            self.0.remove(&at);
        } else if moment.leases.len() > 2 * moment.live + MAX_VOID
            && let Some(index) = moment.leases.iter().position(|it| *it == lease)
        {
            moment.leases.swap_remove(index);
        }
    }

    /// Takes the leases of the first moment, if that has come; some are void, or there twice.
    pub(super) fn pop(&mut self, now: Instant) -> Option<(Instant, Vec<LeaseId>)> {
        let first = self.0.first_entry().filter(|first| *first.key() <= now)?;
        let (at, moment) = first.remove_entry();
        Some((at, moment.leases))
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_that_come_and_go_take_bounded_memory() {
        let mut timers = Timers::new();
        let at = Instant::from_nanos(7);
        timers.insert(at, LeaseId(0));
        for number in 1..100_000 {
            timers.insert(at, LeaseId(number));
            timers.remove(at, LeaseId(number));
        }
        assert!(timers.0[&at].leases.len() < 100);
        assert_eq!(timers.pop(Instant::from_nanos(6)), None);
        let (_, leases) = timers.pop(at).expect("the moment has come");
        assert_eq!(leases[0], LeaseId(0));
        assert_eq!(timers.first(), None);
    }
}
