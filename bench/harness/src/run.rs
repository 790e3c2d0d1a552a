//! One run: its callers, and the line that it writes.

use crate::calls::{expect, join, one, subject, value_key};
use crate::leases::keep_alives;
use crate::timed::timed;
use crate::{Args, Client, Executor, Measured, Meter, NoSuchWork, Result, Work};
use bytes::Bytes;
use rustix::thread::{CpuSet, sched_setaffinity};
use std::fmt::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Runs what the arguments ask for, and writes what it cost.
pub fn main<C: Client, H: Executor>() -> ExitCode {
    match Args::parse(std::env::args().skip(1)).and_then(|args| line::<C, H>(&args)) {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn line<C: Client, H: Executor>(args: &Args) -> Result<String> {
    if let Some(core) = args.core {
        let mut cores = CpuSet::new();
        cores.set(core);
        // Before the runtime starts its threads, which inherit it.
        sched_setaffinity(None, &cores)?;
    }
    let begin = head(args);
    if let Some(seconds) = args.seconds {
        let told = H::block_on(timed::<C, H>(args, Duration::from_secs(seconds)))?;
        return Ok(format!("{{{begin},{told}}}"));
    }
    match H::block_on(measure::<C, H>(args)) {
        Ok(figures) => Ok(format!("{{{begin},{figures}}}")),
        Err(error) if error.is::<NoSuchWork>() => Ok(format!("{{{begin},\"none\":true}}")),
        Err(error) => Err(error),
    }
}

fn head(args: &Args) -> String {
    let Args { work, size, callers, ops, .. } = args;
    let work = work.name();
    format!("\"work\":\"{work}\",\"size\":{size},\"callers\":{callers},\"ops\":{ops}")
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
pub(crate) fn figures(ops: u64, measured: Measured, mut latencies: Vec<u64>) -> String {
    let ops = ops.max(1) as f64;
    let Measured { wall, cpu, memory, allocations, bytes, .. } = measured;
    let mut text = format!(
        "\"cpu_ns_per_op\":{:.1},\"wall_ns\":{},\"memory_per_op\":{:.1}",
        cpu.as_nanos() as f64 / ops,
        wall.as_nanos(),
        memory as f64 / ops
    );
    if !latencies.is_empty() {
        latencies.sort_unstable();
        let at = |percent: usize| latencies[(latencies.len() - 1) * percent / 100];
        let _ = write!(text, ",\"p50_ns\":{},\"p99_ns\":{}", at(50), at(99));
    }
    if allocations > 0 {
        let (allocations, bytes) = (allocations as f64 / ops, bytes as f64 / ops);
        let _ =
            write!(text, ",\"allocations_per_op\":{allocations:.3},\"bytes_per_op\":{bytes:.1}");
    }
    text
}

/// Does the work, and tells what it cost.
async fn measure<C: Client, H: Executor>(args: &Args) -> Result<String> {
    let mut client = C::connect(&args.endpoints).await?;
    // One call for good measure: what is made at the first one is part of no measurement.
    client.get(value_key(256)).await?;
    if matches!(args.work, Work::KeepAlives | Work::KeepAlivesAtOnce) {
        return keep_alives(&mut client, args).await;
    }
    let (measured, latencies) = measure_ops::<C, H>(client, args).await?;
    Ok(figures(args.ops, measured, latencies))
}

/// Does exactly as many operations as are asked for; returns what they cost, and their latencies in
/// nanoseconds.
async fn measure_ops<C: Client, H: Executor>(
    mut client: C,
    args: &Args,
) -> Result<(Measured, Vec<u64>)> {
    match args.work {
        Work::Put | Work::Get | Work::Connect => {
            callers::<C, H>(&client, args, args.warm_up).await?;
            let meter = Meter::start();
            let latencies = callers::<C, H>(&client, args, args.ops).await?;
            Ok((meter.stop(), latencies))
        }
        Work::Pages => {
            let meter = Meter::start();
            for _ in 0..args.ops {
                pages(&mut client, args.size).await?;
            }
            Ok((meter.stop(), Vec::new()))
        }
        Work::Flood => {
            let meter = Meter::start();
            client.flood(flood_key(args), args.ops).await?;
            Ok((meter.stop(), Vec::new()))
        }
        Work::Watchers => {
            let (meter, mut measured) = (Meter::start(), Measured::default());
            client.watchers(args.ops, || measured = meter.stop()).await?;
            Ok((measured, Vec::new()))
        }
        Work::WatchersNow => {
            let (meter, mut measured) = (Meter::start(), Measured::default());
            client.watchers_now(args.ops, || measured = meter.stop()).await?;
            Ok((measured, Vec::new()))
        }
        Work::WatchersAgain => {
            let mut meter = None;
            client.watchers_again(args.ops, || meter = Some(Meter::start())).await?;
            Ok((meter.ok_or("nothing was cut")?.stop(), Vec::new()))
        }
        Work::KeepAlives | Work::KeepAlivesAtOnce => Err(NoSuchWork.into()),
    }
}

/// Lets the callers do so many operations together.
async fn callers<C: Client, H: Executor>(client: &C, args: &Args, ops: u64) -> Result<Vec<u64>> {
    let count = args.callers as u64;
    let (share, rest) = (ops / count, ops % count);
    let mut tasks = Vec::with_capacity(args.callers);
    for number in 0..count {
        let (client, args) = (client.clone(), args.clone());
        let ops = share + u64::from(number < rest);
        tasks.push(H::spawn(async move { caller(client, &args, number, ops).await }));
    }
    let mut latencies = Vec::new();
    for result in join(tasks).await {
        latencies.append(&mut result?);
    }
    Ok(latencies)
}

async fn caller<C: Client>(mut client: C, args: &Args, number: u64, ops: u64) -> Result<Vec<u64>> {
    let (key, value) = subject(args, number);
    let noted = if args.latency { usize::try_from(ops)? } else { 0 };
    let mut latencies = Vec::with_capacity(noted);
    for _ in 0..ops {
        let begin = args.latency.then(Instant::now);
        one(&mut client, args, &key, &value).await?;
        if let Some(begin) = begin {
            latencies.push(u64::try_from(begin.elapsed().as_nanos())?);
        }
    }
    Ok(latencies)
}

async fn pages<C: Client>(client: &mut C, keys: usize) -> Result<()> {
    let (begin, end) = (format!("n{keys}/"), format!("n{keys}0"));
    let found = client.pages(begin.into(), end.into()).await?;
    expect(keys, usize::try_from(found)?)
}

/// Names a key that has so many events, 100 in each response.
fn flood_key(args: &Args) -> Bytes {
    format!("flood/{}/{}", args.ops.div_ceil(100), args.size).into()
}
