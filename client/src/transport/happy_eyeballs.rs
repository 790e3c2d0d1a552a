//! Happy eyeballs: connects to the first of several addresses that answers (RFC 8305, I-C9).
//!
//! ```text
//!   0 ms   ── address 1 ───────────────────────────── nobody answers
//! 250 ms      └─ address 2 ── refused
//! 260 ms                      └─ address 3 ── connected: the others are dropped
//! ```

use crate::runtime::{BoxFuture, Io, Runtime, Target};
use etcd3_core::error::ConnectFailure;
use etcd3_core::rng::Rng;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::Duration;

/// How long an attempt has the field to itself.
const HEAD_START: Duration = Duration::from_millis(250);
/// A name with more addresses than that is connected to by the first of them.
const MAX_ADDRESSES: usize = 64;
/// An error tells of so many addresses and counts the others.
const MAX_TOLD: usize = 8;

/// Connects to the first target that lets it in, before the end comes.
pub(crate) async fn connect(
    rt: &dyn Runtime,
    targets: &[Target],
    end: &mut BoxFuture<'static, ()>,
) -> Result<Box<dyn Io>, AllFailed> {
    let mut attempts = Attempts {
        rt,
        waiting: targets[..targets.len().min(MAX_ADDRESSES)].iter(),
        under_way: Vec::new(),
        next: None,
        end,
        failed: Vec::new(),
    };
    poll_fn(|cx| attempts.poll(cx)).await
}

/// Begins with another address of each family, drawn by the seed: the clients of a name spread over
/// its addresses. The family of the first address stays, as does the order within a family but for
/// where it begins.
pub(crate) fn rotate(addresses: Vec<SocketAddr>, seed: u64) -> Vec<SocketAddr> {
    let v6_first = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut first, mut second): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == v6_first);
    let mut rng = Rng::new(seed);
    for family in [&mut first, &mut second] {
        let count = u64::try_from(family.len()).unwrap_or(u64::MAX);
        family.rotate_left(usize::try_from(rng.below(count)).unwrap_or_default());
    }
    first.append(&mut second);
    first
}

/// Puts addresses of both families in turns, beginning with the family of the first (RFC 8305,
/// section 4); within a family the order stays.
pub(crate) fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let v6_first = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == v6_first);
    let mut second = second.into_iter();
    let mut turns = Vec::with_capacity(first.len() + second.len());
    for address in first {
        turns.push(address);
        turns.extend(second.next());
    }
    turns.extend(second);
    turns
}

struct Attempts<'a> {
    rt: &'a dyn Runtime,
    waiting: std::slice::Iter<'a, Target>,
    /// In the order of their starts.
    under_way: Vec<Connecting<'a>>,
    /// When the next attempt is due though none has failed.
    next: Option<BoxFuture<'static, ()>>,
    end: &'a mut BoxFuture<'static, ()>,
    failed: Vec<(&'a Target, io::Error)>,
}

struct Connecting<'a> {
    target: &'a Target,
    connecting: BoxFuture<'a, io::Result<Box<dyn Io>>>,
}

impl Attempts<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Box<dyn Io>, AllFailed>> {
        loop {
            let failed_before = self.failed.len();
            if let Some(io) = self.poll_under_way(cx) {
                return Poll::Ready(Ok(io));
            }
            if self.end.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(self.lost()));
            }
            let alone = self.under_way.is_empty();
            let is_due = alone || self.failed.len() > failed_before || self.is_next_due(cx);
            if !is_due {
                return Poll::Pending;
            }
            match self.waiting.next() {
                Some(target) => self.start(target),
                None if alone => return Poll::Ready(Err(self.lost())),
                None => return Poll::Pending,
            }
        }
    }

    /// Looks at all attempts; if two are through at once, the earlier one wins.
    fn poll_under_way(&mut self, cx: &mut Context<'_>) -> Option<Box<dyn Io>> {
        let mut index = 0;
        while let Some(attempt) = self.under_way.get_mut(index) {
            match attempt.connecting.as_mut().poll(cx) {
                Poll::Pending => index += 1,
                Poll::Ready(Ok(io)) => return Some(io),
                Poll::Ready(Err(error)) => {
                    let attempt = self.under_way.remove(index);
                    self.failed.push((attempt.target, error));
                }
            }
        }
        None
    }

    fn is_next_due(&mut self, cx: &mut Context<'_>) -> bool {
        self.next.as_mut().is_some_and(|next| next.as_mut().poll(cx).is_ready())
    }
}

impl<'a> Attempts<'a> {
    fn start(&mut self, target: &'a Target) {
        let rt = self.rt;
        self.under_way.push(Connecting { target, connecting: rt.connect(target) });
        let more = self.waiting.len() > 0;
        self.next = more.then(|| rt.sleep_until(rt.now() + HEAD_START));
    }

    fn lost(&mut self) -> AllFailed {
        let silent = self.under_way.drain(..).map(|attempt| (attempt.target, None));
        let failed = self.failed.drain(..).map(|(target, error)| (target, Some(error)));
        let mut lost = AllFailed { causes: Vec::new(), is_late: false, untold: self.waiting.len() };
        for (target, error) in failed.chain(silent) {
            lost.is_late |= error.is_none();
            if lost.causes.len() < MAX_TOLD {
                lost.causes.push((target.clone(), error));
            } else {
                lost.untold += 1;
            }
        }
        lost
    }
}

/// Every address failed, or did not answer in time; says which of them did what.
#[derive(Debug)]
pub(crate) struct AllFailed {
    causes: Vec<(Target, Option<io::Error>)>,
    /// Whether some address might yet have answered.
    is_late: bool,
    untold: usize,
}

