//! Runtimes with a thread of their own: their clients go on while the program blocks its executor,
//! and the thread ends with the last of them.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)]

use etcd3::runtime::Runtime;
use etcd3::{Client, Config};
use etcd3_async_std::AsyncStd;
use etcd3_lab::Server;
use etcd3_smol::Smol;
use etcd3_tokio::Tokio;
use std::cell::RefCell;
use std::future::IntoFuture;
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::Duration;

/// Longer than anything takes that ends at all, on the busiest of machines.
const LIMIT: Duration = Duration::from_secs(120);
/// The number of writes that are made while the executor is blocked.
const WRITES: u32 = 20;

/// One dedicated runtime of each kind, by its name.
fn dedicated() -> [(&'static str, Arc<dyn Runtime>); 3] {
    [
        ("tokio", Arc::new(Tokio::dedicated().expect("a thread"))),
        ("smol", Arc::new(Smol::dedicated().expect("a thread"))),
        ("async-std", Arc::new(AsyncStd::dedicated().expect("a thread"))),
    ]
}

/// Sends when its thread ends.
struct AtEnd(mpsc::Sender<()>);

impl Drop for AtEnd {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

thread_local! {
    static AT_END: RefCell<Option<AtEnd>> = const { RefCell::new(None) };
}

/// Returns the name of the thread that runs the tasks, and what is told when that ends.
fn observe(rt: &dyn Runtime) -> (Option<String>, mpsc::Receiver<()>) {
    let ((tell, name), (ended, has_ended)) = (mpsc::channel(), mpsc::channel());
    rt.spawn(Box::pin(async move {
        AT_END.with(|at_end| *at_end.borrow_mut() = Some(AtEnd(ended)));
        let _ = tell.send(std::thread::current().name().map(str::to_owned));
    }));
    (name.recv_timeout(LIMIT).expect("the task runs"), has_ended)
}

/// Waits for the end of the thread.
fn expect_end(what: &str, thread: &mpsc::Receiver<()>) {
    assert!(thread.recv_timeout(LIMIT).is_ok(), "the thread of {what} never ends");
}

fn is_alive(thread: &mpsc::Receiver<()>) -> bool {
    matches!(thread.try_recv(), Err(mpsc::TryRecvError::Empty))
}

/// Blocks the thread of the caller, and with it the executor that runs this, until a task of the
/// client has written some times.
fn write_while_blocked(client: &Client) -> u32 {
    let count = Arc::new((Mutex::new(0), Condvar::new()));
    let (counts, clone, rt) = (Arc::clone(&count), client.clone(), Arc::clone(client.runtime()));
    client.spawn(async move {
        for n in 1..=WRITES {
            clone.put("key", n.to_string()).await.expect("a write");
            rt.sleep_until(rt.now() + Duration::from_millis(5)).await;
            *counts.0.lock().unwrap() = n;
            counts.1.notify_all();
        }
    });
    let (done, news) = &*count;
    let done = news.wait_timeout_while(done.lock().unwrap(), LIMIT, |n| *n < WRITES).unwrap();
    *done.0
}

/// What a program does on an executor of one thread.
async fn program(server: String, name: &'static str, rt: Arc<dyn Runtime>) {
    let client = Client::connect_on(rt, Config::new([server])).await.expect("a connection");
    assert_eq!(write_while_blocked(&client), WRITES, "{name}");
    let found = client.get("key").await.expect("a read");
    assert_eq!(found.kvs[0].value, WRITES.to_string());
    client.close().await;
}

/// Tells async-std how many threads its global executor has; smol has one by default.
const THREADS: &str = "ASYNC_STD_THREAD_COUNT";

// In a process of its own, whose executors have one thread each.
#[test]
fn a_client_goes_on_while_the_executor_of_the_caller_is_blocked() {
    if std::env::var_os(THREADS).is_none() {
        let mut again = std::process::Command::new(std::env::current_exe().unwrap());
        again.args(["--exact", "a_client_goes_on_while_the_executor_of_the_caller_is_blocked"]);
        let output = again.env(THREADS, "1").env("SMOL_THREADS", "1").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        return;
    }
    let server = Server::start().expect("a server");
    for (name, rt) in dedicated() {
        let program = program(server.client_url(), name, rt);
        // On the executor of the same kind, where the client would be blocked, too.
        match name {
            "tokio" => {
                let caller = tokio::runtime::Builder::new_current_thread().enable_all().build();
                caller.expect("a runtime").block_on(program);
            }
            "smol" => smol::block_on(smol::spawn(program)),
            _ => async_std::task::block_on(async_std::task::spawn(program)),
        }
    }
}

// What is awaited on another runtime needs nothing of that: no time, no sockets.
#[test]
fn requests_are_awaited_on_any_executor() {
    let server = Server::start().expect("a server");
    for (name, rt) in dedicated() {
        let bare = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        // The timer of a call that its client does not wake in time.
        bare.block_on(rt.sleep_until(rt.now() + Duration::from_millis(1)));
        let config = Config::new([server.client_url()]);
        let client = bare.block_on(Client::connect_on(rt, config)).expect("a connection");
        bare.block_on(client.put("key", name).into_future()).expect("a write");
        let read = client.get("key").into_future();
        let found = futures_lite::future::block_on(read).expect("a read");
        assert_eq!(found.kvs[0].value, name);
    }
}

#[test]
fn the_thread_ends_when_the_last_client_is_dropped() {
    let server = Server::start().expect("a server");
    for (name, rt) in dedicated() {
        let (thread_name, thread) = observe(&*rt);
        assert_eq!(thread_name.as_deref(), Some("etcd3"));
        let connect = Client::connect_on(rt, Config::new([server.client_url()]));
        let client = futures_lite::future::block_on(connect).expect("a connection");
        let clone = client.clone();
        futures_lite::future::block_on(clone.close());
        drop(client);
        assert!(is_alive(&thread), "{name}: a clone is left");
        drop(clone);
        expect_end(name, &thread);
    }
}

// The last clone goes in a task of the runtime: its thread must not wait for itself.
#[test]
fn the_last_client_may_be_dropped_by_a_task_of_its_own() {
    let server = Server::start().expect("a server");
    for (name, rt) in dedicated() {
        let (_, thread) = observe(&*rt);
        let connect = Client::connect_on(rt, Config::new([server.client_url()]));
        let client = futures_lite::future::block_on(connect).expect("a connection");
        let last = client.clone();
        client.spawn(async move {
            last.put("key", "value").await.expect("a write");
            drop(last);
        });
        drop(client);
        expect_end(name, &thread);
    }
}

#[test]
fn a_runtime_that_nobody_uses_ends_its_thread_and_one_with_a_task_does_not() {
    for (name, rt) in dedicated() {
        let (_, thread) = observe(&*rt);
        drop(rt);
        expect_end(name, &thread);
    }
    for (name, rt) in dedicated() {
        let (_, thread) = observe(&*rt);
        let (go_on, hears) = smol::channel::bounded::<()>(1);
        let (tell, has_ended) = mpsc::channel();
        rt.spawn(Box::pin(async move {
            let _ = hears.recv().await;
            tell.send(()).expect("the test waits");
        }));
        drop(rt);
        assert!(is_alive(&thread), "{name}: a task is left");
        drop(go_on);
        has_ended.recv_timeout(LIMIT).expect("the task ends");
        expect_end(name, &thread);
    }
}

#[test]
fn a_task_that_panics_ends_alone() {
    for (name, rt) in dedicated() {
        let (_, thread) = observe(&*rt);
        rt.spawn(Box::pin(async { panic!("a panic that the test wants") }));
        let (_, same) = observe(&*rt);
        // The second observer has taken the place of the first one on the same thread.
        expect_end(name, &thread);
        assert!(is_alive(&same), "{name}");
        drop(rt);
        expect_end(name, &same);
    }
}
