//! `Debug` for messages with secrets: all fields are shown, secrets as `<redacted>`.
//!
//! An empty secret is shown the same way: whether there is one can be worth hiding, too. Each
//! pattern names all fields, so that a new field does not compile before it is decided here
//! whether it is a secret.

use std::fmt::{Arguments, Debug, Formatter, Result};

use crate::authpb::User;
use crate::etcdserverpb::{
    AuthUserAddRequest, AuthUserChangePasswordRequest, AuthenticateRequest, AuthenticateResponse,
};

/// What stands in the place of a secret.
const REDACTED: Arguments<'static> = format_args!("<redacted>");

impl Debug for User {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let Self { name, password: _, roles, options } = self;
        f.debug_struct("User")
            .field("name", name)
            .field("password", &REDACTED)
            .field("roles", roles)
            .field("options", options)
            .finish()
    }
}

impl Debug for AuthenticateRequest {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let Self { name, password: _ } = self;
        f.debug_struct("AuthenticateRequest")
            .field("name", name)
            .field("password", &REDACTED)
            .finish()
    }
}

impl Debug for AuthenticateResponse {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let Self { header, token: _ } = self;
        f.debug_struct("AuthenticateResponse")
            .field("header", header)
            .field("token", &REDACTED)
            .finish()
    }
}

impl Debug for AuthUserAddRequest {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let Self { name, password: _, options, hashed_password: _ } = self;
        f.debug_struct("AuthUserAddRequest")
            .field("name", name)
            .field("password", &REDACTED)
            .field("options", options)
            .field("hashed_password", &REDACTED)
            .finish()
    }
}

impl Debug for AuthUserChangePasswordRequest {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let Self { name, password: _, hashed_password: _ } = self;
        f.debug_struct("AuthUserChangePasswordRequest")
            .field("name", name)
            .field("password", &REDACTED)
            .field("hashed_password", &REDACTED)
            .finish()
    }
}
