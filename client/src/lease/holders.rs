//! Those who have a lease.

use super::cell::Cell;
use etcd3_core::lease::Renewal;
use std::sync::Arc;
use std::time::Duration;

/// Those who have a lease: of thousands, nearly every one is had once.
#[derive(Default)]
pub(super) struct Holders {
    first: Option<Arc<Cell>>,
    /// Absent rather than empty.
    others: Option<Box<Others>>,
}

#[derive(Default)]
struct Others {
    keep: Vec<Arc<Cell>>,
    /// Those who want it renewed once.
    once: Vec<Arc<Cell>>,
}

impl Holders {
    /// Adds one who has it kept alive.
    pub(super) fn keep(&mut self, cell: Arc<Cell>) {
        if self.first.is_none() {
            self.first = Some(cell);
        } else {
            self.others.get_or_insert_default().keep.push(cell);
        }
    }

    /// Adds one who wants it renewed once.
    pub(super) fn once(&mut self, cell: Arc<Cell>) {
        self.others.get_or_insert_default().once.push(cell);
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.first.is_none() && self.others.is_none()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Cell>> {
        let others = self.others.iter().flat_map(|it| it.keep.iter().chain(&it.once));
        self.first.iter().chain(others)
    }

    pub(super) fn remove(&mut self, cell: &Arc<Cell>) {
        self.retain(|it| !Arc::ptr_eq(it, cell));
    }

    /// Notes a renewal, and forgets those who have no more use for it.
    pub(super) fn renew(&mut self, renewal: Renewal, suspended: Duration) {
        for cell in self.others.iter_mut().flat_map(|it| it.once.drain(..)) {
            cell.renew(renewal, suspended);
        }
        self.retain(|cell| cell.renew(renewal, suspended));
    }

    /// Keeps those of whom this holds.
    pub(super) fn retain(&mut self, mut keeps: impl FnMut(&Arc<Cell>) -> bool) {
        self.first.take_if(|cell| !keeps(cell));
        if let Some(others) = &mut self.others {
            others.keep.retain(&mut keeps);
            others.once.retain(keeps);
        }
        self.others.take_if(|it| it.keep.is_empty() && it.once.is_empty());
    }
}