impl AllFailed {
    /// Returns the kind of failure that all of them make together.
    pub(crate) fn failure(&self) -> ConnectFailure {
        let mut kinds =
            self.causes.iter().filter_map(|(_, error)| error.as_ref()).map(io::Error::kind);
        match &self.causes[..] {
            _ if self.is_late => ConnectFailure::NoAnswer,
            [(Target::Unix(_), Some(error))] if error.kind() == io::ErrorKind::NotFound => {
                ConnectFailure::NoSocket
            }
            [_, ..] if kinds.all(|kind| kind == io::ErrorKind::Unsupported) => {
                ConnectFailure::Unsupported
            }
            _ => ConnectFailure::Refused,
        }
    }
}

impl fmt::Display for AllFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (target, error)) in self.causes.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { "; " })?;
            match target {
                Target::Tcp(address) => write!(f, "{address}")?,
                Target::Unix(path) => write!(f, "{}", path.display())?,
                Target::UnixAbstract(name) => write!(f, "@{name}")?,
            }
            match error {
                Some(error) => write!(f, ": {error}")?,
                None => f.write_str(": no answer")?,
            }
        }
        match self.untold {
            0 if self.causes.is_empty() => f.write_str("there is no address"),
            0 => Ok(()),
            untold => write!(f, "; and {untold} more"),
        }
    }
}

impl std::error::Error for AllFailed {}

impl From<AllFailed> for io::Error {
    /// An error of the kind that the first address failed with, for who matches on kinds.
    fn from(lost: AllFailed) -> Self {
        let first = lost.causes.iter().find_map(|(_, error)| error.as_ref());
        let kind = match first {
            _ if lost.is_late => io::ErrorKind::TimedOut,
            Some(error) => error.kind(),
            None => io::ErrorKind::NotFound,
        };
        Self::new(kind, lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn at(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_name_is_begun_with_any_of_its_addresses() {
        let given = ["[::1]:1", "[::2]:1", "1.1.1.1:1", "1.1.1.2:1", "1.1.1.3:1"].map(at);
        let mut firsts = [0; 5];
        for seed in 0..600 {
            let turned = interleave(rotate(given.to_vec(), seed));
            assert!(turned[0].is_ipv6(), "the resolver prefers this family");
            for (count, address) in firsts.iter_mut().zip(given) {
                *count += u32::from(turned[..2].contains(&address));
            }
            let all: BTreeSet<_> = turned.into_iter().collect();
            assert_eq!(all, BTreeSet::from(given));
        }
        assert!(firsts[..2].iter().all(|count| *count > 240), "{firsts:?}");
        assert!(firsts[2..].iter().all(|count| *count > 150), "{firsts:?}");
        assert_eq!(rotate(Vec::new(), 1), []);
    }

    // RFC 8305, section 4
    #[test]
    fn families_take_turns_and_keep_their_order() {
        let given = ["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "1.1.1.2:1"];
        let turns = ["[::1]:1", "1.1.1.1:1", "[::2]:1", "1.1.1.2:1", "[::3]:1"];
        assert_eq!(interleave(given.map(at).to_vec()), turns.map(at));
        let given = ["1.1.1.1:1", "[::1]:1", "[::2]:1", "[::3]:1"];
        let turns = ["1.1.1.1:1", "[::1]:1", "[::2]:1", "[::3]:1"];
        assert_eq!(interleave(given.map(at).to_vec()), turns.map(at));
        assert_eq!(interleave(Vec::new()), []);
    }

    #[test]
    fn an_error_tells_of_some_addresses_and_counts_the_others() {
        let target = |n: u16| Target::Tcp(([127, 0, 0, 1], n).into());
        let refused = || Some(io::Error::from(io::ErrorKind::ConnectionRefused));
        let causes = vec![(target(1), refused()), (target(2), None)];
        let lost = AllFailed { causes, is_late: true, untold: 3 };
        let text = "127.0.0.1:1: connection refused; 127.0.0.1:2: no answer; and 3 more";
        assert_eq!(lost.to_string(), text);
        let nobody = AllFailed { causes: Vec::new(), is_late: false, untold: 0 };
        assert_eq!(nobody.to_string(), "there is no address");
        let causes = vec![(Target::UnixAbstract("etcd".to_owned()), refused())];
        let lost = AllFailed { causes, is_late: false, untold: 0 };
        assert_eq!(lost.to_string(), "@etcd: connection refused");
    }

    #[test]
    fn a_failure_is_that_of_all_addresses() {
        use io::ErrorKind::{ConnectionRefused, NotFound, Unsupported};
        let of = |is_late, causes: &[(&Target, io::ErrorKind)]| {
            let cause = |(target, kind): &(&Target, io::ErrorKind)| {
                (Target::clone(target), Some(io::Error::from(*kind)))
            };
            AllFailed { causes: causes.iter().map(cause).collect(), is_late, untold: 0 }.failure()
        };
        let (tcp, unix) = (&Target::Tcp(at("127.0.0.1:1")), &Target::Unix("/run/a".into()));
        let named = &Target::UnixAbstract("a".to_owned());
        assert_eq!(of(false, &[(unix, NotFound)]), ConnectFailure::NoSocket);
        assert_eq!(of(false, &[(unix, ConnectionRefused)]), ConnectFailure::Refused);
        assert_eq!(of(false, &[(named, ConnectionRefused)]), ConnectFailure::Refused);
        assert_eq!(of(false, &[(named, Unsupported)]), ConnectFailure::Unsupported);
        let mixed = [(tcp, Unsupported), (tcp, ConnectionRefused)];
        assert_eq!(of(false, &mixed), ConnectFailure::Refused);
        assert_eq!(of(true, &[(tcp, ConnectionRefused)]), ConnectFailure::NoAnswer);
        assert_eq!(of(false, &[]), ConnectFailure::Refused, "there was nothing to try");
    }
}
