//! The `Channel` machine: when it dials and pings, whom it picks, what it says is broken.

mod dials;
mod freshness;
mod goaway;
mod laws;
mod list;
mod liveness;
mod rig;
mod streams;
mod suspects;
mod unconfirmed;
