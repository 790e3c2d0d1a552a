//! The request for a token, with all copies of the password wiped that are made here.

// I-A5

use crate::error::Error;
use crate::frame;
use crate::namespace::KeyPrefix;
use crate::proto::etcdserverpb::{AuthenticateRequest, AuthenticateResponse};
use crate::request::{Limits, Operation};
use crate::rpc::Rpc;
use crate::{Secret, method};
use bytes::Bytes;
use prost::Message;

/// A login: a name and a password for a token.
#[derive(Debug, Clone)]
pub struct Login {
    name: String,
    password: Secret,
}

impl Login {
    /// Makes the login of this user.
    #[must_use]
    pub fn new(name: impl Into<String>, password: impl Into<Secret>) -> Self {
        Self { name: name.into(), password: password.into() }
    }
}

impl Operation for Login {
    type Response = Secret;

    fn rpc(&self) -> Rpc {
        Rpc::new(&method::AUTHENTICATE)
    }

    fn encode(&mut self, limits: &Limits, _: Option<&KeyPrefix>) -> Result<Bytes, Error> {
        let (name, password) = (self.name.clone(), self.password.expose().to_owned());
        let mut request = AuthenticateRequest { name, password };
        let encoded = frame::encode_secret(&request, limits.max_request_bytes);
        // To be wiped.
        let _copy = Secret::new(std::mem::take(&mut request.password));
        encoded.map_err(Error::request_too_large)
    }

    fn decode(self, message: Bytes, _: Option<&KeyPrefix>) -> Result<Secret, Error> {
        let answer = AuthenticateResponse::decode(message).map_err(Error::protocol)?;
        if answer.token.is_empty() {
            return Err(Error::protocol("the server gave no token"));
        }
        Ok(Secret::new(answer.token))
    }
}
