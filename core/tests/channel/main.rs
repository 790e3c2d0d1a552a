//! The `Channel` machine: when it dials and pings, whom it picks, what it says is broken.

mod dials;
mod doubts;
mod freshness;
mod goodbyes;
mod laws;
mod list;
mod liveness;
mod rig;
mod streams;
mod suspects;
