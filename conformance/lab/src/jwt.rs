//! JSON web tokens, as members make and check them.

use crate::{Error, Result};
use std::path::Path;
use std::time::Duration;

/// The file of the key, in the folder of a member, which is where it runs.
const FILE: &str = "jwt.key";
/// The key that all members of all clusters share.
const KEY: &str = "a key that protects nothing but tests";

/// Writes the key of a member, and returns the value of its flag `--auth-token`. HMAC takes any
/// bytes for a key, in every version.
pub(crate) fn flag(ttl: Duration, dir: &Path) -> Result<String> {
    std::fs::write(dir.join(FILE), KEY).map_err(Error::doing("no key of tokens"))?;
    Ok(format!("jwt,sign-method=HS256,priv-key={FILE},ttl={}ms", ttl.as_millis()))
}
