//! Schedules of faults, carried out on a cluster and its network.

use crate::etcd::Etcd;
use crate::faults::{Fault, Planned};
use crate::net::{CutLater, Direction, HostId, Link, Reachability};
use crate::pipe::{Cut, Travel};
use std::time::Duration;

/// Far away, over a bad line.
const SLOW: Travel = Travel {
    latency: Duration::from_millis(120),
    jitter: Duration::from_millis(200),
    throttle: Some(20_000),
    chunk: 9,
    buffer: 2048,
};

impl Etcd {
    /// Carries out a schedule; completes when the last fault is over.
    pub async fn suffer(&self, plan: &[Planned], clients: &[HostId]) {
        let origin = self.world.now();
        let mut moments: Vec<(Duration, bool, Fault)> = Vec::new();
        for planned in plan {
            moments.push((planned.at, true, planned.fault));
            moments.push((planned.at + planned.lasts, false, planned.fault));
        }
        moments.sort_unstable();
        for (at, begins, fault) in moments {
            self.world.executor.sleep_until(origin + at).await;
            self.apply(fault, begins, clients);
        }
    }

    fn apply(&self, fault: Fault, begins: bool, clients: &[HostId]) {
        let net = &self.world.net;
        let change = |client: u32, member: usize, change: &dyn Fn(&mut Link)| {
            let Some(client) = clients.get(client as usize) else { return };
            let mut link = net.link(*client, self.address(member));
            change(&mut link);
            net.set_link(*client, self.address(member), link);
        };
        match fault {
            Fault::StallUp { client, member } => {
                change(client, member, &|link| link.stall_up = begins);
            }
            Fault::StallDown { client, member } => {
                change(client, member, &|link| link.stall_down = begins);
            }
            Fault::Refuse { client, member } => {
                let reachability = if begins { Reachability::Refuse } else { Reachability::Open };
                change(client, member, &|link| link.reachability = reachability);
            }
            Fault::Hang { client, member } => {
                let reachability = if begins { Reachability::Hang } else { Reachability::Open };
                change(client, member, &|link| link.reachability = reachability);
            }
            Fault::Slow { client, member } => {
                let travel = if begins { SLOW } else { Travel::default() };
                change(client, member, &|link| link.travel = travel);
            }
            Fault::Suspend { client } => {
                if let Some(client) = clients.get(client as usize) {
                    self.world.set_suspended(*client, begins);
                }
            }
            Fault::Kill { member } if begins => self.kill(member),
            Fault::Pause { member } if begins => self.pause(member),
            Fault::Kill { member } | Fault::Pause { member } => self.revive(member),
            Fault::Isolate { member } if begins => self.isolate(member),
            Fault::Isolate { .. } => self.heal(),
            Fault::Cut { client, member, cut } if begins => {
                if let Some(client) = clients.get(client as usize) {
                    net.cut(*client, self.address(member), Cut::from(cut));
                }
            }
            Fault::CutAfter { client, member, bytes, cut } if begins => {
                if let Some(client) = clients.get(client as usize) {
                    let later = CutLater { direction: Direction::Down, bytes, cut: cut.into() };
                    net.cut_later(*client, self.address(member), later);
                }
            }
            Fault::MoveLeader if begins => self.move_leader(),
            Fault::Compact { keep } if begins => self.compact(keep.into()),
            Fault::GoAway { member } if begins => self.go_away(member),
            Fault::Lag { member } if begins => self.hold_back(member),
            Fault::Lag { member } => self.send_snapshot(member),
            Fault::Cut { .. }
            | Fault::CutAfter { .. }
            | Fault::MoveLeader
            | Fault::Compact { .. }
            | Fault::GoAway { .. } => {}
        }
    }

    /// Ends all faults: members run, keep up and reach each other, every link is open and fast, no
    /// client is suspended.
    pub fn recover(&self, clients: &[HostId]) {
        self.heal();
        for client in clients {
            self.world.set_suspended(*client, false);
        }
        for member in 0..self.members() {
            self.revive(member);
            self.keep_up(member);
            for client in clients {
                self.world.net.set_link(*client, self.address(member), Link::default());
                self.world.net.forget_cuts(*client, self.address(member));
            }
        }
    }
}
