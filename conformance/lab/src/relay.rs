//! One relayed connection: two sockets, and a thread for each direction.
//!
//! All that a direction's bytes can suffer is decided in [`Flow::step`], piece by piece, and done
//! in [`Relay::pass`].

use crate::fault::{Cut, Direction, Fault};
use socket2::SockRef;
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The longest that a thread that cannot write stays unaware of the end of its connection.
const WRITE_TURN: Duration = Duration::from_millis(50);
/// The largest number of chunks that wait for their time in one direction.
const QUEUE: usize = 256;
/// The number of times a second that a throttled direction writes.
const TURNS: u64 = 20;

/// A relayed connection.
#[derive(Debug)]
pub(crate) struct Relay {
    near: TcpStream,
    far: TcpStream,
    ended: AtomicBool,
    flows: Mutex<Flows>,
    changed: Condvar,
}

/// The state of both directions.
#[derive(Debug)]
struct Flows {
    each: [Flow; 2],
    /// The time of the last byte, in either direction.
    last: Instant,
}

/// The state of one direction.
#[derive(Debug, Default)]
struct Flow {
    fault: Fault,
    /// The number of bytes that passed since the fault was set.
    passed: u64,
    /// The number of bytes that passed.
    total: u64,
    /// The number of bytes that were lost.
    swallowed: u64,
    /// Whether nothing passes any more.
    is_dead: bool,
    /// The state of the jitter's generator.
    random: u64,
}

/// The next thing to do with the bytes of a direction.
enum Step {
    Swallow,
    Wait,
    Cut(Cut),
    Write(Piece),
}

/// The bytes that may be written next; they count as passed already.
struct Piece {
    len: usize,
    /// A byte of it and the bits to flip.
    flip: Option<(usize, u8)>,
    /// The time for which nothing may follow.
    pause: Option<Duration>,
}

impl Flow {
    fn set(&mut self, fault: Fault, seed: u64) {
        (self.fault, self.passed, self.random) = (fault, 0, fault.seed ^ seed);
    }

    fn is_silent(&self) -> bool {
        self.is_dead || self.fault.silent
    }

    fn step(&mut self, len: usize) -> Step {
        let fault = self.fault;
        if self.is_silent() || fault.lose > 0 && self.draw(100) < u64::from(fault.lose) {
            self.swallowed += u64::try_from(len).unwrap_or(u64::MAX);
            return Step::Swallow;
        }
        if let Some(end) = self.due_cut() {
            return Step::Cut(end);
        }
        if fault.held {
            return Step::Wait;
        }
        let small = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        let before_cut = fault.cut.map(|(after, _)| small(after - self.passed));
        let share = fault.rate.map(|rate| small((rate / TURNS).max(1)));
        let len = [before_cut, share, fault.piece].into_iter().flatten().fold(len, usize::min);
        let flip = fault.flip.and_then(|(at, mask)| {
            let at = small(at.checked_sub(self.passed)?);
            (at < len).then_some((at, mask))
        });
        let count = u64::try_from(len).unwrap_or(u64::MAX);
        let pause = fault.rate.map(|rate| Duration::from_micros(count * 1_000_000 / rate));
        self.passed += count;
        self.total += count;
        Step::Write(Piece { len, flip, pause })
    }

    /// Tells how the connection is to end now, if it is.
    fn due_cut(&self) -> Option<Cut> {
        self.fault.cut.filter(|(after, _)| *after <= self.passed).map(|(_, end)| end)
    }

    /// Draws how long bytes that have just come must wait.
    fn delay(&mut self) -> Duration {
        let Fault { latency, jitter, .. } = self.fault;
        let range = u64::try_from(jitter.as_micros()).unwrap_or(u64::MAX).saturating_add(1);
        latency + Duration::from_micros(self.draw(range))
    }

    /// Draws a number below another one.
    fn draw(&mut self, range: u64) -> u64 {
        // SplitMix64.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.random;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % range
    }
}

impl Relay {
    pub(crate) fn new(near: TcpStream, far: TcpStream) -> Self {
        for stream in [&near, &far] {
            // Neither can fail on a socket that exists; a failure would only make it slower.
            let _ = stream.set_nodelay(true);
            let _ = stream.set_write_timeout(Some(WRITE_TURN));
        }
        let flows = Flows { each: Default::default(), last: Instant::now() };
        let (ended, changed) = (AtomicBool::new(false), Condvar::new());
        Self { near, far, ended, flows: Mutex::new(flows), changed }
    }

    /// Sets what happens to the bytes of a direction from now on; `seed` tells the jitter of this
    /// link from that of others.
    pub(crate) fn set(&self, direction: Direction, seed: u64, fault: Fault) {
        self.flows().each[direction.index()].set(fault, seed);
        self.changed.notify_all();
        if let Some((0, end)) = fault.cut {
            self.cut(direction, end);
        }
    }

    /// Counts the bytes that passed in a direction.
    pub(crate) fn total(&self, direction: Direction) -> u64 {
        self.flows().each[direction.index()].total
    }

    /// Counts the bytes that disappeared in a direction.
    pub(crate) fn swallowed(&self, direction: Direction) -> u64 {
        self.flows().each[direction.index()].swallowed
    }

    /// Tells whether bytes of this connection were lost, or would be.
    pub(crate) fn is_silent(&self) -> bool {
        self.flows().each.iter().any(|flow| flow.is_silent() || flow.swallowed > 0)
    }

