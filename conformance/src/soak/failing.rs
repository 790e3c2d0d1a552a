//! A server that accepts and closes at once, and callers that wait for it.

use crate::load::{BlockingRuntime, Error, Table, spawn};
use etcd3::{Client, Config};
use futures_lite::future::block_on;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The bounds of the time that this takes, whatever the length of the soak.
const SHORTEST: Duration = Duration::from_secs(15);
const LONGEST: Duration = Duration::from_secs(60);

/// Callers that wait at the same time.
const CALLERS: usize = 8;

/// The most connects to one endpoint within any [`WINDOW`].
const MAX_CONNECTS: usize = 10;
const WINDOW: Duration = Duration::from_secs(10);

/// The most CPU time of this whole process, in percent of a core.
const MAX_CPU: f64 = 5.0;

/// Lets callers wait for a server that always fails; tells whether all limits held.
pub(super) fn run(runtime: &BlockingRuntime, time: Duration) -> Result<bool, Error> {
    let time = time.clamp(SHORTEST, LONGEST);
    let server = Slammer::start()?;
    let config = Config::new([format!("http://{}", server.addr)]);
    let client = Client::connect_lazy_on(Arc::clone(&runtime.rt), config)?;
    let (begin, before) = (Instant::now(), cpu_time()?);
    let tasks: Vec<_> = (0..CALLERS)
        .map(|_| {
            let client = client.clone();
            spawn(&runtime.rt, async move {
                let mut answered = 0;
                while begin.elapsed() < time {
                    // The last call ends by its own timeout or by that of the run.
                    let left = time.saturating_sub(begin.elapsed());
                    answered += usize::from(client.get("a").timeout(left).await.is_ok());
                }
                answered
            })
        })
        .collect();
    let answered: usize = tasks.into_iter().map(block_on).sum();
    let (elapsed, after) = (begin.elapsed(), cpu_time()?);
    let connects = server.stop();
    let most = most_within(&connects, WINDOW);
    let cpu = 100.0 * after.saturating_sub(before).as_secs_f64() / elapsed.as_secs_f64();
    let held = answered == 0 && most <= MAX_CONNECTS && cpu < MAX_CPU && !connects.is_empty();
    let mut table = Table::new(["server", "callers", "time", "connects", "in 10 s", "CPU", ""]);
    table.row([
        "always closes".to_owned(),
        CALLERS.to_string(),
        format!("{:.0} s", elapsed.as_secs_f64()),
        connects.len().to_string(),
        format!("{most} at most"),
        format!("{cpu:.1} %"),
        if held { "ok" } else { "BROKEN" }.to_owned(),
    ]);
    print!("{table}");
    if !held {
        println!(
            "BROKEN always-failing server: {MAX_CONNECTS} connects in {WINDOW:?} and {MAX_CPU} % \
             of a core allowed, {answered} calls answered"
        );
    }
    Ok(held)
}

/// A server that closes every connection at once.
struct Slammer {
    addr: SocketAddr,
    ended: Arc<AtomicBool>,
    connects: Arc<Mutex<Vec<Instant>>>,
    thread: JoinHandle<()>,
}

impl Slammer {
    fn start() -> Result<Self, Error> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let addr = listener.local_addr()?;
        let (ended, connects) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let (until, seen) = (Arc::clone(&ended), Arc::clone(&connects));
        let seen: Arc<Mutex<Vec<Instant>>> = seen;
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if until.load(Ordering::SeqCst) {
                    return;
                }
                if stream.is_ok() {
                    seen.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
                }
            }
        });
        Ok(Self { addr, ended, connects, thread })
    }

    /// Ends the server and tells when it was connected to.
    fn stop(self) -> Vec<Instant> {
        self.ended.store(true, Ordering::SeqCst);
        // Makes the blocked accept return; it fails when nothing blocks any more.
        let _ = TcpStream::connect(self.addr);
        let _ = self.thread.join();
        std::mem::take(&mut *self.connects.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Returns the most moments within any window of that length.
fn most_within(moments: &[Instant], window: Duration) -> usize {
    let from = |(index, begin): (usize, &Instant)| {
        moments[index..].iter().take_while(|moment| **moment - *begin < window).count()
    };
    moments.iter().enumerate().map(from).max().unwrap_or_default()
}

/// Returns the CPU time of this process so far, in user and kernel mode.
fn cpu_time() -> Result<Duration, Error> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The command in parentheses may itself contain spaces; utime and stime are fields 14 and 15.
    let (_, rest) = stat.rsplit_once(')').ok_or("no /proc/self/stat")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|it| it.parse::<u32>().ok());
    let ticks = ticks(11).zip(ticks(12)).ok_or("no times in /proc/self/stat")?;
    let asked = Command::new("getconf").arg("CLK_TCK").output()?;
    let rate: u32 = String::from_utf8_lossy(&asked.stdout).trim().parse()?;
    Ok(Duration::from_secs_f64(f64::from(ticks.0 + ticks.1) / f64::from(rate)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fullest_window_counts() {
        let zero = Instant::now();
        let moments = [0, 5, 9, 11, 30].map(|second| zero + Duration::from_secs(second));
        assert_eq!(most_within(&moments, WINDOW), 3);
        assert_eq!(most_within(&[], WINDOW), 0);
    }

    #[test]
    fn cpu_time_goes_on() {
        let before = cpu_time().expect("Linux");
        assert!(cpu_time().expect("Linux") >= before);
    }
}
