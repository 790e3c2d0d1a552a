//! Attempts that are admitted and released, watched from outside.

use super::watched::{Connection, State, Watched};
use etcd3_core::ResponseHeader;
use etcd3_core::channel::{
    Admission, AttemptKind, ConnectionId, Finished, Freshness, HealthSignal, Want,
};

impl Watched {
    /// Begins one on this connection, which is admitted exactly if the connection is ready.
    pub(super) fn begin(&mut self, id: ConnectionId, kind: AttemptKind) {
        let want = Want { kind, connection: Some(id), ..Want::default() };
        let admitted = self.channel.admit(self.now, want, |_| true);
        let is_ready = self.connections.get(&id).is_some_and(|it| it.state == State::Ready);
        assert_eq!(admitted.is_ok(), is_ready, "{id:?}: {admitted:?}");
        if is_ready {
            self.note_begin(id, kind);
            self.drain();
        }
    }

    fn note_begin(&mut self, id: ConnectionId, kind: AttemptKind) {
        let now = self.now;
        let it = self.connections.get_mut(&id).expect("it is there");
        match kind {
            AttemptKind::Call => {
                it.calls += 1;
                it.waiting = it.waiting.or(Some(now));
                self.began += 1;
            }
            AttemptKind::Stream => it.streams += 1,
        }
    }

    /// Ends one on this connection, whether there is one or not.
    pub(super) fn finish(&mut self, forged: &Admission, signal: HealthSignal) {
        let ignored = self.channel.ignored();
        self.channel.release(self.now, forged, signal);
        let is_taken = self.channel.ignored() == ignored;
        assert_eq!(self.note_finish(forged, signal), is_taken, "{forged:?} {signal:?}");
        self.drain();
    }

    fn note_finish(&mut self, forged: &Admission, signal: HealthSignal) -> bool {
        let (now, id) = (self.now, forged.connection);
        let Some(it) = self.connections.get_mut(&id) else { return false };
        let count = match forged.kind {
            AttemptKind::Call => &mut it.calls,
            AttemptKind::Stream => &mut it.streams,
        };
        let Some(left) = count.checked_sub(1) else { return false };
        *count = left;
        let is_old = it.healthy.is_some_and(|healthy| healthy > forged.since);
        if signal == HealthSignal::Healthy {
            it.healthy = Some(now);
        }
        if matches!(signal, HealthSignal::Healthy | HealthSignal::Alive) {
            it.waiting = Some(now);
        }
        it.waiting = it.waiting.filter(|_| it.calls > 0);
        let is_judged = match signal {
            HealthSignal::Unhealthy => !is_old,
            HealthSignal::Healthy => true,
            HealthSignal::None | HealthSignal::Alive => false,
        };
        if it.state == State::Ready && is_judged {
            let is_bad = signal == HealthSignal::Unhealthy;
            let endpoint = it.endpoint;
            assert_eq!(self.is_suspect(endpoint), is_bad, "{forged:?} {signal:?}");
        }
        self.forget_gone(id);
        true
    }

    /// Looks where an attempt would be admitted, and checks that there is no better connection.
    pub(super) fn ask(&mut self, want: Want, has_permit: impl Fn(ConnectionId) -> bool) {
        let before = self.channel.clone();
        self.admit(want, has_permit);
        self.channel = before;
    }

    /// Admits an attempt, and ends it again, so that the turn moves.
    pub(super) fn pass(&mut self, want: Want, has_permit: impl Fn(ConnectionId) -> bool) {
        if let Some(admission) = self.admit(want, has_permit) {
            self.note_begin(admission.connection, admission.kind);
            self.finish(&admission, HealthSignal::None);
        }
    }

    fn admit(
        &mut self,
        want: Want,
        has_permit: impl Fn(ConnectionId) -> bool,
    ) -> Option<Admission> {
        let usable = |it: &Connection| it.state == State::Ready && it.unconfirmed.is_none();
        let ready = self.connections.iter().filter(|(_, it)| usable(it));
        let ready = ready.filter(|(id, it)| has_permit(**id) && self.is_meant(it, want));
        let best = ready.map(|(_, it)| self.penalty(it, want)).min();
        let admitted = self.channel.admit(self.now, want, &has_permit);
        assert_eq!(admitted.is_ok(), best.is_some(), "admits if it can, and only then");
        let admission = admitted.ok()?;
        let it = self.connections.get(&admission.connection).expect("it is there");
        assert_eq!((it.endpoint, it.state), (admission.endpoint, State::Ready));
        assert!(has_permit(admission.connection) && self.is_meant(it, want), "{admission:?}");
        assert_eq!(Some(self.penalty(it, want)), best, "there is a better one");
        let floor = self.is_listed(&it.name).then(|| self.channel.floor());
        assert_eq!((admission.floor, admission.since), (floor, self.now));
        Some(admission)
    }

    /// I-R8, B26: what a response does to the floor.
    pub(super) fn answer(
        &mut self,
        id: ConnectionId,
        header: &ResponseHeader,
        is_linearizable: bool,
    ) {
        let want = Want { connection: Some(id), ..Want::default() };
        let Ok(admission) = self.channel.admit(self.now, want, |_| true) else { return };
        self.note_begin(id, AttemptKind::Call);
        let before = self.channel.floor();
        let signal = HealthSignal::Healthy;
        let finished =
            Finished { signal, header: Some(*header), is_linearizable, is_ordered: false };
        let freshness = self.channel.release(self.now, &admission, finished);
        let after = self.channel.floor();
        let is_same = before.cluster_id == header.cluster_id;
        let is_stale = is_same && is_linearizable && header.revision < before.revision;
        match freshness {
            Freshness::Fresh if admission.floor.is_none() => assert_eq!(after, before),
            Freshness::Fresh | Freshness::Stale { .. } => {
                assert!(is_same || before.cluster_id == 0);
                assert_eq!(after.revision, before.revision.max(header.revision));
                assert_eq!(matches!(freshness, Freshness::Stale { .. }), is_stale);
            }
            Freshness::Foreign { .. } => assert_eq!(after, before),
            Freshness::Changed { .. } => {
                assert!(!is_same);
                let now = (after.cluster_id, after.revision);
                assert_eq!(now, (header.cluster_id, header.revision));
            }
        }
        let signal = match freshness {
            Freshness::Fresh => HealthSignal::Healthy,
            Freshness::Changed { .. } => HealthSignal::None,
            Freshness::Stale { .. } | Freshness::Foreign { .. } => HealthSignal::Unhealthy,
        };
        assert!(self.note_finish(&admission, signal));
        self.drain();
    }

    /// I-R5: a tenth of the calls, and a thousand at once.
    pub(super) fn retry(&mut self) {
        let want = Want { is_retry: true, ..Want::default() };
        if let Ok(admission) = self.channel.admit(self.now, want, |_| true) {
            self.retries += 1;
            self.note_begin(admission.connection, AttemptKind::Call);
            self.finish(&admission, HealthSignal::None);
        }
        assert!(self.retries <= 1000 + self.began / 10);
    }
}
