//! What a caller may notice of a fault.

use super::fault::{MemberFault, Role};
use std::time::Duration;

/// How long it may take a client to read what has come, on a machine with other work to do.
pub(super) const MOMENT: Duration = Duration::from_millis(100);

/// The limits for one fault. In all of them no read fails, and a write fails only with the outcome
/// *unknown*.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaultLimits {
    /// The longest time between two answers that one reader may see.
    pub gap: Duration,
    /// Until when after the fault a write may be sent that fails, where that is later than the
    /// answer of the surviving majority. Only for writes to the member that was hit.
    pub unnoticed: Duration,
}

impl FaultLimits {
    /// Returns the limits for a fault that hits a member with that role.
    pub fn of(fault: MemberFault, role: Role) -> Self {
        let seconds = Duration::from_secs;
        match (fault, role) {
            // The kernel resets the connections of a dead process. The fault counts from the order
            // to end it, so there is a moment until it is dead and the client has read so.
            (MemberFault::Kill, Role::Follower) => Self { gap: seconds(2), unnoticed: MOMENT },
            (MemberFault::Kill, Role::Leader) => Self { gap: seconds(5), unnoticed: MOMENT },
            // A silent member looks like a slow one until a call has waited there for a while, as
            // the others may answer as ever: what is sent to it meanwhile may be lost. No client
            // can do without such a margin.
            (MemberFault::Stop | MemberFault::Partition, _) => {
                Self { gap: seconds(12), unnoticed: seconds(1) }
            }
        }
    }
}
