//! The network: names, listeners, connections, and what is wrong with them.

use crate::executor::{Executor, Sleep};
use crate::lock::locked;
use crate::pipe::{Cut, Fate, Pipe, Travel};
use crate::trace::{FaultKind, Recorder};
use etcd3::runtime::Io;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A machine of the simulated network: whatever runs on it ends with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(pub(crate) u32);

/// A direction of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// What the host sends.
    Up,
    /// What the host receives.
    Down,
}

/// What a new connection finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reachability {
    /// It is let in.
    #[default]
    Open,
    /// It is refused at once.
    Refuse,
    /// Nobody answers.
    Hang,
}

/// The way between a host and an address, as it is for connections now and to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Link {
    /// How bytes travel; connections take it over when they are made.
    pub travel: Travel,
    /// What a new connection finds.
    pub reachability: Reachability,
    /// Whether the bytes that the host sends are held back.
    pub stall_up: bool,
    /// Whether the bytes that the host is to receive are held back.
    pub stall_down: bool,
}

/// A cut that comes once the connections that there are have carried more bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CutLater {
    /// The direction whose bytes count.
    pub direction: Direction,
    /// The number of bytes from now on after which the connection is cut.
    pub bytes: u64,
    /// The way in which it is cut.
    pub cut: Cut,
}

/// The network of one simulation; cheap to clone.
#[derive(Clone)]
pub struct Net {
    executor: Executor,
    recorder: Recorder,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    names: BTreeMap<String, Vec<SocketAddr>>,
    listeners: BTreeMap<SocketAddr, Listening>,
    links: BTreeMap<(HostId, SocketAddr), Link>,
    travel: Travel,
    connections: BTreeMap<u64, Connection>,
    made: u64,
    attempts: u64,
}

#[derive(Default)]
struct Listening {
    /// The hosts that connected, and our ends.
    backlog: VecDeque<(HostId, Socket)>,
    waker: Option<Waker>,
}

#[derive(Clone)]
struct Connection {
    from: HostId,
    to: SocketAddr,
    up: Arc<Mutex<Pipe>>,
    down: Arc<Mutex<Pipe>>,
}

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Net").finish_non_exhaustive()
    }
}

impl Net {
    pub(crate) fn new(executor: Executor, recorder: Recorder) -> Self {
        Self { executor, recorder, inner: Arc::default() }
    }

    /// Returns the recorder of the world.
    pub(crate) fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// Gives a name to addresses, in place of those that it had.
    pub fn name(&self, name: &str, addresses: impl IntoIterator<Item = SocketAddr>) {
        locked(&self.inner).names.insert(name.to_owned(), addresses.into_iter().collect());
    }

    /// Sets how bytes travel where no link says otherwise, from the next connection on.
    pub fn set_travel(&self, travel: Travel) {
        locked(&self.inner).travel = travel;
    }

    /// Returns the way between a host and an address as it is.
    #[must_use]
    pub fn link(&self, from: HostId, to: SocketAddr) -> Link {
        let inner = locked(&self.inner);
        let fallback = Link { travel: inner.travel, ..Link::default() };
        inner.links.get(&(from, to)).copied().unwrap_or(fallback)
    }

    /// Sets the way between a host and an address; stalls also affect the connections there are.
    pub fn set_link(&self, from: HostId, to: SocketAddr, link: Link) {
        self.record_link(from, to, link);
        locked(&self.inner).links.insert((from, to), link);
        for connection in self.between(from, to) {
            set_stall(&connection.up, link.stall_up);
            set_stall(&connection.down, link.stall_down);
        }
    }

    /// Cuts all connections between a host and an address.
    pub fn cut(&self, from: HostId, to: SocketAddr, cut: Cut) {
        self.record_cut(from, to, cut, None);
        for connection in self.between(from, to) {
            locked(&connection.up).cut(cut);
            locked(&connection.down).cut(cut);
        }
    }

    /// Cuts the connections there are between a host and an address later on; returns how many
    /// connections that are.
    pub fn cut_later(&self, from: HostId, to: SocketAddr, later: CutLater) -> usize {
        let CutLater { direction, bytes, cut } = later;
        self.record_cut(from, to, cut, Some(bytes));
        let connections = self.between(from, to);
        for connection in &connections {
            let pipe = match direction {
                Direction::Up => &connection.up,
                Direction::Down => &connection.down,
            };
            locked(pipe).cut_after = Some((bytes, cut));
        }
        connections.len()
    }

