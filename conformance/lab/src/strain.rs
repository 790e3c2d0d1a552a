//! Load beside a test: sockets in `TIME_WAIT`, and busy processors.

use crate::{Error, Result};
use socket2::{Domain, Socket, Type};
use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// The largest number of sockets that [`time_wait`] leaves.
pub const MAX_TIME_WAIT: usize = 100_000;

/// The largest number of threads of [`Busy`].
pub const MAX_BUSY: usize = 64;

/// The ports of which each listener takes the first that is free.
const LISTENERS: Range<u16> = 9_000..10_000;
/// The ports that connections come from: from each of them once before the next listener.
const SOURCES: Range<u16> = 10_000..30_000;

/// Leaves `count` sockets in `TIME_WAIT`, where the kernel keeps them for a minute.
///
/// The accepting side closes first, so that all of them have the ports of a few listeners, on
/// loopback addresses that nobody else uses, and no port that others could be given is taken.
/// Another call within that minute renews them. Other systems than Linux have too few loopback
/// addresses.
///
/// # Errors
///
/// Fails for more than [`MAX_TIME_WAIT`], and when no connection can be made.
pub fn time_wait(count: usize) -> Result<()> {
    if count > MAX_TIME_WAIT {
        return Err(Error::new(format!("{count} sockets, {MAX_TIME_WAIT} allowed")));
    }
    // So that two processes do not meet.
    let process = std::process::id().to_le_bytes()[0];
    let mut left = count;
    for host in 1..=u8::MAX {
        if left == 0 {
            return Ok(());
        }
        left -= leave_some(Ipv4Addr::new(127, 9, process, host), left)
            .map_err(Error::doing("cannot leave sockets in TIME_WAIT"))?;
    }
    Err(Error::new("there are too few free ports"))
}

/// Leaves at most `most` on one address, and tells how many.
fn leave_some(host: Ipv4Addr, most: usize) -> std::io::Result<usize> {
    let Some(listener) = free(host, LISTENERS).next().transpose()? else { return Ok(0) };
    listener.listen(1)?;
    let addr = listener.local_addr()?;
    let mut count = 0;
    for near in free(host, SOURCES).take(most) {
        let near = near?;
        near.connect(&addr)?;
        drop(listener.accept()?);
        (&near).read_to_end(&mut Vec::new())?;
        count += 1;
    }
    Ok(count)
}

/// Makes a socket of each port, even if the kernel remembers an earlier one; of all but those that
/// somebody listens on at all addresses.
fn free(host: Ipv4Addr, ports: Range<u16>) -> impl Iterator<Item = std::io::Result<Socket>> {
    let bound = move |port| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&SocketAddr::from((host, port)).into())?;
        Ok(socket)
    };
    let is_taken = |made: &std::io::Result<Socket>| {
        made.as_ref().is_err_and(|error| error.kind() == ErrorKind::AddrInUse)
    };
    ports.map(bound).filter(move |made| !is_taken(made))
}

/// Threads that do nothing but use the processor, until they are dropped.
#[derive(Debug)]
pub struct Busy {
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Busy {
    /// Starts `count` threads.
    ///
    /// # Errors
    ///
    /// Fails for more than [`MAX_BUSY`], and when the system has no more threads.
    pub fn start(count: usize) -> Result<Self> {
        if count > MAX_BUSY {
            return Err(Error::new(format!("{count} busy threads, {MAX_BUSY} allowed")));
        }
        let is_over = Arc::new(AtomicBool::new(false));
        let mut busy = Self { is_over, threads: Vec::new() };
        for _ in 0..count {
            let is_over = Arc::clone(&busy.is_over);
            let work = move || {
                while !is_over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            };
            let thread = std::thread::Builder::new().name("busy".into()).spawn(work);
            busy.threads.push(thread.map_err(Error::doing("no more threads"))?);
        }
        Ok(busy)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // It cannot panic.
            let _ = thread.join();
        }
    }
}
