//! Name resolution on threads of its own, for runtimes: the resolver of the system blocks.
// These threads belong to the runtime that asks for them; the client itself starts none.
#![allow(clippy::disallowed_methods)]

use crate::runtime::BoxFuture;
use event_listener::Event;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Resolves host names by a function that may block, on threads of its own: at most
/// [`THREADS`](Self::THREADS) at once, which end when there is nothing to resolve.
///
/// For the [`resolve`](crate::runtime::Runtime::resolve) of a
/// [`Runtime`](crate::runtime::Runtime). An executor whose own threads do the work would have to
/// wait for it when it is dropped, and one that has many threads would have many wait for a name
/// server that is silent. A name that several ask for is looked up once; a caller that stops
/// waiting leaves the thread to its lookup, which no system can cancel.
#[derive(Clone)]
pub struct Lookup(Arc<Shared>);

struct Shared {
    lookup: Box<Function>,
    state: Mutex<State>,
}

type Function = dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync;

#[derive(Default)]
struct State {
    threads: usize,
    /// What is yet to be looked up.
    waiting: VecDeque<Arc<Query>>,
    /// What is being looked up.
    under_way: Vec<Arc<Query>>,
}

/// A name that somebody wants to be resolved.
struct Query {
    host: String,
    port: u16,
    answer: Mutex<Option<LookupResult>>,
    answered: Event,
}

/// An error is kept as what it says, since several may wait for it.
type LookupResult = Result<Vec<SocketAddr>, (io::ErrorKind, String)>;

impl Lookup {
    /// How many names are looked up at once; further ones wait.
    pub const THREADS: usize = 4;

    /// Resolves by the system: `getaddrinfo` on Unix.
    #[must_use]
    pub fn system() -> Self {
        Self::new(|host, port| Ok((host, port).to_socket_addrs()?.collect()))
    }

    /// Resolves by a function of host and port, which may block.
    pub fn new(
        lookup: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Shared { lookup: Box::new(lookup), state: Mutex::default() }))
    }

    /// Resolves a name; takes as long as the function does, and longer if more names than
    /// [`THREADS`](Self::THREADS) are asked for at once.
    ///
    /// # Errors
    ///
    /// Those of the function, or of the system when it has no thread to give.
    ///
    /// # Cancel safety
    ///
    /// A lookup that nobody waits for is not begun; one that has begun goes on without a reader.
    #[must_use]
    pub fn resolve(
        &self,
        host: &str,
        port: u16,
    ) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        let query = self.0.ask(host, port);
        Box::pin(async move {
            loop {
                let answered = query.answered.listen();
                if let Some(answer) = &*locked(&query.answer) {
                    return answer.clone().map_err(|(kind, text)| io::Error::new(kind, text));
                }
                answered.await;
            }
        })
    }
}

impl Shared {
    /// Finds or makes a query, and a thread for it if there may be one more.
    fn ask(self: &Arc<Self>, host: &str, port: u16) -> Arc<Query> {
        let mut state = locked(&self.state);
        let mut known = state.under_way.iter().chain(&state.waiting);
        if let Some(query) = known.find(|query| query.host == host && query.port == port) {
            return Arc::clone(query);
        }
        let query = Arc::new(Query {
            host: host.to_owned(),
            port,
            answer: Mutex::default(),
            answered: Event::new(),
        });
        state.waiting.push_back(Arc::clone(&query));
        if state.threads < Lookup::THREADS {
            state.threads += 1;
            drop(state);
            self.start_thread();
        }
        query
    }

    fn start_thread(self: &Arc<Self>) {
        let shared = Arc::clone(self);
        let thread = std::thread::Builder::new().name("etcd3-lookup".to_owned());
        if let Err(error) = thread.spawn(move || shared.work()) {
            let mut state = locked(&self.state);
            state.threads -= 1;
            // Those that wait for another thread wait on.
            let stuck =
                if state.threads == 0 { std::mem::take(&mut state.waiting) } else { [].into() };
            drop(state);
            for query in stuck {
                query.answer(Err((error.kind(), error.to_string())));
            }
        }
    }

    /// Looks up one name after the other until there is none.
    fn work(&self) {
        while let Some(query) = self.next() {
            let look_up = || (self.lookup)(&query.host, query.port);
            let result = catch_unwind(AssertUnwindSafe(look_up))
                .unwrap_or_else(|_| Err(io::Error::other("the lookup panicked")));
            let mut state = locked(&self.state);
            state.under_way.retain(|other| !Arc::ptr_eq(other, &query));
            drop(state);
            query.answer(result.map_err(|error| (error.kind(), error.to_string())));
        }
    }