    /// Forgets the cuts to come of the connections between a host and an address. Those on which
    /// nothing arrives any more stay as they are: whoever uses them has to find out.
    pub fn forget_cuts(&self, from: HostId, to: SocketAddr) {
        for connection in self.between(from, to) {
            locked(&connection.up).cut_after = None;
            locked(&connection.down).cut_after = None;
        }
    }

    /// Returns how many connections were made so far.
    #[must_use]
    pub fn connections_made(&self) -> u64 {
        locked(&self.inner).made
    }

    /// Returns how many connections were tried so far, those made included.
    #[must_use]
    pub fn connections_tried(&self) -> u64 {
        locked(&self.inner).attempts
    }

    /// Returns how many connections of this host are open.
    #[must_use]
    pub fn open_from(&self, host: HostId) -> usize {
        let mut inner = locked(&self.inner);
        inner.connections.retain(|_, c| Arc::strong_count(&c.up) > 1);
        inner.connections.values().filter(|c| c.from == host).count()
    }

    /// Accepts connections at an address, until the future is dropped or the listener is closed.
    pub(crate) fn listen(&self, at: SocketAddr) -> Listener {
        locked(&self.inner).listeners.insert(at, Listening::default());
        Listener { net: self.clone(), at }
    }

    pub(crate) fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let inner = locked(&self.inner);
        let addresses = inner.names.get(host).ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, format!("nobody is called {host}"))
        })?;
        Ok(addresses.iter().map(|address| SocketAddr::new(address.ip(), port)).collect())
    }

    /// Opens a connection; takes a round trip, or for ever.
    pub(crate) async fn connect(&self, from: HostId, to: SocketAddr) -> io::Result<Socket> {
        locked(&self.inner).attempts += 1;
        let link = self.link(from, to);
        let jitter = u64::try_from(link.travel.jitter.as_nanos()).unwrap_or(u64::MAX);
        let late = Duration::from_nanos(self.executor.below(jitter.saturating_add(1)));
        self.executor.sleep_until(self.executor.now() + link.travel.latency * 2 + late).await;
        let link = self.link(from, to);
        if link.reachability == Reachability::Hang || link.stall_up || link.stall_down {
            std::future::pending::<()>().await;
        }
        let mut inner = locked(&self.inner);
        if link.reachability == Reachability::Refuse || !inner.listeners.contains_key(&to) {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        inner.made += 1;
        self.executor.note(inner.made);
        let id = inner.made;
        let up = Arc::new(Mutex::new(Pipe::new(link.travel)));
        let down = Arc::new(Mutex::new(Pipe::new(link.travel)));
        let connection = Connection { from, to, up: Arc::clone(&up), down: Arc::clone(&down) };
        inner.connections.insert(id, connection);
        let near = Socket::new(self.executor.clone(), Arc::clone(&down), Arc::clone(&up));
        let far = Socket::new(self.executor.clone(), up, down);
        if let Some(listening) = inner.listeners.get_mut(&to) {
            listening.backlog.push_back((from, far));
            listening.waker.take().into_iter().for_each(Waker::wake);
        }
        Ok(near)
    }

    /// Records how a link differs from what it was.
    fn record_link(&self, from: HostId, to: SocketAddr, link: Link) {
        if !self.recorder.is_on() {
            return;
        }
        let (was, name) = (self.link(from, to), self.name_of(to));
        let usual = locked(&self.inner).travel;
        let states = |link: &Link| {
            [
                (link.stall_up, "nothing gets to"),
                (link.stall_down, "nothing comes from"),
                (link.reachability == Reachability::Refuse, "refused by"),
                (link.reachability == Reachability::Hang, "no way to"),
                (link.travel != usual, "slow to"),
            ]
        };
        for ((was, what), (is, _)) in states(&was).into_iter().zip(states(&link)) {
            match (was, is) {
                (false, true) => {
                    let what = format_args!("{what} {name}");
                    self.recorder.begin_fault(from, FaultKind::Link, what);
                }
                (true, false) => self.recorder.end_fault(from, format_args!("{what} {name}")),
                _ => {}
            }
        }
    }

    fn record_cut(&self, from: HostId, to: SocketAddr, cut: Cut, after: Option<u64>) {
        if !self.recorder.is_on() {
            return;
        }
        let how = match cut {
            Cut::Reset => "reset",
            Cut::Fin => "end",
            Cut::Stall => "silence",
        };
        let name = self.name_of(to);
        let kind = FaultKind::Cut;
        match after {
            None => self.recorder.fault(from, kind, format_args!("cut from {name}: {how}")),
            Some(bytes) => {
                let name = format_args!("cut from {name} in {bytes} B: {how}");
                self.recorder.fault(from, kind, name);
            }
        }
    }

    /// Returns a name that leads to an address, or the address.
    fn name_of(&self, at: SocketAddr) -> String {
        let inner = locked(&self.inner);
        let named = inner.names.iter().find(|(_, addresses)| addresses.contains(&at));
        named.map_or_else(|| at.to_string(), |(name, _)| name.clone())
    }

    fn between(&self, from: HostId, to: SocketAddr) -> Vec<Connection> {
        let mut inner = locked(&self.inner);
        // The pipes of a connection that both sides have dropped are held here alone.
        inner.connections.retain(|_, c| Arc::strong_count(&c.up) > 1);
        inner.connections.values().filter(|c| c.from == from && c.to == to).cloned().collect()
    }
}

