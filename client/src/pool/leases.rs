//! The pool of the leases of a client, which has the endpoints of the pool of its calls, and is
//! closed with it.

use super::{Pool, State};
use etcd3_core::Machine;
use etcd3_core::channel::{Input, Listed, Settings};
use etcd3_core::endpoint::Endpoint;
use std::sync::Arc;

/// The endpoints of a pool at one moment.
struct Endpoints {
    primary: Vec<Endpoint>,
    fallback: Vec<Endpoint>,
    /// How often they were set before.
    generation: u64,
}

impl Pool {
    /// Makes the pool of leases; closed if this one is, and to be made once.
    pub(crate) fn make_leases(&self, settings: Settings) -> Arc<Self> {
        let primary = self.lock().endpoints().primary;
        let (rt, tokens, telemetry) =
            (Arc::clone(&self.rt), self.tokens.clone(), Arc::clone(&self.telemetry));
        let leases = Arc::new(Self::new(rt, primary, settings, tokens, telemetry));
        let closed = {
            let mut state = self.lock();
            state.leases = Some(Arc::clone(&leases));
            state.refuses(false)
        };
        // Closed, or given other endpoints, before the pool of leases was known here.
        if let Some(kind) = closed {
            leases.close(kind);
        }
        self.share_endpoints();
        leases
    }

    /// Gives its endpoints to the pool of leases, if there is one.
    pub(super) fn share_endpoints(&self) {
        let state = self.lock();
        let Some(leases) = state.leases.clone() else { return };
        let Endpoints { primary, fallback, generation } = state.endpoints();
        drop(state);
        let now = leases.rt.now();
        leases.update(now, |state| {
            // Those who share at the same time may come here in any order.
            if generation > state.generation {
                state.generation = generation;
                state.channel.handle(now, Input::Endpoints { primary, fallback });
            }
        });
    }

    /// Accepts responses that are older than what was seen before.
    pub(crate) fn forget_revision(&self) {
        self.feed(Input::ForgetFloor);
        let leases = self.lock().leases.clone();
        if let Some(leases) = leases {
            leases.feed(Input::ForgetFloor);
        }
    }
}

impl State {
    fn endpoints(&self) -> Endpoints {
        let health = self.channel.health();
        let listed = |as_what| {
            let listed = health.iter().filter(move |it| it.listed == as_what);
            listed.map(|it| it.endpoint.clone()).collect()
        };
        let (primary, fallback) = (listed(Listed::Primary), listed(Listed::Fallback));
        Endpoints { primary, fallback, generation: self.generation }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::still::Still;
    use etcd3_core::channel::{ConnectionId, Finished, Freshness, HealthSignal, Output, Want};
    use etcd3_core::proto::etcdserverpb as pb;
    use etcd3_core::{ErrorKind, Next};

    fn endpoints(texts: &[&str]) -> Vec<Endpoint> {
        let config = Config::new(texts.iter().copied());
        config.parse_endpoints(config.endpoints.texts()).expect("endpoints")
    }

    /// The endpoints of a pool, those of the fallback after the others.
    fn texts(pool: &Pool) -> [Vec<String>; 2] {
        let Endpoints { primary, fallback, .. } = pool.lock().endpoints();
        [primary, fallback].map(|list| list.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn leases_have_the_endpoints_of_calls_from_the_beginning_and_after_each_change() {
        let shared = Still::shared(&["http://a"]);
        let pool = &shared.pool;
        let given = pool.given();
        pool.set_members(endpoints(&["http://b", "http://c"]), &given);
        let leases = pool.make_leases(shared.config.channel_settings());
        assert_eq!(texts(&leases), [vec!["http://b", "http://c"], vec!["http://a"]]);
        pool.set_members(endpoints(&["http://c"]), &given);
        assert_eq!(texts(&leases), [["http://c"], ["http://a"]]);
        pool.set_given(endpoints(&["http://d"]));
        assert_eq!(texts(&leases), [vec!["http://d"], vec![]]);
        pool.set_members(endpoints(&["http://e"]), &given);
        assert_eq!(texts(&leases), texts(pool), "the user has given others since");
    }

    // Two threads set endpoints, and share them in the other order.
    #[test]
    fn what_is_shared_late_does_not_bring_back_what_was_before() {
        let shared = Still::shared(&["http://a"]);
        let leases = shared.pool.make_leases(shared.config.channel_settings());
        shared.pool.set_given(endpoints(&["http://b"]));
        shared.pool.lock().generation = 0;
        let input = Input::Endpoints { primary: endpoints(&["http://a"]), fallback: vec![] };
        shared.pool.feed(input);
        shared.pool.share_endpoints();
        assert_eq!(texts(&leases), [vec!["http://b"], vec![]]);
    }

    #[test]
    fn leases_are_closed_with_calls_whichever_comes_first() {
        for kind in [ErrorKind::Closed, ErrorKind::RuntimeEnded] {
            let before = Still::shared(&["http://a"]);
            let leases = before.pool.make_leases(before.config.channel_settings());
            assert_eq!(leases.closed_kind(), None);
            before.pool.close(kind);
            assert_eq!(leases.closed_kind(), Some(kind));
            let after = Still::shared(&["http://a"]);
            after.pool.close(kind);
            let leases = after.pool.make_leases(after.config.channel_settings());
            assert_eq!(leases.closed_kind(), Some(kind));
        }
    }

    /// Lets the pool see a response of this revision on a connection.
    fn see(pool: &Pool, connection: ConnectionId, revision: i64) -> Freshness {
        let now = pool.rt.now();
        pool.channel(|channel| {
            let admission = channel.admit(now, Want::default(), |id| id == connection);
            let header = pb::ResponseHeader { cluster_id: 1, revision, ..Default::default() };
            let (signal, header) = (HealthSignal::None, Some(header.into()));
            let finished = Finished { signal, header, is_linearizable: true, is_ordered: false };
            channel.release(now, &admission.expect("a connection"), finished)
        })
    }

    /// Lets the pool make the connection that it wants.
    fn connect(pool: &Pool) -> ConnectionId {
        pool.feed(Input::Wanted);
        loop {
            match pool.poll_channel(pool.rt.now()) {
                Next::Do(Output::Dial(_, connection)) => {
                    pool.feed(Input::Connected(connection));
                    return connection;
                }
                Next::Do(_) => {}
                Next::Wait(until) => panic!("no connection is wanted until {until:?}"),
            }
        }
    }

    #[test]
    fn what_leases_have_seen_is_forgotten_too() {
        let shared = Still::shared(&["http://a"]);
        let leases = shared.pool.make_leases(shared.config.channel_settings());
        let connection = connect(&leases);
        assert_eq!(see(&leases, connection, 10), Freshness::Fresh);
        assert_eq!(see(&leases, connection, 5), Freshness::Stale { floor: 10 });
        shared.pool.forget_revision();
        assert_eq!(see(&leases, connection, 5), Freshness::Fresh);
    }
}
