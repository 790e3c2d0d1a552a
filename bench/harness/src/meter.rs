//! What is measured of the process: processor time, allocations, memory.

use rustix::time::{ClockId, clock_gettime};
use stats_alloc::INSTRUMENTED_SYSTEM;
use std::time::{Duration, Instant};

/// The state of the process when a measurement began.
#[derive(Debug)]
pub struct Meter {
    begin: Instant,
    cpu: Duration,
    memory: u64,
    allocations: usize,
    bytes: usize,
    freed: usize,
}

/// What was used since then.
#[derive(Debug, Clone, Copy, Default)]
pub struct Measured {
    /// The time that passed.
    pub wall: Duration,
    /// The processor time of the process, in user space and in the system.
    pub cpu: Duration,
    /// The growth of the resident memory, in bytes.
    pub memory: u64,
    /// The number of allocations and reallocations; zero where nobody counts.
    pub allocations: usize,
    /// The number of bytes that were allocated.
    pub bytes: usize,
    /// The number of those bytes that were not freed.
    pub held: usize,
}

impl Meter {
    /// Begins a measurement.
    pub fn start() -> Self {
        let stats = INSTRUMENTED_SYSTEM.stats();
        Self {
            memory: resident(),
            allocations: stats.allocations + stats.reallocations,
            bytes: stats.bytes_allocated,
            freed: stats.bytes_deallocated,
            begin: Instant::now(),
            cpu: cpu(),
        }
    }

    /// Tells what was used since the beginning.
    pub fn stop(&self) -> Measured {
        let (cpu, wall) = (cpu().saturating_sub(self.cpu), self.begin.elapsed());
        let stats = INSTRUMENTED_SYSTEM.stats();
        let bytes = stats.bytes_allocated - self.bytes;
        Measured {
            wall,
            cpu,
            memory: resident().saturating_sub(self.memory),
            allocations: stats.allocations + stats.reallocations - self.allocations,
            bytes,
            held: bytes.saturating_sub(stats.bytes_deallocated - self.freed),
        }
    }
}

/// Tells the processor time of the process.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Tells the resident memory of the process, zero where the system does not.
fn resident() -> u64 {
    let Ok(text) = std::fs::read_to_string("/proc/self/status") else { return 0 };
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}
