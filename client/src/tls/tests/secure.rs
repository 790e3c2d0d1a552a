//! Handshakes with servers of rustls, over loopback.

use super::*;
use crate::runtime::Compat;
use crate::runtime::Io;
use async_io::Async;
use etcd3_core::channel::ConnectionError;
use futures_lite::future::{block_on, poll_fn};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{IoSlice, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::pin::Pin;
use std::thread::JoinHandle;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const ENDPOINT: &str = "https://a.example:2379";

type Server = StreamOwned<ServerConnection, TcpStream>;

/// What a client gets, and the server's thread.
type Made<T> = (Result<Box<dyn Io>, ConnectionError>, JoinHandle<T>);

fn trusting() -> TlsConfig {
    TlsConfig::new().ca_pem(CERTIFICATE)
}

/// Connects to a server that speaks these protocols, and does this with the client.
fn connect<T: Send + 'static>(
    tls: TlsConfig,
    protocols: &[&[u8]],
    serve: impl FnOnce(Server) -> T + Send + 'static,
) -> Made<T> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider);
    let config = config.with_protocol_versions(&[&rustls::version::TLS13]).unwrap();
    let chain = vec![CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(KEY.as_bytes()).unwrap();
    let mut config = config.with_no_client_auth().with_single_cert(chain, key).unwrap();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let secure = move |stream| {
        let connection = ServerConnection::new(Arc::new(config)).unwrap();
        serve(StreamOwned::new(connection, stream))
    };
    let config = Config::new([ENDPOINT]).tls(tls);
    let (stream, server) = accept(secure);
    let made = block_on(handshake(config.tls.as_ref(), &at(ENDPOINT), Box::new(Compat(stream))));
    (made, server)
}

/// Connects to a server that does this with the stream.
#[allow(clippy::disallowed_methods, reason = "a server blocks in a thread of its own")]
fn accept<T: Send + 'static>(
    serve: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> (Async<TcpStream>, JoinHandle<T>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let server = std::thread::spawn(move || serve(listener.accept().unwrap().0));
    (Async::new(near).unwrap(), server)
}

/// Why a client could not connect.
fn refusal(tls: TlsConfig, protocols: &[&[u8]]) -> (ConnectFailure, String) {
    let (made, server) = connect(tls, protocols, |mut server| server.read(&mut [0; 1]).is_ok());
    let broken = made.err().expect("a refusal");
    server.join().unwrap();
    (broken.failure, format!("{}", broken.cause.expect("a cause")))
}

async fn write_all(stream: &mut Box<dyn Io>, mut bytes: &[u8], is_vectored: bool) {
    while !bytes.is_empty() {
        let write = poll_fn(|cx| {
            let stream = Pin::new(&mut *stream);
            if is_vectored {
                stream.poll_write_vectored(cx, &[IoSlice::new(bytes)])
            } else {
                stream.poll_write(cx, bytes)
            }
        });
        let written = write.await.unwrap();
        assert!(written > 0);
        bytes = &bytes[written..];
    }
    poll_fn(|cx| Pin::new(&mut *stream).poll_flush(cx)).await.unwrap();
}

async fn read(stream: &mut Box<dyn Io>) -> std::io::Result<Vec<u8>> {
    let mut bytes = [0; 100];
    let mut buf = ReadBuf::new(&mut bytes);
    poll_fn(|cx| Pin::new(&mut *stream).poll_read(cx, &mut buf)).await?;
    Ok(buf.filled().to_vec())
}

// The end that is said aloud tells the server that nothing is missing.
#[test]
fn a_secure_stream_carries_both_ways_and_ends_in_order() {
    let serve = |mut server: Server| {
        let mut asked = [0; 8];
        server.read_exact(&mut asked).unwrap();
        server.write_all(b"answer").unwrap();
        let mut rest = Vec::new();
        server.read_to_end(&mut rest).map(|_| (asked, rest))
    };
    for tls in [trusting(), TlsConfig::new().dangerously_skip_server_verification()] {
        let (made, server) = connect(tls, &[b"h2"], serve);
        let mut stream = made.expect("a stream");
        assert!(stream.is_write_vectored());
        block_on(async {
            write_all(&mut stream, b"ques", false).await;
            write_all(&mut stream, b"tion", true).await;
            assert_eq!(read(&mut stream).await.unwrap(), b"answer");
            write_all(&mut stream, b"thanks", false).await;
            poll_fn(|cx| Pin::new(&mut stream).poll_shutdown(cx)).await.unwrap();
        });
        let (asked, rest) = server.join().unwrap().expect("an orderly end");
        assert_eq!((&asked, &rest[..]), (b"question", &b"thanks"[..]));
    }
}

#[test]
fn an_end_without_an_end_of_tls_is_told_in_words() {
    let (made, server) = connect(trusting(), &[b"h2"], |mut server| {
        server.read_exact(&mut [0; 4]).unwrap();
        // The stream alone ends.
        drop(server.sock);
    });
    let mut stream = made.expect("a stream");
    block_on(write_all(&mut stream, b"ping", false));
    let error = block_on(read(&mut stream)).unwrap_err();
    assert!(error.to_string().contains("without an end of TLS"), "{error}");
    server.join().unwrap();
}

#[test]
fn a_server_that_speaks_no_http2_over_tls_is_named() {
    let (failure, text) = refusal(trusting(), &[]);
    assert_eq!(failure, ConnectFailure::NotHttp2OverTls);
    assert!(text.contains("chose no protocol"), "{text}");
    let (failure, _) = refusal(trusting(), &[b"http/1.1"]);
    assert_eq!(failure, ConnectFailure::NotHttp2OverTls);
}

#[test]
fn a_server_that_is_not_trusted_is_refused() {
    let (failure, text) = refusal(trusting().server_name("b.example"), &[b"h2"]);
    assert_eq!(failure, ConnectFailure::Tls);
    assert!(text.contains("b.example"), "{text}");
    #[cfg(feature = "tls-webpki-roots")]
    {
        let (failure, text) = refusal(TlsConfig::new().webpki_roots(), &[b"h2"]);
        assert_eq!(failure, ConnectFailure::Tls);
        assert!(text.contains("signed by no authority that is trusted here"), "{text}");
    }
}

#[test]
fn a_server_that_hangs_up_in_the_handshake_may_not_speak_tls() {
    let (stream, server) = accept(|mut stream: TcpStream| {
        let _ = stream.read(&mut [0; 1_000]);
    });
    let config = Config::new([ENDPOINT]).tls(trusting());
    let made = block_on(handshake(config.tls.as_ref(), &at(ENDPOINT), Box::new(Compat(stream))));
    server.join().unwrap();
    let broken = made.err().expect("no stream");
    assert_eq!(broken.failure, ConnectFailure::Tls);
    let text = format!("{}", broken.cause.unwrap());
    assert!(text.contains("does it speak TLS?"), "{text}");
}
