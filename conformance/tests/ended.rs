//! Clients whose runtime has ended, is not driven, or cannot be dropped for a lookup.
//!
//! Each test watches from outside: whoever waits for a call with a timeout of its own polls it, and
//! would not see that nobody else does. The global executors of smol and async-std cannot be
//! dropped; what a panic does there is a case of the suite.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)]

use etcd3::runtime::{BoxFuture, Compat, Instant, Io, Lookup, Runtime, Target};
use etcd3::{Client, Config, EndpointState, Error, ErrorKind, Outcome, Phase};
use etcd3_lab::Server;
use etcd3_tokio::Tokio;
use futures_lite::future::block_on;
use std::future::IntoFuture;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime as TokioRuntime};

/// Longer than anything takes that ends at all, on the busiest of machines.
const LIMIT: Duration = Duration::from_secs(120);

fn current_thread() -> TokioRuntime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn multi_thread() -> TokioRuntime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// Runs this on a thread of its own and waits for the end of it, but not for ever.
fn ends<T: Send + 'static>(what: &str, run: impl FnOnce() -> T + Send + 'static) -> T {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || tell.send(run()));
    told.recv_timeout(LIMIT).unwrap_or_else(|_| panic!("{what} never ends"))
}

fn kinds(error: &Error) -> (ErrorKind, Outcome) {
    (error.kind(), error.outcome())
}

/// What must hold of a client whose runtime has ended; to be asked on another one.
async fn expect_ended(client: Client) {
    assert!(client.is_closed());
    let ended = (ErrorKind::RuntimeEnded, Outcome::NotSent);
    let get = client.get("key").timeout(Duration::from_secs(2)).await.unwrap_err();
    assert_eq!(kinds(&get), ended, "{get}");
    assert_eq!(kinds(&client.put("key", "value").await.unwrap_err()), ended);
    let health = client.health();
    assert!(health.endpoints.iter().all(|it| it.state == EndpointState::Closed), "{health:?}");
    assert_eq!(client.health_changes().next().await, None);
    client.close().await;
}

// What a client in a static does to the second test of a program.
#[test]
fn a_client_ends_with_the_tokio_runtime_that_it_was_made_on() {
    let server = Server::start().expect("a server");
    for make in [current_thread, multi_thread] {
        for is_lazy in [false, true] {
            let config = Config::new([server.client_url()]);
            let runtime = make();
            let client = runtime.block_on(async {
                if is_lazy {
                    return etcd3_tokio::connect_lazy(config).expect("a client");
                }
                let client = etcd3_tokio::connect(config).await.expect("a connection");
                client.put("key", "value").await.expect("a write");
                client
            });
            drop(runtime);
            ends("a call", move || make().block_on(expect_ended(client)));
        }
    }
    let runtime = current_thread();
    let made_on = runtime.block_on(async { Tokio::current() });
    drop(runtime);
    let config = Config::new([server.client_url()]);
    let client = Client::connect_lazy_on(Arc::new(made_on), config).expect("a client");
    ends("a call", move || current_thread().block_on(expect_ended(client)));
}

#[test]
fn calls_under_way_end_with_the_runtime_of_their_client() {
    let server = Server::start().expect("a server");
    let runtime = multi_thread();
    let config = Config::new([server.client_url()]).request_timeout(LIMIT * 2);
    let client = runtime.block_on(etcd3_tokio::connect(config)).expect("a connection");
    server.stop().expect("it stands still");
    let (begun, has_begun) = mpsc::channel();
    let call = client.clone();
    let waits = std::thread::spawn(move || {
        current_thread().block_on(async {
            let mut write = Box::pin(call.put("key", "value").into_future());
            std::future::poll_fn(|cx| {
                let polled = write.as_mut().poll(cx);
                let _ = begun.send(());
                polled
            })
            .await
        })
    });
    has_begun.recv_timeout(LIMIT).expect("the call begins");
    while client.health().endpoints[0].calls == 0 {
        std::thread::yield_now();
    }
    drop(runtime);
    let error = ends("a call", move || waits.join().expect("a result")).unwrap_err();
    assert_eq!(kinds(&error), (ErrorKind::RuntimeEnded, Outcome::Unknown), "{error}");
    server.cont().expect("it goes on");
}

