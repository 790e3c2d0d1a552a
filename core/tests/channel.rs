//! The `Channel` machine: when it dials and pings, whom it picks, what it says is broken.

mod channel {
    pub(crate) mod dials;
    pub(crate) mod doubts;
    pub(crate) mod freshness;
    pub(crate) mod goodbyes;
    pub(crate) mod laws;
    pub(crate) mod list;
    pub(crate) mod liveness;
    pub(crate) mod streams;
    pub(crate) mod suspects;
}
#[path = "channel/rig.rs"]
mod rig;
