//! The handshake, and what its failures mean.

use super::material::ALPN;
use crate::Config;
use crate::runtime::Io;
use etcd3_core::channel::Broken;
use etcd3_core::endpoint::Endpoint;
use etcd3_core::error::{Cause, ConnectFailure};
use rustls::{AlertDescription, Error};
use std::io;
use tokio_rustls::TlsConnector;

/// Makes a plain stream a secure one, to the server that the endpoint means.
pub(crate) async fn handshake(
    config: &Config,
    endpoint: &Endpoint,
    io: Box<dyn Io>,
) -> Result<Box<dyn Io>, Broken> {
    let unusable = |cause| broken(ConnectFailure::TlsConfig, cause);
    let tls = config.tls.as_ref().ok_or_else(|| unusable(Cause::new("TLS is not configured")))?;
    let name = tls.name_of(endpoint).map_err(unusable)?;
    let connector = TlsConnector::from(tls.load().map_err(unusable)?);
    let stream = connector.connect(name, io).await.map_err(in_handshake)?;
    match stream.get_ref().1.alpn_protocol() {
        Some(ALPN) => Ok(Box::new(stream)),
        _ => Err(not_http2(Cause::new("the server chose no protocol (ALPN)"))),
    }
}

/// Why a secure stream failed before the server had said anything over it. In TLS 1.3 a server
/// looks at the certificate of its client only after the handshake.
pub(crate) fn failed(error: io::Error) -> Broken {
    explain(error, "the server hung up after the handshake; does it want a client certificate?")
}

fn in_handshake(error: io::Error) -> Broken {
    explain(error, "the server hung up in the handshake; does it speak TLS?")
}

/// Names the error of rustls, if it is one, and what the end of the stream may mean.
fn explain(error: io::Error, hung_up: &str) -> Broken {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    match error.downcast::<Error>() {
        Ok(error) if is_about_alpn(&error) => not_http2(Cause::new(error)),
        Ok(error) => broken(ConnectFailure::Tls, Cause::new(error)),
        Err(error) => {
            let ended = matches!(
                error.kind(),
                BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof
            );
            let cause = if ended {
                Cause::new(io::Error::new(error.kind(), format!("{hung_up} ({error})")))
            } else {
                Cause::new(error)
            };
            broken(ConnectFailure::Tls, cause)
        }
    }
}

fn is_about_alpn(error: &Error) -> bool {
    matches!(
        error,
        Error::NoApplicationProtocol
            | Error::AlertReceived(AlertDescription::NoApplicationProtocol)
    )
}

fn not_http2(cause: Cause) -> Broken {
    broken(ConnectFailure::NotHttp2OverTls, cause)
}

fn broken(failure: ConnectFailure, cause: Cause) -> Broken {
    Broken { failure, cause: Some(cause) }
}
