//! The machine `Auth`: which token is sent, and when another one is asked for.
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

mod laws;
mod logins;
mod refusals;
mod renewal;
mod rig;
