//! How long it takes to read many keys, page by page and at once: `cargo xtask pages`.
//!
//! A server counts what is left of a range for every page that is read by itself, so that the time
//! of many small ones grows with the square of the number of keys; where it has `RangeStream`, all
//! pages but the first come by one call. Only ratios are judged, and of them those of the way that
//! `Client::pages` goes by itself.

use crate::load::{BlockingRuntime, Error, Table};
use etcd3::{Client, Config, Pages, prefix};
use etcd3_lab::Server;
use etcd3_lab::etcd::{Binary, Version};
use std::time::{Duration, Instant};

/// How many keys are read.
const COUNTS: [u32; 3] = [10_000, 100_000, 1_000_000];
/// The length of a value, in bytes.
const VALUE: usize = 64;
/// The keys of one transaction that writes.
const BATCH: u32 = 1_000;
/// The largest exponent with which the time may grow from the fewest keys to the most.
const MAX_EXPONENT: f64 = 1.25;
/// How many times as long as one get of everything the pages of the most keys may take.
const MAX_RATIO: f64 = 1.5;
/// The most bytes of keys and values that a page may have: a quarter of the largest response.
const MAX_PAGE: usize = 16 << 20;
/// How often each reading is made; the quickest counts, and the slowest is shown beside it.
const ROUNDS: usize = 5;
/// The page size that is compared with, in keys.
const FIXED: u64 = 1_000;
/// Bounds a reading.
const LIMIT: Duration = Duration::from_secs(600);
/// The largest response where everything comes at once.
const MAX_RESPONSE: usize = 512 << 20;

/// One way to read everything.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// As `Client::pages` does by itself.
    Pages,
    /// Each page by itself, where there is another way.
    Separate,
    Fixed,
    AtOnce,
}

/// The first version that has another way than pages that are read by themselves.
const STREAMS_SINCE: Version = Version::minor(3, 7);

/// What a reading took, and brought.
#[derive(Debug, Clone, Copy, Default)]
struct Reading {
    seconds: f64,
    keys: usize,
    pages: usize,
    /// The bytes of keys and values of the largest page.
    largest: usize,
}

/// Runs it on one runtime and prints the table; tells whether all limits held. With `fixed` pages
/// of 1,000 keys are read, too.
///
/// # Errors
///
/// When the server fails, or a reading does not bring every key once.
pub fn run(runtime: &BlockingRuntime, etcd: &Binary, fixed: bool) -> Result<bool, Error> {
    println!("pages on {} against etcd {}, values of {VALUE} bytes", runtime.name, etcd.version);
    let most = BATCH.to_string();
    let server = Server::builder().version(etcd).flag("--max-txn-ops", &most).start()?;
    let config = Config::new([server.client_url()]);
    let config = config.request_timeout(LIMIT).max_txn_ops(BATCH as usize);
    let client = runtime.connect_with(config.clone())?;
    let whole = runtime.connect_with(config.max_response_bytes(MAX_RESPONSE))?;
    let head = ["keys", "pages", "in", "largest", "separate", "in", "of 1,000", "one get"];
    let mut table = Table::new(head);
    let (mut written, mut seen) = (0, Vec::new());
    let is_streamed = etcd.version >= STREAMS_SINCE;
    for count in COUNTS {
        fill(runtime, &client, written..count)?;
        written = count;
        let ways = [Some(Way::Pages), is_streamed.then_some(Way::Separate), Some(Way::AtOnce)];
        let [pages, separate, at_once] =
            by_turns(runtime, [&client, &client, &whole], ways, count)?;
        let thousands = fixed.then(|| read(runtime, &client, Way::Fixed, count)).transpose()?;
        let or_none = |seen: bool, text: String| if seen { text } else { "-".to_owned() };
        table.row([
            count.to_string(),
            pages.best.pages.to_string(),
            pages.seconds(),
            format!("{:.1} MiB", mebibytes(pages.best.largest)),
            or_none(is_streamed, separate.best.pages.to_string()),
            or_none(is_streamed, separate.seconds()),
            thousands.map_or_else(|| "-".to_owned(), |it| seconds(it.seconds)),
            at_once.seconds(),
        ]);
        seen.push((count, pages.best, at_once.best));
    }
    print!("{table}");
    Ok(holds(&seen))
}

