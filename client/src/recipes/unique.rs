//! Keys of names that nobody else has.
//!
//! Go's `recipe` names them after the nanoseconds of its clock, and so hopes that no two clocks
//! show the same. Here the name is drawn, and the transaction that creates the key makes sure.
//! Whatever the names, their order means nothing: it is that of the revisions.
// X46

use crate::{Bytes, Client, Error, IntoBytes, LeaseId, Outcome, ResponseHeader, key, put};

/// Returns a prefix and a name behind it that differs from all others.
pub(super) fn draw(client: &Client, prefix: &[u8]) -> Bytes {
    let mut key = prefix.to_vec();
    key.extend_from_slice(format!("{:016x}", client.runtime().seed()).as_bytes());
    key.into_bytes()
}

/// What is written into a key, and how long it stays.
#[derive(Debug, Clone)]
pub(super) struct Content {
    pub(super) value: Bytes,
    pub(super) lease: LeaseId,
}

impl Content {
    /// A value that stays until the key is deleted.
    pub(super) const fn lasting(value: Bytes) -> Self {
        Self { value, lease: LeaseId::NONE }
    }
}

/// Creates a key under this prefix; returns it.
///
/// # Errors
///
/// Those of a write. When the outcome is *unknown*, the key was looked for and not found: it was
/// created and deleted since, or not created, or is yet to be.
pub(super) async fn create(
    client: &Client,
    prefix: &[u8],
    content: Content,
) -> Result<Bytes, Error> {
    loop {
        let name = draw(client, prefix);
        if try_create(client, &name, &content).await?.is_some() {
            return Ok(name);
        }
    }
}

/// Creates this key, which nobody else would; `None` if it exists.
async fn try_create(
    client: &Client,
    name: &Bytes,
    content: &Content,
) -> Result<Option<ResponseHeader>, Error> {
    let Content { value, lease } = content.clone();
    let write = put(name.clone(), value).lease(lease);
    let written = client.txn().when([key(name.clone()).missing()]).then([write]).await;
    match written {
        Ok(done) => Ok(done.succeeded.then_some(done.header)),
        Err(error) => settle(client, name, error).await.map(Some),
    }
}

/// Looks for the key that only the call that failed can have created.
pub(super) async fn settle(
    client: &Client,
    name: &Bytes,
    error: Error,
) -> Result<ResponseHeader, Error> {
    if error.outcome() != Outcome::Unknown {
        return Err(error);
    }
    match client.get(name.clone()).keys_only().await {
        Ok(found) if found.count > 0 => Ok(found.header),
        _ => Err(error),
    }
}
