//! A fourth runtime: threads, with async-io for sockets and timers. Wants the endpoints.
// A runtime is where clocks, chance and threads belong.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use async_io::{Async, Timer};
use etcd3::runtime::{BoxFuture, Clock, Compat, Instant, Io, Lookup, Runtime, Target};
use etcd3::{Client, Config};
use futures_lite::future::block_on;
use std::net::{SocketAddr, TcpStream};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::time::Duration;
use std::{io, sync::Arc, thread};

/// One thread for each task.
struct Threads {
    clock: Clock,
    lookup: Lookup,
}

impl Runtime for Threads {
    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn seed(&self) -> u64 {
        self.clock.seed()
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()> {
        let left = at.saturating_since(self.now());
        Box::pin(async move {
            Timer::after(left).await;
        })
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        thread::spawn(move || block_on(task));
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
            let io: Box<dyn Io> = match target {
                Target::Tcp(address) => {
                    let stream = Async::<TcpStream>::connect(*address).await?;
                    stream.get_ref().set_nodelay(true)?;
                    Box::new(Compat(stream))
                }
                #[cfg(unix)]
                Target::Unix(path) => Box::new(Compat(Async::<UnixStream>::connect(path).await?)),
                #[cfg(target_os = "linux")]
                Target::UnixAbstract(name) => {
                    Box::new(Compat(Async::<UnixStream>::connect(format!("\0{name}")).await?))
                }
                _ => return Err(io::ErrorKind::Unsupported.into()),
            };
            Ok(io)
        })
    }

    fn suspended(&self) -> Duration {
        self.clock.suspended()
    }

    fn unix_time(&self) -> Option<Duration> {
        self.clock.unix_time()
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let endpoints = std::env::args().nth(1).ok_or("usage: own_runtime URL[,URL…]")?;
    let runtime = Arc::new(Threads { clock: Clock::start(), lookup: Lookup::system() });
    block_on(async {
        let client = Client::connect_on(runtime, Config::new(endpoints.split(','))).await?;
        let written = client.put("example/own-runtime", "works").await?;
        let answer = client.get("example/own-runtime").await?;
        println!("revision {}: {:?}", written.header.revision, answer.kvs[0].value);
        client.close().await;
        Ok(())
    })
}
