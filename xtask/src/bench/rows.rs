//! What is measured, and what must be seen.

use super::programs::Job;

/// A job with its targets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub(crate) job: Job,
    pub(crate) limits: RowLimits,
    /// Whether a quick bench has it.
    pub(crate) quick: bool,
}

/// The limits of a job, as multiples of what others need for it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowLimits {
    /// The limit of the instructions, as a multiple of the floor's.
    pub(crate) floor: f64,
    /// The limit of the processor time, as a multiple of etcd-client's.
    pub(crate) peer: f64,
    /// The limit of the processor time, as a multiple of that of Go's client.
    pub(crate) go: f64,
}

const fn limits(floor: f64, peer: f64, go: f64) -> RowLimits {
    RowLimits { floor, peer, go }
}

const fn row(work: &'static str, size: u64, callers: u64, limits: RowLimits) -> Row {
    Row { job: job(work, size, callers), limits, quick: false }
}

const fn job(work: &'static str, size: u64, callers: u64) -> Job {
    // Long enough that it does not matter when the second endpoint is dialled, and how fast the
    // windows of TCP grow.
    let ops = match (size, callers) {
        (65_536, _) => 6000,
        (_, 1) => 12_000,
        (_, 16) => 30_000,
        _ => 61_440,
    };
    Job { work, size, callers, ops }
}

const fn quick(row: Row) -> Row {
    Row { quick: true, ..row }
}

/// The rows for tokio on one thread.
pub(crate) const ROWS: &[Row] = &[
    quick(row("put", 256, 1, limits(1.15, 0.70, 0.65))),
    row("get", 256, 1, limits(1.15, 0.70, 0.65)),
    quick(row("put", 256, 16, limits(1.20, 0.50, 0.50))),
    quick(row("put", 256, 256, limits(1.20, 0.40, 0.28))),
    row("put", 256, 1024, limits(1.20, 0.40, 0.28)),
    row("put", 1024, 256, limits(1.20, 0.40, 0.18)),
    row("put", 4096, 256, limits(1.20, 0.40, 0.18)),
    row("put", 64, 256, limits(1.20, 0.65, 0.25)),
    quick(row("get", 256, 16, limits(1.20, 0.65, 0.40))),
    row("get", 256, 256, limits(1.20, 0.52, 0.26)),
    row("put", 65_536, 16, limits(1.15, 0.80, 0.45)),
    row("get", 65_536, 16, limits(1.15, 0.80, 0.40)),
    Row {
        job: Job { work: "connect", size: 256, callers: 1, ops: 2000 },
        limits: limits(1.20, 0.90, 0.40),
        quick: false,
    },
];

/// The limits of puts on two threads, as multiples of etcd-client on two threads.
pub(crate) const MULTI: &[(u64, f64)] = &[(1, 0.55), (16, 0.40), (256, 0.30)];

/// The limits of puts on other runtimes, as multiples of this client on tokio.
pub(crate) const ADAPTERS: &[(u64, f64)] = &[(1, 1.35), (16, 1.25), (256, 1.25)];

/// The limits of the system calls of a put on tokio, by callers.
pub(crate) const SYSTEM_CALLS: &[(u64, f64)] = &[(1, 3.05), (16, 0.30), (256, 0.10)];

/// The limits of the floor's own instructions for a put of 256 bytes, by callers.
pub(crate) const FLOOR: &[(u64, f64)] = &[(1, 31_500.0), (16, 28_500.0)];

/// The limits of the allocations of a put or a get, and of their bytes.
pub(crate) const ALLOCATIONS: (f64, f64) = (13.0, 2600.0);

/// The limit of the median latency with a real etcd, as a multiple of the floor's.
pub(crate) const LATENCY: f64 = 1.15;

/// Makes a put or a get of 256 bytes, of a length that fits to the number of callers.
pub(crate) const fn plain(work: &'static str, callers: u64) -> Job {
    job(work, 256, callers)
}

/// Makes a job short enough for callgrind and strace; all callers do the same number of calls.
pub(crate) fn short(job: Job) -> Job {
    let ops = match (job.work, job.size, job.callers) {
        ("connect", ..) => 50,
        (_, 65_536, _) => 160,
        (_, _, callers @ 0..=16) => 1600 / callers.max(1) * callers,
        (_, _, callers) => callers * 2560_u64.div_ceil(callers),
    };
    Job { ops, ..job }
}
