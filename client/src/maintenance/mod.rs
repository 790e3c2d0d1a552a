//! The operations on maintenance: status, alarms, snapshots and what else members do for an operator.

use crate::Client;

/// The operations on maintenance: status, alarms, snapshots and what else members do for an operator; see [`Client::maintenance`].
///
/// A handle of the client, cheap to make and to clone.
#[derive(Debug, Clone)]
pub struct Maintenance {
    pub(crate) client: Client,
}

impl Client {
    /// Returns the operations on maintenance: status, alarms, snapshots and what else members do for an operator.
    #[must_use]
    pub fn maintenance(&self) -> Maintenance {
        Maintenance { client: self.clone() }
    }
}