// An idle runtime of one thread, that only runs while somebody blocks on it.
#[test]
fn a_call_ends_though_nobody_drives_the_runtime_of_its_client() {
    let server = Server::start().expect("a server");
    let runtime = current_thread();
    let config = Config::new([server.client_url()]);
    let client = runtime.block_on(etcd3_tokio::connect(config)).expect("a connection");
    let late = ends("a call", move || {
        current_thread().block_on(async move {
            // The first one tells the control task, which does not look; it has to be late by a
            // second before it is not relied on.
            let first = client.get("key").timeout(Duration::from_millis(200)).into_future();
            let first = tokio::spawn(first);
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            let late = client.get("key").timeout(Duration::from_millis(200)).await;
            first.abort();
            late
        })
    });
    assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut(Phase::Answer));
    drop(runtime);
}

/// A task on a thread of its own, until it ends or is dropped.
type ThreadTask = Mutex<Option<BoxFuture<'static, ()>>>;

/// A runtime of a user: a thread for each task, which all end at once.
struct Threads {
    origin: std::time::Instant,
    lookup: Lookup,
    tasks: Mutex<Vec<Arc<ThreadTask>>>,
}

impl Threads {
    fn new() -> Arc<Self> {
        let (origin, lookup) = (std::time::Instant::now(), Lookup::system());
        Arc::new(Self { origin, lookup, tasks: Mutex::default() })
    }

    /// Drops all tasks, as the end of an executor does.
    fn end(&self) {
        for task in self.tasks.lock().expect("tasks").drain(..) {
            let task = task.lock().expect("a task").take();
            drop(task);
        }
    }
}

impl Runtime for Threads {
    fn now(&self) -> Instant {
        Instant::from_origin(self.origin.elapsed())
    }

    fn seed(&self) -> u64 {
        1
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()> {
        let left = at.saturating_since(self.now());
        Box::pin(async move {
            smol::Timer::after(left).await;
        })
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        let task = Arc::new(Mutex::new(Some(task)));
        self.tasks.lock().expect("tasks").push(Arc::clone(&task));
        std::thread::spawn(move || {
            block_on(std::future::poll_fn(|cx| match &mut *task.lock().expect("a task") {
                Some(task) => task.as_mut().poll(cx),
                None => std::task::Poll::Ready(()),
            }));
            let ended = task.lock().expect("a task").take();
            drop(ended);
        });
    }

    fn resolve<'a>(
        &'a self,
        host: &'a str,
        port: u16,
    ) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        self.lookup.resolve(host, port)
    }

    fn connect<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, io::Result<Box<dyn Io>>> {
        Box::pin(async move {
            let Target::Tcp(address) = target else {
                return Err(io::ErrorKind::Unsupported.into());
            };
            let stream = smol::net::TcpStream::connect(*address).await?;
            Ok(Box::new(Compat(stream)) as Box<dyn Io>)
        })
    }
}

#[test]
fn a_client_ends_with_a_runtime_of_the_users_own() {
    let server = Server::start().expect("a server");
    let runtime = Threads::new();
    let (made_on, url) = (Arc::clone(&runtime), server.client_url());
    let client = ends("a connection", move || {
        block_on(async {
            let client =
                Client::connect_on(made_on, Config::new([url])).await.expect("a connection");
            client.put("key", "value").await.expect("a write");
            client
        })
    });
    runtime.end();
    ends("a call", move || block_on(expect_ended(client)));
}

// A name server that is silent holds up neither the end of the client nor that of its runtime.
#[test]
fn a_lookup_that_blocks_does_not_hold_up_the_end_of_a_runtime() {
    let (go, may_go) = mpsc::channel::<()>();
    let (asks, asked) = mpsc::channel();
    let (asks, may_go) = (Mutex::new(asks), Mutex::new(may_go));
    let lookup = Lookup::new(move |_, _| {
        asks.lock().expect("a sender").send(()).expect("the test listens");
        let _ = may_go.lock().expect("a receiver").recv_timeout(LIMIT);
        Ok(Vec::new())
    });
    ends("the end of the runtime", move || {
        let runtime = current_thread();
        runtime.block_on(async {
            let config = Config::new(["http://mute.example:2379"]);
            let on = Arc::new(Tokio::current().lookup(lookup));
            let client = Client::connect_lazy_on(on, config).expect("a client");
            let call = tokio::spawn(client.get("key").into_future());
            while asked.try_recv().is_err() {
                tokio::task::yield_now().await;
            }
            client.close().await;
            let error = call.await.expect("a result").unwrap_err();
            assert_eq!(kinds(&error), (ErrorKind::Closed, Outcome::NotSent));
        });
        drop(runtime);
    });
    // Only now.
    go.send(()).expect("the lookup waits");
}
