//! Leases.

pub(crate) mod grant;
mod operations;
