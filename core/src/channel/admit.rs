//! Which connection an attempt goes to, and what it says when it is over.
//!
//! These two answer at once, so they are methods and no inputs; what they change is undone by
//! [`Channel::release`], which every admission needs.

use super::admission::{Admission, AttemptKind, Denied, Finished, Want};
use super::ends::Draining;
use super::freshness::RevisionFloor;
use super::round_robin::Endpoints;
use super::slot::{Listed, Slot};
use super::{Channel, Connection, ConnectionId};
use crate::Instant;
use crate::header::ResponseHeader;
use crate::retry::{self, Failure};
use crate::signal::{Freshness, HealthSignal};

impl Channel {
    /// Admits an attempt to a connection: the next one in turn of those of which most can be
    /// expected, and that have a permit for it. Calls go there in bursts, unless they wait or one
    /// failed, since what leaves together costs less; streams go where the fewest are.
    ///
    /// Suspects, and the endpoint to avoid, are taken when there is nothing else.
    ///
    /// # Errors
    ///
    /// Says why not; the attempt has not begun then.
    // I-C7
    pub fn admit(
        &mut self,
        now: Instant,
        want: Want,
        has_permit: impl Fn(ConnectionId) -> bool,
    ) -> Result<Admission, Denied> {
        if want.is_retry && !self.budget.has_one() {
            return Err(Denied::Throttled);
        }
        let endpoints = Endpoints { slots: &self.slots, settings: &self.settings };
        let index = match want.kind {
            AttemptKind::Call => self.round_robin.pick_for_call(endpoints, now, want, has_permit),
            AttemptKind::Stream => {
                self.round_robin.pick_for_stream(endpoints, now, want, has_permit)
            }
        };
        let has_choice = want.accepts_any() && self.choices() > 1;
        let index = index.ok_or(Denied::NoConnection)?;
        let slot = self.slots.get_mut(index).ok_or(Denied::NoConnection)?;
        if want.is_secret && !slot.endpoint.is_confidential() {
            return Err(Denied::Plaintext(slot.endpoint.clone()));
        }
        let floor = (slot.listed != Listed::No).then_some(self.freshness);
        let endpoint = slot.id;
        let connection = slot.ready_mut().ok_or(Denied::NoConnection)?;
        // The others wait for what it waits for.
        let is_first = !connection.carries(want.kind);
        connection.begin(now, want.kind);
        let connection = connection.id;
        if is_first {
            self.note_sooner(index);
        }
        if want.is_retry {
            self.budget.spend();
        }
        if want.kind == AttemptKind::Call {
            self.budget.earn();
        }
        Ok(Admission { kind: want.kind, endpoint, connection, since: now, floor, has_choice })
    }

    /// Ends what was admitted, and judges the response if there is one: whether it may be handed
    /// out.
    pub fn release(
        &mut self,
        now: Instant,
        admission: &Admission,
        finished: impl Into<Finished>,
    ) -> Freshness {
        let Finished { mut signal, header, is_linearizable, is_ordered } = finished.into();
        let mut freshness = Freshness::Fresh;
        if let (Some(header), Some(floor)) = (header, admission.floor) {
            let floor = (is_linearizable || is_ordered).then_some(floor);
            freshness = self.judge(admission.connection, &header, floor);
            if let Some(failure) = Failure::of_freshness(freshness, is_linearizable) {
                signal = retry::signal(failure);
            }
        }
        self.on_finished(now, admission, signal);
        freshness
    }

    fn on_finished(&mut self, now: Instant, admission: &Admission, signal: HealthSignal) {
        if admission.kind == AttemptKind::Call {
            self.round_robin.note_signal(signal);
        }
        let id = admission.connection;
        if let Some(index) = self.draining.iter().position(|it| it.id() == id) {
            return self.on_drained(now, index, admission, signal);
        }
        let is_it = |ready: &Connection| ready.id == id && ready.carries(admission.kind);
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.ready().is_some_and(is_it)) else {
            self.ignored += 1;
            return;
        };
        let told = slot.ready_mut().map(|ready| ready.finish(now, admission, signal));
        match told.unwrap_or(HealthSignal::None) {
            HealthSignal::None | HealthSignal::Alive => {}
            HealthSignal::Healthy => self.changed |= slot.suspicion.take().is_some(),
            HealthSignal::Unhealthy => {
                self.changed |= slot.suspect(now, self.settings.suspect, &mut self.rng);
                self.is_sooner = true;
            }
        }
        // The last one on an unconfirmed connection leaves it to be probed.
        let is_unconfirmed = slot.ready().is_some_and(|ready| ready.unconfirmed.is_some());
        self.is_sooner |= self.changed || is_unconfirmed;
    }

    /// An attempt is over on a connection that takes no new ones.
    fn on_drained(
        &mut self,
        now: Instant,
        index: usize,
        admission: &Admission,
        signal: HealthSignal,
    ) {
        self.is_sooner = true;
        let Draining { connection, is_gone } = &mut self.draining[index];
        if !connection.carries(admission.kind) {
            self.ignored += 1;
            return;
        }
        connection.finish(now, admission, signal);
        let (id, is_over, is_gone) = (connection.id, connection.is_unused(), *is_gone);
        if is_over {
            self.draining.swap_remove(index);
            if !is_gone {
                self.closing.push_back(id);
            }
        }
        if matches!(signal, HealthSignal::Healthy | HealthSignal::Alive) {
            self.on_late_response(now, id);
        }
    }

    /// Judges a response that came on this connection, and remembers how far the cluster is.
    /// `sent_at` is the floor that it must not be below.
    pub(super) fn judge(
        &mut self,
        connection: ConnectionId,
        header: &ResponseHeader,
        sent_at: Option<RevisionFloor>,
    ) -> Freshness {
        let others = || {
            let listed = self.slots.iter().filter(|slot| slot.listed != Listed::No);
            listed.filter(|slot| slot.current() != Some(connection))
        };
        let was_foreign =
            self.slots.iter().any(|it| it.current() == Some(connection) && it.foreign);
        // One that was foreign before does not speak for those that were not, unless they are down.
        let is_foreign = |cluster| {
            let mut witnesses = others().filter_map(Slot::ready);
            witnesses.any(|other| other.cluster == cluster)
                || (was_foreign && others().any(|slot| !slot.foreign && !slot.is_down()))
        };
        let freshness = self.freshness.judge(header, sent_at, is_foreign);
        if let Some(connection) = self.connection_mut(connection) {
            connection.cluster = header.cluster_id;
        }
        if let Some(slot) = self.slot_of(connection) {
            slot.foreign = matches!(freshness, Freshness::Foreign { .. });
        }
        freshness
    }

    /// Returns the cluster as far as it has been seen.
    #[must_use]
    pub const fn floor(&self) -> RevisionFloor {
        self.freshness
    }
}
