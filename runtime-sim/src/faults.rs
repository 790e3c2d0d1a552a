//! What goes wrong, when, and for how long: drawn first, stored as a list, then carried out.
//!
//! A list can be printed, run again, and shrunk to the part that matters.

use crate::pipe::Cut;
use etcd3_core::rng::Rng;
use std::fmt;
use std::time::Duration;

/// One thing that goes wrong. Clients and members are named by their number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The connections of a client to a member are cut.
    Cut {
        /// The client.
        client: u32,
        /// The member.
        member: usize,
        /// How they end.
        cut: CutKind,
    },
    /// The connections of a client to a member are cut once so many more bytes have come.
    CutAfter {
        /// The client.
        client: u32,
        /// The member.
        member: usize,
        /// How many bytes still come.
        bytes: u64,
        /// How they end.
        cut: CutKind,
    },
    /// What a client sends to a member does not arrive for a while.
    StallUp {
        /// The client.
        client: u32,
        /// The member.
        member: usize,
    },
    /// What a member sends to a client does not arrive for a while.
    StallDown {
        /// The client.
        client: u32,
        /// The member.
        member: usize,
    },
    /// New connections of a client to a member are refused for a while.
    Refuse {
        /// The client.
        client: u32,
        /// The member.
        member: usize,
    },
    /// New connections of a client to a member hang for a while.
    Hang {
        /// The client.
        client: u32,
        /// The member.
        member: usize,
    },
    /// The way between a client and a member is slow, jittery, narrow and chops what it carries,
    /// for connections made in that while.
    Slow {
        /// The client.
        client: u32,
        /// The member.
        member: usize,
    },
    /// A member is killed, and started again after a while with its data.
    Kill {
        /// The member.
        member: usize,
    },
    /// A member freezes for a while.
    Pause {
        /// The member.
        member: usize,
    },
    /// A member is cut off from the other members for a while, not from its clients.
    Isolate {
        /// The member.
        member: usize,
    },
    /// Another member becomes the leader.
    MoveLeader,
    /// The history of the store is compacted.
    Compact {
        /// How many of the last revisions stay.
        keep: u32,
    },
    /// A member ends its connections in an orderly way, by GOAWAY, and takes new ones.
    GoAway {
        /// The member.
        member: usize,
    },
    /// The machine of a client is suspended for a while, and its clock with it. No schedule that is
    /// drawn has it, but [`suspensions`] draws some to add; whoever carries it out is on another
    /// host, since nothing runs on this one that could end it.
    Suspend {
        /// The client.
        client: u32,
    },
    /// A member applies nothing for a while, and is brought up to date by a snapshot then.
    Lag {
        /// The member.
        member: usize,
    },
}

/// How a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CutKind {
    /// Both sides get an error, what is under way is lost.
    Reset,
    /// Both directions end in order.
    Fin,
    /// Nothing arrives any more, and nobody is told.
    Stall,
}

impl From<CutKind> for Cut {
    fn from(kind: CutKind) -> Self {
        match kind {
            CutKind::Reset => Self::Reset,
            CutKind::Fin => Self::Fin,
            CutKind::Stall => Self::Stall,
        }
    }
}

/// A fault with its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Planned {
    /// When it begins, from the start of the run.
    pub at: Duration,
    /// How long it lasts; faults of a moment ignore it.
    pub lasts: Duration,
    /// What goes wrong.
    pub fault: Fault,
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (at, lasts) = (self.at.as_secs_f64(), self.lasts.as_secs_f64());
        write!(f, "{at:>8.3} s  {:?}, {lasts:.3} s", self.fault)
    }
}

/// What a schedule is drawn for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope {
    /// How many clients there are.
    pub clients: u32,
    /// How many members there are.
    pub members: usize,
    /// How long faults may begin.
    pub lasts: Duration,
}

const KINDS: usize = 14;

/// Draws a schedule: a random subset of the kinds of faults (a "swarm"), at random rates.
#[must_use]
pub fn swarm(seed: u64, scope: Scope) -> Vec<Planned> {
    let mut rng = Rng::new(seed ^ 0x5eed_fa17);
    let enabled: Vec<usize> = (0..KINDS).filter(|_| rng.below(3) > 0).collect();
    let most = 1 + rng.below(24);
    let mut plan: Vec<Planned> = Vec::new();
    for _ in 0..6 + most {
        let Some(kind) = pick(&mut rng, &enabled) else { break };
        let window = u64::try_from(scope.lasts.as_millis()).unwrap_or(u64::MAX);
        plan.push(Planned {
            at: Duration::from_millis(rng.below(window)),
            lasts: Duration::from_millis(50 + rng.below(4_000)),
            fault: draw(&mut rng, kind, scope),
        });
    }
    plan.sort_unstable();
    plan
}

/// Draws suspensions of clients, to be added to a schedule: each longer than a second, which is
/// what a machine notices.
#[must_use]
pub fn suspensions(seed: u64, scope: Scope) -> Vec<Planned> {
    let mut rng = Rng::new(seed ^ 0x51ee_fa17);
    let window = u64::try_from(scope.lasts.as_millis()).unwrap_or(u64::MAX);
    let count = 1 + rng.below(3);
    let draw = |_| Planned {
        at: Duration::from_millis(rng.below(window)),
        lasts: Duration::from_millis(1_100 + rng.below(9_000)),
        fault: Fault::Suspend {
            client: u32::try_from(rng.below(u64::from(scope.clients))).unwrap_or_default(),
        },
    };
    (0..count).map(draw).collect()
}

