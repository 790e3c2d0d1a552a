//! The check of watches: it passes what is right, and names what is wrong.
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

mod corrupt;
mod golden;
mod known;
mod random;
mod script;
mod store;
