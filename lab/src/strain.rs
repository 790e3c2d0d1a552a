//! Load beside a test: sockets in `TIME_WAIT`, and busy processors.

use crate::{Error, Result};
use socket2::{Domain, Socket, Type};
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// The largest number of sockets that [`time_wait`] leaves.
pub const MAX_TIME_WAIT: usize = 100_000;

/// The largest number of threads of [`Busy`].
pub const MAX_BUSY: usize = 64;

/// The port of each listener.
const LISTENER: u16 = 9_999;

/// The ports that connections come from; each comes from every port once before the next listener.
const SOURCES: std::ops::Range<u16> = 10_000..30_000;

/// Leaves `count` sockets in `TIME_WAIT`, where the kernel keeps them for a minute.
///
/// The accepting side closes first, so that all of them have the ports of a few listeners, on
/// loopback addresses that nobody else uses, and no port that others could be given is taken.
/// Another call within that minute renews them.
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
            break;
        }
        left -= leave_some(Ipv4Addr::new(127, 9, process, host), left)
            .map_err(Error::doing("cannot leave sockets in TIME_WAIT"))?;
    }
    Ok(())
}

/// Leaves at most `most` on one address, and tells how many.
fn leave_some(host: Ipv4Addr, most: usize) -> std::io::Result<usize> {
    let listener = socket((host, LISTENER).into())?;
    listener.listen(1)?;
    for port in SOURCES.take(most) {
        let near = socket((host, port).into())?;
        near.connect(&SocketAddr::from((host, LISTENER)).into())?;
        drop(listener.accept()?);
        (&near).read_to_end(&mut Vec::new())?;
    }
    Ok(SOURCES.len().min(most))
}

/// Makes a socket of that address, even if the kernel remembers an earlier one.
fn socket(addr: SocketAddr) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())?;
    Ok(socket)
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
