//! The handshake, and what its failures mean.

use super::TlsConfig;
use super::material::ALPN;
use super::stream::TlsIo;
use super::words;
use crate::runtime::Io;
use etcd3_core::channel::ConnectionError;
use etcd3_core::endpoint::Endpoint;
use etcd3_core::error::{Cause, ConnectFailure};
use rustls::{AlertDescription, Error};
use std::io;
use tokio_rustls::TlsConnector;

/// Makes a plain stream a secure one, to the server that the endpoint means.
pub(crate) async fn handshake(
    tls: Option<&TlsConfig>,
    endpoint: &Endpoint,
    io: Box<dyn Io>,
) -> Result<Box<dyn Io>, ConnectionError> {
    let unusable = |cause| connection_error(ConnectFailure::TlsConfig, cause);
    let configured = tls.ok_or_else(|| unusable(Cause::new("TLS is not configured")))?;
    let name = configured.name_of(endpoint).map_err(unusable)?;
    let connector = TlsConnector::from(configured.load().map_err(unusable)?);
    let stream = connector.connect(name, io).await.map_err(|error| in_handshake(tls, error))?;
    match stream.get_ref().1.alpn_protocol() {
        Some(ALPN) => Ok(Box::new(TlsIo(stream))),
        _ => Err(not_http2(Cause::new("the server chose no protocol (ALPN)"))),
    }
}

/// Returns why a secure stream failed before the server had said anything over it. In TLS 1.3 a
/// server looks at the certificate of its client only after the handshake.
pub(crate) fn failed(tls: Option<&TlsConfig>, error: io::Error) -> ConnectionError {
    let hung_up = "the server hung up after the handshake; does it want a client certificate?";
    explain(tls, error, hung_up)
}

fn in_handshake(tls: Option<&TlsConfig>, error: io::Error) -> ConnectionError {
    explain(tls, error, "the server hung up in the handshake; does it speak TLS?")
}

/// Says what an error of rustls means, if it is one, or else what the end of the stream may mean.
fn explain(tls: Option<&TlsConfig>, error: io::Error, hung_up: &str) -> ConnectionError {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    match error.downcast::<Error>() {
        Ok(error) if is_about_alpn(&error) => not_http2(Cause::new(error)),
        Ok(error) => {
            let shows_certificate = tls.is_some_and(TlsConfig::has_identity);
            connection_error(ConnectFailure::Tls, words::of_handshake(error, shows_certificate))
        }
        Err(error) => {
            let ended = matches!(
                error.kind(),
                BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof
            );
            // What the system says is worth telling.
            let cause = match error.raw_os_error() {
                _ if !ended => Cause::new(error),
                Some(_) => Cause::new(io::Error::new(error.kind(), format!("{hung_up} ({error})"))),
                None => Cause::new(io::Error::new(error.kind(), hung_up)),
            };
            connection_error(ConnectFailure::Tls, cause)
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

fn not_http2(cause: Cause) -> ConnectionError {
    connection_error(ConnectFailure::NotHttp2OverTls, cause)
}

fn connection_error(failure: ConnectFailure, cause: Cause) -> ConnectionError {
    ConnectionError { failure, cause: Some(cause) }
}