fn set_stall(pipe: &Mutex<Pipe>, stall: bool) {
    let mut pipe = locked(pipe);
    pipe.fate = match (stall, pipe.fate) {
        (_, Fate::Vanish) => Fate::Vanish,
        (true, _) => Fate::Stall,
        (false, _) => Fate::Flow,
    };
    pipe.wake();
}

/// A listener for connections; dropping it closes the address.
pub struct Listener {
    net: Net,
    at: SocketAddr,
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("at", &self.at).finish_non_exhaustive()
    }
}

impl Listener {
    /// Waits for the next connection and returns the end of it that belongs here.
    ///
    /// # Cancel safety
    ///
    /// A connection that was not returned stays in the queue.
    pub async fn accept(&self) -> Box<dyn Io> {
        self.next().await.1.boxed()
    }

    /// Waits for the next connection; returns the host that made it, too.
    pub(crate) async fn next(&self) -> (HostId, Socket) {
        poll_fn(|cx| {
            let mut inner = locked(&self.net.inner);
            let Some(listening) = inner.listeners.get_mut(&self.at) else { return Poll::Pending };
            if let Some(stream) = listening.backlog.pop_front() {
                return Poll::Ready(stream);
            }
            listening.waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let closed = locked(&self.net.inner).listeners.remove(&self.at);
        // Its streams tell their other ends, so the lock must be free.
        drop(closed);
    }
}

/// One end of a connection.
pub(crate) struct Socket {
    executor: Executor,
    rx: Arc<Mutex<Pipe>>,
    tx: Arc<Mutex<Pipe>>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Socket {
    fn new(executor: Executor, rx: Arc<Mutex<Pipe>>, tx: Arc<Mutex<Pipe>>) -> Self {
        Self { executor, rx, tx, sleep: None }
    }

    pub(crate) fn boxed(self) -> Box<dyn Io> {
        Box::new(self)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        locked(&self.tx).cut(Cut::Fin);
        locked(&self.rx).abandon();
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let executor = self.executor.clone();
            let mut random = |n| executor.below(n);
            let mut rx = locked(&self.rx);
            match rx.read(executor.now(), buf.remaining(), &mut random) {
                Ok(result) => return Poll::Ready(result.map(|bytes| buf.put_slice(&bytes))),
                Err(at) => {
                    rx.reader = Some(cx.waker().clone());
                    drop(rx);
                    let Some(at) = at else { return Poll::Pending };
                    let mut sleep = Box::pin(executor.sleep_until(at));
                    if sleep.as_mut().poll(cx).is_pending() {
                        self.sleep = Some(sleep);
                        return Poll::Pending;
                    }
                }
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut random = |n| self.executor.below(n);
        let mut tx = locked(&self.tx);
        let written = tx.write(self.executor.now(), buf, &mut random);
        match &written {
            Poll::Pending => tx.writer = Some(cx.waker().clone()),
            Poll::Ready(Ok(n)) => {
                self.executor.note(*n as u64);
                if let Some(reader) = tx.reader.take() {
                    reader.wake();
                }
                let was_reset = tx.is_reset();
                drop(tx);
                if was_reset {
                    locked(&self.rx).cut(Cut::Reset);
                }
            }
            Poll::Ready(Err(_)) => {}
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        locked(&self.tx).cut(Cut::Fin);
        Poll::Ready(Ok(()))
    }
}