/// The kinds of faults of one member, or of the way to it, of which the others notice nothing that
/// outlasts an election.
const SINGLE: [usize; 11] = [0, 2, 3, 4, 5, 7, 8, 9, 10, 11, 13];
/// How long the rest of the cluster, and its clients, need to get over one.
const RECOVERY: Duration = Duration::from_secs(8);

/// Draws a schedule in which one member at a time is in trouble, and the cluster gets over it
/// before the next: [`is_one_at_a_time`] holds.
#[must_use]
pub fn one_at_a_time(seed: u64, scope: Scope) -> Vec<Planned> {
    let mut rng = Rng::new(seed ^ 0x51e1_fa17);
    let mut plan = Vec::new();
    let mut at = Duration::from_millis(rng.below(2_000));
    while at < scope.lasts {
        let Some(kind) = pick(&mut rng, &SINGLE) else { break };
        let lasts = Duration::from_millis(50 + rng.below(6_000));
        plan.push(Planned { at, lasts, fault: draw(&mut rng, kind, scope) });
        at += lasts + RECOVERY + Duration::from_millis(rng.below(2_000));
    }
    plan
}

/// Returns whether one member at a time is in trouble in a schedule, so that there is always a
/// healthy majority. What is slow, and what lags as the leader may, are not faults of one member.
#[must_use]
pub fn is_one_at_a_time(plan: &[Planned]) -> bool {
    let is_apart = |pair: &[Planned]| pair[0].at + pair[0].lasts + RECOVERY <= pair[1].at;
    let is_single = |planned: &Planned| {
        !matches!(
            planned.fault,
            Fault::CutAfter { .. } | Fault::Slow { .. } | Fault::Lag { .. } | Fault::Suspend { .. }
        )
    };
    plan.iter().all(is_single) && plan.windows(2).all(is_apart)
}

fn pick(rng: &mut Rng, kinds: &[usize]) -> Option<usize> {
    let index = rng.below(u64::try_from(kinds.len()).unwrap_or_default());
    kinds.get(usize::try_from(index).unwrap_or_default()).copied()
}

fn draw(rng: &mut Rng, kind: usize, scope: Scope) -> Fault {
    let client = u32::try_from(rng.below(u64::from(scope.clients))).unwrap_or_default();
    let members = u64::try_from(scope.members).unwrap_or_default();
    let member = usize::try_from(rng.below(members)).unwrap_or_default();
    let cut = match rng.below(3) {
        0 => CutKind::Reset,
        1 => CutKind::Fin,
        _ => CutKind::Stall,
    };
    match kind {
        0 => Fault::Cut { client, member, cut },
        1 => Fault::CutAfter { client, member, bytes: rng.below(600), cut },
        2 => Fault::StallUp { client, member },
        3 => Fault::StallDown { client, member },
        4 => Fault::Refuse { client, member },
        5 => Fault::Hang { client, member },
        6 => Fault::Slow { client, member },
        7 => Fault::Kill { member },
        8 => Fault::Pause { member },
        9 => Fault::Isolate { member },
        10 => Fault::Compact { keep: u32::try_from(rng.below(30)).unwrap_or_default() },
        11 => Fault::GoAway { member },
        12 => Fault::Lag { member },
        _ => Fault::MoveLeader,
    }
}

/// Removes what does not matter from a schedule for which `fails` is true: halves, quarters, …,
/// single faults, as long as it still fails.
pub fn shrink(plan: Vec<Planned>, mut fails: impl FnMut(&[Planned]) -> bool) -> Vec<Planned> {
    let mut plan = plan;
    let mut size = plan.len().div_ceil(2);
    while size > 0 {
        let mut start = 0;
        while start < plan.len() {
            let end = (start + size).min(plan.len());
            let without = [&plan[..start], &plan[end..]].concat();
            if fails(&without) {
                plan = without;
            } else {
                start = end;
            }
        }
        size = if size == 1 { 0 } else { size.div_ceil(2) };
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const SCOPE: Scope = Scope { clients: 3, members: 3, lasts: Duration::from_secs(20) };

    #[test]
    fn every_kind_is_drawn_and_no_seed_draws_them_all() {
        let name =
            |planned: &Planned| format!("{:?}", planned.fault).split(' ').next().map(str::to_owned);
        let kinds = |seed| swarm(seed, SCOPE).iter().filter_map(name).collect::<BTreeSet<_>>();
        let all: BTreeSet<_> = (0..200).flat_map(kinds).collect();
        assert_eq!(all.len(), KINDS, "{all:?}");
        assert!((0..200).all(|seed| kinds(seed).len() < KINDS));
        assert_eq!(swarm(5, SCOPE), swarm(5, SCOPE));
    }

    #[test]
    fn one_member_at_a_time_is_in_trouble() {
        for seed in 0..200 {
            let plan = one_at_a_time(seed, SCOPE);
            assert!(is_one_at_a_time(&plan) && !plan.is_empty(), "{plan:?}");
        }
        assert!(!is_one_at_a_time(&swarm(3, SCOPE)));
    }

    #[test]
    fn shrinking_keeps_what_makes_it_fail() {
        let plan = swarm(3, SCOPE);
        assert!(plan.len() > 5);
        let (a, b) = (plan[1], plan[plan.len() - 2]);
        let mut runs = 0;
        let shrunk = shrink(plan, |plan| {
            runs += 1;
            plan.contains(&a) && plan.contains(&b)
        });
        assert_eq!(shrunk, [a, b]);
        assert!(runs < 200, "{runs}");
    }
}
