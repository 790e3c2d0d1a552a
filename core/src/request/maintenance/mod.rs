//! What members do for an operator: status, alarms, hashes, downgrades.
//!
//! Each request is for one member: which one is up to whoever makes the call.

// M1–M6

mod alarm;
mod defragment;
mod downgrade;
mod hash;
mod health;
mod leader;
mod status;
#[cfg(test)]
mod tests;

pub use alarm::{Alarm, AlarmKind, Alarms, AlarmsResponse, alarms, arm, disarm};
pub use defragment::{Defragment, DefragmentResponse, defragment};
pub use downgrade::{
    Downgrade, DowngradeResponse, cancel_downgrade, enable_downgrade, validate_downgrade,
};
pub use hash::{Hash, HashKv, HashKvResponse, HashResponse, hash, hash_kv};
pub use health::{HealthCheck, Serving, health_check, health_watch, served};
pub use leader::{MoveLeader, MoveLeaderResponse, move_leader};
pub use status::{DowngradeInfo, MemberStatus, Status, status};

/// Returns a size or an index that servers tell as a signed number; no server means one below zero.
fn unsigned(number: i64) -> u64 {
    number.try_into().unwrap_or(0)
}