/// Prints the ratios, and tells whether they are within their limits.
fn holds(seen: &[(u32, Reading, Reading)]) -> bool {
    let [(fewest, first, _), .., (most, last, at_once)] = seen else { return false };
    let growth = f64::from(*most) / f64::from(*fewest);
    let exponent = (last.seconds / first.seconds).ln() / growth.ln();
    let ratio = last.seconds / at_once.seconds;
    println!(
        "exponent {exponent:.2} from {fewest} to {most} keys, {MAX_EXPONENT} allowed; {ratio:.2} \
         times as long as one get of everything, {MAX_RATIO} allowed"
    );
    let largest = seen.iter().map(|(_, pages, _)| pages.largest).max().unwrap_or_default();
    println!("largest page {:.1} MiB, {:.1} allowed\n", mebibytes(largest), mebibytes(MAX_PAGE));
    exponent <= MAX_EXPONENT && ratio <= MAX_RATIO && largest <= MAX_PAGE
}

/// Writes the keys with these numbers.
fn fill(
    runtime: &BlockingRuntime,
    client: &Client,
    numbers: std::ops::Range<u32>,
) -> Result<(), Error> {
    let client = client.clone();
    runtime.run(async move {
        let value = [b'v'; VALUE];
        for begin in numbers.clone().step_by(BATCH as usize) {
            let batch = begin..(begin + BATCH).min(numbers.end);
            let puts = batch.map(|n| etcd3::put(format!("page/{n:08}"), &value[..]));
            client.txn().then(puts).await?;
        }
        Ok(())
    })
}

/// The readings of one way.
#[derive(Debug, Clone, Copy, Default)]
struct Readings {
    /// The quickest.
    best: Reading,
    /// What the slowest took, in seconds.
    slowest: f64,
}

impl Readings {
    fn add(&mut self, reading: Reading) {
        if self.slowest == 0.0 || reading.seconds < self.best.seconds {
            self.best = reading;
        }
        self.slowest = self.slowest.max(reading.seconds);
    }

    fn seconds(&self) -> String {
        format!("{:.3}-{:.3} s", self.best.seconds, self.slowest)
    }
}

/// Reads in all ways by turns, so that what else the machine does meets all of them.
fn by_turns<const N: usize>(
    runtime: &BlockingRuntime,
    clients: [&Client; N],
    ways: [Option<Way>; N],
    count: u32,
) -> Result<[Readings; N], Error> {
    let mut readings = [Readings::default(); N];
    for _ in 0..ROUNDS {
        for ((readings, client), way) in readings.iter_mut().zip(clients).zip(ways) {
            if let Some(way) = way {
                readings.add(read(runtime, client, way, count)?);
            }
        }
    }
    Ok(readings)
}

/// Reads everything, and checks that all of it came.
fn read(
    runtime: &BlockingRuntime,
    client: &Client,
    way: Way,
    count: u32,
) -> Result<Reading, Error> {
    let client = client.clone();
    let begin = Instant::now();
    let mut reading = runtime.run(async move {
        let pages = client.pages(prefix("page/"));
        match way {
            Way::Pages => all_pages(pages).await,
            Way::Separate => all_pages(pages.separate()).await,
            Way::Fixed => all_pages(pages.page_size(FIXED)).await,
            Way::AtOnce => {
                let keys = client.get(prefix("page/")).await?.kvs.len();
                Ok(Reading { keys, ..Reading::default() })
            }
        }
    })?;
    reading.seconds = begin.elapsed().as_secs_f64();
    if reading.keys != count as usize {
        return Err(format!("{way:?} brought {} of {count} keys", reading.keys).into());
    }
    Ok(reading)
}

async fn all_pages(mut pages: Pages) -> Result<Reading, Error> {
    let mut reading = Reading::default();
    while let Some(page) = pages.next().await {
        let page = page?;
        let bytes = page.kvs.iter().map(|kv| kv.key.len() + kv.value.len()).sum();
        reading.keys += page.kvs.len();
        reading.pages += 1;
        reading.largest = reading.largest.max(bytes);
    }
    Ok(reading)
}

fn seconds(seconds: f64) -> String {
    format!("{seconds:.3} s")
}

#[expect(clippy::cast_precision_loss, reason = "sizes are small")]
fn mebibytes(bytes: usize) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(last: f64, largest: usize) -> Vec<(u32, Reading, Reading)> {
        let reading = |seconds| Reading { seconds, largest, ..Reading::default() };
        vec![(10_000, reading(0.1), reading(0.1)), (1_000_000, reading(last), reading(10.0))]
    }

    #[test]
    fn growth_ratio_and_size_have_their_limits() {
        assert!(holds(&seen(14.9, MAX_PAGE)));
        assert!(!holds(&seen(15.1, 0)), "longer than one get");
        assert!(!holds(&seen(32.0, 0)), "with the square");
        assert!(!holds(&seen(10.0, MAX_PAGE + 1)));
        assert!(!holds(&[]));
    }
}