    /// The next name that somebody still waits for; without one the thread is to end.
    fn next(&self) -> Option<Arc<Query>> {
        let mut state = locked(&self.state);
        let query = loop {
            match state.waiting.pop_front() {
                Some(query) if Arc::strong_count(&query) == 1 => {}
                other => break other,
            }
        };
        match &query {
            Some(query) => state.under_way.push(Arc::clone(query)),
            None => state.threads -= 1,
        }
        query
    }
}

impl Query {
    fn answer(&self, answer: LookupResult) {
        *locked(&self.answer) = Some(answer);
        self.answered.notify(usize::MAX);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lookup").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::{block_on, poll_once};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;

    const LIMIT: Duration = Duration::from_secs(60);

    /// A lookup that tells which names it was asked for, and answers each when it is told to.
    struct Slow {
        lookup: Lookup,
        asked: mpsc::Receiver<String>,
        answer: Arc<Mutex<Vec<mpsc::Sender<()>>>>,
        most: Arc<AtomicUsize>,
    }

    fn slow() -> Slow {
        let (asks, asked) = mpsc::channel();
        let answer = Arc::<Mutex<Vec<_>>>::default();
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (answers, busiest) = (Arc::clone(&answer), Arc::clone(&most));
        let asks = Mutex::new(asks);
        let lookup = Lookup::new(move |host, port| {
            busiest.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let (go, may_go) = mpsc::channel();
            locked(&answers).push(go);
            locked(&asks).send(host.to_owned()).expect("the test listens");
            may_go.recv_timeout(LIMIT).expect("the test answers");
            now.fetch_sub(1, Ordering::SeqCst);
            Ok(vec![([127, 0, 0, 1], port).into()])
        });
        Slow { lookup, asked, answer, most }
    }

    impl Slow {
        fn wait_asked(&self) -> String {
            self.asked.recv_timeout(LIMIT).expect("a name is looked up")
        }

        fn answer_all(&self) {
            for go in locked(&self.answer).drain(..) {
                go.send(()).expect("a lookup waits");
            }
        }
    }

    #[test]
    fn it_has_few_threads_and_each_name_is_looked_up_once() {
        let slow = slow();
        let names: Vec<_> = (0..10).map(|n| format!("host-{n}")).collect();
        let waiting: Vec<_> =
            names.iter().chain(&names).map(|name| slow.lookup.resolve(name, 7)).collect();
        let mut asked = Vec::new();
        while asked.len() < names.len() {
            for _ in 0..Lookup::THREADS.min(names.len() - asked.len()) {
                asked.push(slow.wait_asked());
            }
            slow.answer_all();
        }
        for waiting in waiting {
            assert_eq!(block_on(waiting).expect("an address"), [([127, 0, 0, 1], 7).into()]);
        }
        asked.sort();
        assert_eq!(asked, names);
        assert_eq!(slow.most.load(Ordering::SeqCst), Lookup::THREADS);
    }

    // Whatever became of those that are no longer waited for, others get their turn.
    #[test]
    fn what_nobody_waits_for_is_not_begun() {
        let slow = slow();
        let held: Vec<_> =
            (0..Lookup::THREADS).map(|n| slow.lookup.resolve(&format!("mute-{n}"), 1)).collect();
        (0..Lookup::THREADS).for_each(|_| drop(slow.wait_asked()));
        let mut dropped = slow.lookup.resolve("dropped", 1);
        assert!(block_on(poll_once(&mut dropped)).is_none());
        let last = slow.lookup.resolve("last", 1);
        drop((held, dropped));
        slow.answer_all();
        assert_eq!(slow.wait_asked(), "last");
        slow.answer_all();
        assert!(block_on(last).is_ok());
    }

    #[test]
    fn errors_and_panics_are_told() {
        let lookup = Lookup::new(|host, _| match host {
            "unknown" => Err(io::Error::new(io::ErrorKind::NotFound, "no such host")),
            _ => panic!("a broken resolver"),
        });
        let error = block_on(lookup.resolve("unknown", 1)).unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string()),
            (io::ErrorKind::NotFound, "no such host".into())
        );
        let error = block_on(lookup.resolve("other", 1)).unwrap_err();
        assert!(error.to_string().contains("panicked"), "{error}");
        assert!(block_on(Lookup::system().resolve("localhost", 9)).is_ok());
    }
}
