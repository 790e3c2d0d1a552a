//! The operations on authentication: users, roles, and the switch.

use crate::Client;

/// The operations on authentication: users, roles, and the switch; see [`Client::auth`].
///
/// A handle of the client, cheap to make and to clone.
#[derive(Debug, Clone)]
pub struct Auth {
    #[expect(dead_code, reason = "its operations follow")]
    client: Client,
}

impl Client {
    /// Returns the operations on authentication: users, roles, and the switch.
    #[must_use]
    pub fn auth(&self) -> Auth {
        Auth { client: self.clone() }
    }
}
