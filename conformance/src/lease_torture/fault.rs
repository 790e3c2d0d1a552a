//! What goes wrong at one endpoint.

use super::Site;
use crate::failover::{MemberFault, Role};
use crate::load::Error;
use etcd3_core::rng::Rng;
use etcd3_lab::{Direction, Fault, Relays};
use std::fmt;

/// What goes wrong between clients and one member, or with the member itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EndpointFault {
    /// What happens to a member in `cargo xtask failover`.
    Member(MemberFault),
    /// All bytes disappear, on new connections too.
    BlackHole,
    /// What the member answers disappears: it takes renewals that nobody hears of.
    NoAnswers,
    /// All bytes are held back and come when the fault is over.
    Held,
    /// Connections are reset, and new ones refused.
    Refused,
}

impl EndpointFault {
    /// All of them, each for the leader and for another member.
    fn all() -> Vec<(Self, Role)> {
        let members = MemberFault::ALL.map(Self::Member);
        let others = [Self::BlackHole, Self::NoAnswers, Self::Held, Self::Refused];
        let faults = members.into_iter().chain(others);
        faults.flat_map(|fault| [Role::Leader, Role::Follower].map(|role| (fault, role))).collect()
    }

    /// Begins it.
    pub(super) fn begin(self, site: &Site<'_>, member: usize) -> Result<(), Error> {
        let bridge = &site.bridges[member];
        match self {
            Self::Member(fault) => fault.begin(site.cluster, member)?,
            Self::BlackHole => bridge.blackhole(),
            Self::NoAnswers => {
                bridge.set_fault(Relays::All, [Direction::Down], Fault::new().silence());
            }
            Self::Held => bridge.set_fault(Relays::All, Direction::BOTH, Fault::new().hold()),
            Self::Refused => {
                bridge.refuse();
                bridge.reset_all();
            }
        }
        Ok(())
    }

    /// Ends it.
    pub(super) fn end(self, site: &Site<'_>, member: usize) -> Result<(), Error> {
        let bridge = &site.bridges[member];
        match self {
            Self::Member(fault) => fault.end(site.cluster, member)?,
            Self::BlackHole | Self::NoAnswers => bridge.unblackhole(),
            Self::Held => bridge.heal(),
            Self::Refused => bridge.resume_accept()?,
        }
        Ok(())
    }

    /// Tells whether the member stands still.
    pub(super) fn is_frozen(self) -> bool {
        self == Self::Member(MemberFault::Stop)
    }
}

impl fmt::Display for EndpointFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Member(fault) => fault.fmt(f),
            Self::BlackHole => f.write_str("black hole"),
            Self::NoAnswers => f.write_str("no answers"),
            Self::Held => f.write_str("held back"),
            Self::Refused => f.write_str("refused"),
        }
    }
}

/// The faults in an order of their own for each seed, over and over.
pub(super) struct Draw {
    faults: Vec<(EndpointFault, Role)>,
    next: usize,
}

impl Draw {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let mut faults = EndpointFault::all();
        for at in (1..faults.len()).rev() {
            let other = rng.below(u64::try_from(at + 1).unwrap_or(1));
            faults.swap(at, usize::try_from(other).unwrap_or_default());
        }
        Self { faults, next: 0 }
    }

    pub(super) fn next(&mut self) -> (EndpointFault, Role) {
        let drawn = self.faults[self.next % self.faults.len()];
        self.next += 1;
        drawn
    }

    /// Tells whether each of them was drawn.
    pub(super) fn is_through(&self) -> bool {
        self.next >= self.faults.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_fault_is_drawn_once_before_any_is_drawn_again() {
        let mut orders = BTreeSet::new();
        for seed in 0..8 {
            let mut draw = Draw::new(seed);
            let mut order = Vec::new();
            while !draw.is_through() {
                order.push(draw.next());
            }
            assert_eq!(order.len(), 14);
            assert_eq!(order.iter().copied().collect::<BTreeSet<_>>().len(), 14);
            orders.insert(order);
        }
        assert!(orders.len() > 1, "the order is the same for every seed");
    }
}
