//! What members do for an operator: status, alarms, hashes, downgrades.
//!
//! Each request is for one member: which one is up to whoever makes the call.

// M1–M6

mod defragment;
mod status;

pub use defragment::{Defragment, DefragmentResponse, defragment};
pub use status::{DowngradeInfo, MemberStatus, Status, status};

/// Returns a size or an index that servers tell as a signed number; no server means one below zero.
fn unsigned(number: i64) -> u64 {
    number.try_into().unwrap_or(0)
}
