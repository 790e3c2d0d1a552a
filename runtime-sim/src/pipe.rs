//! One direction of a connection: bytes that take time, come in pieces, or never.

use etcd3::runtime::Instant;
use std::collections::VecDeque;
use std::io;
use std::task::{Poll, Waker};
use std::time::Duration;

/// How the bytes of one direction travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Travel {
    /// The shortest time under way.
    pub latency: Duration,
    /// Added at random, up to this.
    pub jitter: Duration,
    /// Bytes a second, if there is a limit.
    pub throttle: Option<u64>,
    /// The largest piece that one read or write moves, in bytes; pieces are of random size up to
    /// this.
    pub chunk: usize,
    /// How many bytes may be under way before the writer has to wait.
    pub buffer: usize,
}

impl Default for Travel {
    fn default() -> Self {
        Self {
            latency: Duration::from_micros(200),
            jitter: Duration::from_micros(100),
            throttle: None,
            chunk: usize::MAX,
            buffer: 256 << 10,
        }
    }
}

/// What happens to the bytes of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// They arrive.
    Flow,
    /// They are held back until they flow again.
    Stall,
    /// They vanish.
    Vanish,
}

/// How a direction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The connection is reset: what is under way is lost, both sides get an error.
    Reset,
    /// The direction ends in order, after what is under way.
    Fin,
    /// Nothing arrives from here on, and nobody is told.
    Stall,
}

#[derive(Debug)]
pub(crate) struct Pipe {
    pub(crate) travel: Travel,
    pub(crate) fate: Fate,
    under_way: VecDeque<(Instant, Vec<u8>)>,
    buffered: usize,
    /// When the line is free again, for the throttle and for order.
    free_at: Instant,
    finished: bool,
    reset: bool,
    reader_gone: bool,
    pub(crate) reader: Option<Waker>,
    pub(crate) writer: Option<Waker>,
    /// Cut after this many more bytes.
    pub(crate) cut_after: Option<(u64, Cut)>,
}

impl Pipe {
    pub(crate) fn new(travel: Travel) -> Self {
        Self {
            travel,
            fate: Fate::Flow,
            under_way: VecDeque::new(),
            buffered: 0,
            free_at: Instant::ORIGIN,
            finished: false,
            reset: false,
            reader_gone: false,
            reader: None,
            writer: None,
            cut_after: None,
        }
    }

    /// Takes bytes from the writer; `Pending` when too much is under way.
    pub(crate) fn write(
        &mut self,
        now: Instant,
        bytes: &[u8],
        random: &mut impl FnMut(u64) -> u64,
    ) -> Poll<io::Result<usize>> {
        if self.reset || self.reader_gone {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if self.finished {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if self.buffered >= self.travel.buffer && self.fate != Fate::Vanish {
            return Poll::Pending;
        }
        let piece = self.piece(bytes.len(), random);
        let (kept, cut) = match self.cut_after {
            Some((left, cut)) if (piece as u64) >= left => {
                (usize::try_from(left).unwrap_or(piece), Some(cut))
            }
            Some((left, cut)) => {
                self.cut_after = Some((left - piece as u64, cut));
                (piece, None)
            }
            None => (piece, None),
        };
        if self.fate != Fate::Vanish && kept > 0 {
            let at = self.arrival(now, kept, random);
            self.buffered += kept;
            self.under_way.push_back((at, bytes[..kept].to_vec()));
        }
        if let Some(cut) = cut {
            self.cut_after = None;
            self.cut(cut);
        }
        Poll::Ready(Ok(piece))
    }

    /// Ends the direction; true when the other one is to be reset, too.
    pub(crate) fn cut(&mut self, cut: Cut) -> bool {
        match cut {
            Cut::Reset => {
                self.reset = true;
                self.under_way.clear();
                self.buffered = 0;
            }
            Cut::Fin => self.finished = true,
            Cut::Stall => self.fate = Fate::Vanish,
        }
        self.wake();
        cut == Cut::Reset
    }

    pub(crate) fn is_reset(&self) -> bool {
        self.reset
    }

    /// The reader will not come again.
    pub(crate) fn abandon(&mut self) {
        self.reader_gone = true;
        self.wake();
    }

    /// Returns what the reader can have now: bytes (none at the end), or the moment to ask again.
    pub(crate) fn read(
        &mut self,
        now: Instant,
        most: usize,
        random: &mut impl FnMut(u64) -> u64,
    ) -> Result<io::Result<Vec<u8>>, Option<Instant>> {
        if self.reset {
            return Ok(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if self.fate == Fate::Stall {
            return Err(None);
        }
        let Some((at, _)) = self.under_way.front() else {
            return if self.finished { Ok(Ok(Vec::new())) } else { Err(None) };
        };
        if *at > now {
            return Err(Some(*at));
        }
        let Some((at, mut first)) = self.under_way.pop_front() else { return Err(None) };
        let piece = self.piece(first.len().min(most), random);
        let rest = first.split_off(piece);
        if !rest.is_empty() {
            self.under_way.push_front((at, rest));
        }
        self.buffered -= first.len();
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
        Ok(Ok(first))
    }

    /// Wakes both sides, to look at what has changed.
    pub(crate) fn wake(&mut self) {
        self.reader.take().into_iter().chain(self.writer.take()).for_each(Waker::wake);
    }

    fn piece(&self, length: usize, random: &mut impl FnMut(u64) -> u64) -> usize {
        let most = length.min(self.travel.chunk);
        if self.travel.chunk == usize::MAX || most <= 1 {
            return most;
        }
        1 + usize::try_from(random(most as u64)).unwrap_or_default()
    }

    /// Returns when bytes written now arrive: never before those written earlier.
    fn arrival(
        &mut self,
        now: Instant,
        length: usize,
        random: &mut impl FnMut(u64) -> u64,
    ) -> Instant {
        let jitter = u64::try_from(self.travel.jitter.as_nanos()).unwrap_or(u64::MAX);
        let late = Duration::from_nanos(random(jitter.saturating_add(1)));
        let sending = self.travel.throttle.map_or(Duration::ZERO, |rate| {
            Duration::from_nanos((length as u64).saturating_mul(1_000_000_000) / rate.max(1))
        });
        let at = (now + self.travel.latency + late).max(self.free_at) + sending;
        self.free_at = at;
        at
    }
}