    /// Ends the connection on both sides; its threads follow within [`WRITE_TURN`].
    pub(crate) fn end(&self, end: Cut) {
        self.ended.store(true, Ordering::SeqCst);
        for stream in [&self.near, &self.far] {
            // A side that is gone already needs no end.
            let _ = match end {
                Cut::Close | Cut::Fin | Cut::Silence => stream.shutdown(Shutdown::Both),
                Cut::Reset => SockRef::from(stream)
                    .set_linger(Some(Duration::ZERO))
                    // Wakes the reader without telling the other side; the reset is sent when
                    // the last user of the socket lets it go.
                    .and_then(|()| stream.shutdown(Shutdown::Read)),
            };
        }
        drop(self.flows());
        self.changed.notify_all();
    }

    /// Moves the bytes of one direction until either side ends.
    pub(crate) fn pump(&self, direction: Direction) {
        let (mut from, to) = self.ends(direction);
        let mut chunk = [0; 16 * 1024];
        let mut queue: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
        let mut is_open = true;
        while !self.has_ended() {
            let now = Instant::now();
            if queue.front().is_some_and(|(due, _)| *due <= now)
                && let Some((_, bytes)) = queue.pop_front()
            {
                // No bytes are the end of the stream.
                if bytes.is_empty() {
                    return self.finish(direction, to);
                }
                if self.pass(direction, &bytes, to).is_err() {
                    return self.end(Cut::Reset);
                }
                continue;
            }
            let patience = queue.front().map(|(due, _)| *due - now);
            if !is_open || queue.len() >= QUEUE {
                self.wait(patience);
                continue;
            }
            // Fails for a time of zero alone, which does not occur.
            let _ = from.set_read_timeout(patience);
            match from.read(&mut chunk) {
                Ok(n) => {
                    is_open = n > 0;
                    let due = Instant::now() + self.arrive(direction);
                    let due = queue.back().map_or(due, |(last, _)| due.max(*last));
                    queue.push_back((due, chunk[..n].to_vec()));
                }
                Err(error) if is_passing(&error) => {}
                Err(_) if self.flows().each[direction.index()].is_silent() => return,
                Err(_) => return self.end(Cut::Reset),
            }
        }
    }

    /// Returns where bytes of a direction come from, and where they go.
    fn ends(&self, direction: Direction) -> (&TcpStream, &TcpStream) {
        match direction {
            Direction::Up => (&self.near, &self.far),
            Direction::Down => (&self.far, &self.near),
        }
    }

    fn flows(&self) -> MutexGuard<'_, Flows> {
        self.flows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    /// Waits until something changes, or for so long.
    fn wait(&self, limit: Option<Duration>) {
        let flows = self.flows();
        if !self.has_ended() {
            let limit = limit.unwrap_or(WRITE_TURN);
            drop(self.changed.wait_timeout(flows, limit));
        }
    }

    /// Notes that something came, and says how long it must wait.
    fn arrive(&self, direction: Direction) -> Duration {
        let mut flows = self.flows();
        let idle = std::mem::replace(&mut flows.last, Instant::now()).elapsed();
        let is_over = |flow: &Flow| flow.fault.forget_after.is_some_and(|limit| idle >= limit);
        if flows.each.iter().any(is_over) {
            flows.each.iter_mut().for_each(|flow| flow.is_dead = true);
        }
        flows.each[direction.index()].delay()
    }

    fn finish(&self, direction: Direction, to: &TcpStream) {
        if !self.has_ended() && !self.flows().each[direction.index()].is_silent() {
            let _ = to.shutdown(Shutdown::Write);
        }
    }

    fn cut(&self, direction: Direction, end: Cut) {
        match end {
            Cut::Close | Cut::Reset => self.end(end),
            Cut::Fin => {
                self.flows().each[direction.index()].is_dead = true;
                let _ = self.ends(direction).1.shutdown(Shutdown::Write);
            }
            Cut::Silence => self.flows().each.iter_mut().for_each(|flow| flow.is_dead = true),
        }
    }

    fn pass(&self, direction: Direction, mut bytes: &[u8], to: &TcpStream) -> std::io::Result<()> {
        while !bytes.is_empty() && !self.has_ended() {
            let step = self.flows().each[direction.index()].step(bytes.len());
            match step {
                Step::Swallow => return Ok(()),
                Step::Wait => self.wait(None),
                Step::Cut(end) => {
                    self.cut(direction, end);
                    return Ok(());
                }
                Step::Write(piece) => {
                    let (now, later) = bytes.split_at(piece.len);
                    self.write(direction, &piece, now, to)?;
                    bytes = later;
                }
            }
        }
        Ok(())
    }

    /// Writes a piece, and does what is due after it.
    fn write(
        &self,
        direction: Direction,
        piece: &Piece,
        bytes: &[u8],
        mut to: &TcpStream,
    ) -> std::io::Result<()> {
        let mut bytes = bytes.to_vec();
        if let Some((at, bits)) = piece.flip {
            bytes[at] ^= bits;
        }
        let mut left = &bytes[..];
        while !left.is_empty() && !self.has_ended() {
            match to.write(left) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(n) => left = &left[n..],
                Err(error) if !is_passing(&error) => return Err(error),
                Err(_) if self.flows().each[direction.index()].is_silent() => return Ok(()),
                Err(_) => {}
            }
        }
        let cut = self.flows().each[direction.index()].due_cut();
        match (cut, piece.pause) {
            (Some(end), _) => self.cut(direction, end),
            (None, Some(pause)) => self.wait(Some(pause)),
            (None, None) => {}
        }
        Ok(())
    }
}

fn is_passing(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}
