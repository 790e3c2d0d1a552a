//! What is measured of a client, and how: the same for every client.
//!
//! A client implements [`Client`], a runtime [`Executor`]; a program is then one line, [`main`]. It
//! does exactly as many operations as it is told, writes one line of JSON, and ends: what it costs
//! in instructions and system calls is told by the difference of two such runs.
//!
//! Allocations are counted where the program installs the allocator of `stats_alloc`, in a program
//! of its own, so that counting them does not disturb the rest.
#![forbid(unsafe_code)]

mod args;
mod calls;
mod client;
mod coalesced;
mod executor;
mod leases;
mod meter;
mod run;
mod timed;

pub use args::{Args, Work};
pub use client::{Client, Error, NoSuchWork, Result};
pub use coalesced::Coalesced;
pub use executor::{Executor, TokioCurrent, TokioMulti};
pub use leases::SLOTS;
pub use meter::{Measured, Meter};
pub use run::main;
