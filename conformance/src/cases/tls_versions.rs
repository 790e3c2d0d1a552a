//! Versions, cipher suites and protocols that both sides must agree on.

use super::tls_certificates::{connect_error, lazy, refused, times_out, trusting};
use crate::BoxError;
use crate::{Case, CaseResult, Ctx, case};
use etcd3::{Config, ConnectFailure, ErrorKind, TlsConfig};
use etcd3_lab::etcd::Version;
use etcd3_lab::{Authority, Leaf, Tls};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use rustls::{
    CipherSuite, ClientConfig, RootCertStore, ServerConfig, ServerConnection,
    SupportedProtocolVersion,
};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

const TLS: &str = "TLS";
/// The first version that takes `--tls-min-version` and `--tls-max-version`.
const BOUNDS: Version = Version::minor(3, 5);

pub(super) const CASES: &[Case] = &[
    case!(equal_cipher_suites_are_agreed_on, ["CONN-049"]).real(TLS),
    case!(disjoint_cipher_suites_are_named, ["CONN-050"]).real(TLS).since(BOUNDS),
    case!(a_server_of_tls_1_3_alone_will_do, ["CONN-053", "CONN-054"]).real(TLS).since(BOUNDS),
    case!(a_server_without_http2_is_refused, []).real(TLS).any_version(),
    case!(a_handshake_has_the_deadline_of_the_dial, []).real(TLS).any_version(),
];

/// A client that speaks these versions, of the older one with these suites alone.
fn client(
    authority: &Authority,
    versions: &[&'static SupportedProtocolVersion],
    suites: impl Fn(CipherSuite) -> bool,
) -> Result<TlsConfig, BoxError> {
    let mut provider = rustls::crypto::ring::default_provider();
    provider.cipher_suites.retain(|suite| suite.tls13().is_some() || suites(suite.suite()));
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes())?)?;
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConfig::from_rustls(Arc::new(config)))
}

/// CONN-049
async fn equal_cipher_suites_are_agreed_on(ctx: Ctx) -> CaseResult {
    let authority = Authority::new()?;
    let mut suites = Vec::new();
    for key in ["RSA", "ECDSA"] {
        // Both names of the last one mean the same; old servers know only the shorter.
        for cipher in ["AES_128_GCM_SHA256", "AES_256_GCM_SHA384", "CHACHA20_POLY1305"] {
            suites.push(format!("TLS_ECDHE_{key}_WITH_{cipher}"));
        }
    }
    let sha256 = if ctx.etcd.version >= BOUNDS { "_SHA256" } else { "" };
    let suites = suites.join(",").replace("POLY1305", &format!("POLY1305{sha256}"));
    let tls = Tls::new(&authority);
    let server = ctx.server_with(|server| server.tls(tls).flag("--cipher-suites", &suites)).await?;
    for versions in [&[&TLS12][..], &[&TLS13, &TLS12][..]] {
        let config = Config::new([server.client_url()]);
        let config = config.tls(client(&authority, versions, |_| true)?);
        ctx.connect_with(config).await?.get("k").await?;
    }
    Ok(())
}

/// CONN-050
async fn disjoint_cipher_suites_are_named(ctx: Ctx) -> CaseResult {
    let authority = Authority::new()?;
    let tls = Tls::new(&authority);
    let suites = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256";
    let server = ctx
        .server_with(|server| {
            let server = server.tls(tls).flag("--cipher-suites", suites);
            server.flag("--tls-max-version", "TLS1.2")
        })
        .await?;
    let other = |suite| suite == CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384;
    let config = Config::new([server.client_url()]);
    let config = config.tls(client(&authority, &[&TLS12], other)?);
    refused(&ctx, config.clone(), "fatal alert: HandshakeFailure").await?;
    let stubborn = lazy(&ctx, config)?;
    times_out(&ctx, &stubborn, "fatal alert: HandshakeFailure").await?;
    stubborn.close().await;
    let config = Config::new([server.client_url()]).tls(client(&authority, &[&TLS12], |_| true)?);
    ctx.connect_with(config).await?;
    Ok(())
}

/// CONN-053, CONN-054
async fn a_server_of_tls_1_3_alone_will_do(ctx: Ctx) -> CaseResult {
    let authority = Authority::new()?;
    let tls = Tls::new(&authority);
    let bounded = |server: crate::ServerBuilder| server.flag("--tls-min-version", "TLS1.3");
    let server = ctx.server_with(|server| bounded(server.tls(tls))).await?;
    let config = Config::new([server.client_url()]);
    let both = client(&authority, &[&TLS13, &TLS12], |_| true)?;
    for tls in [trusting(&authority), both, client(&authority, &[&TLS13], |_| true)?] {
        ctx.connect_with(config.clone().tls(tls)).await?.put("k", "v").await?;
    }
    let old = client(&authority, &[&TLS12], |_| true)?;
    refused(&ctx, config.tls(old), "fatal alert: ProtocolVersion").await
}

/// Shakes hands with one client, as a server with these protocols.
fn shake_hands(
    ctx: &Ctx,
    authority: &Authority,
    protocols: &[&str],
) -> Result<(SocketAddr, crate::JoinHandle<()>), BoxError> {
    let identity = authority.issue(Leaf::server(["127.0.0.1"]))?;
    let chain = vec![CertificateDer::from_pem_slice(identity.certificate.as_bytes())?];
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let mut connection = ServerConnection::new(Arc::new(config))?;
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?;
    let task = ctx.blocking(move || {
        // The client hangs up, or is refused.
        if let Ok((mut stream, _)) = listener.accept() {
            while connection.complete_io(&mut stream).is_ok_and(|(read, _)| read > 0) {}
        }
    });
    Ok((address, task))
}

/// C37
async fn a_server_without_http2_is_refused(ctx: Ctx) -> CaseResult {
    let authority = Authority::new()?;
    for protocols in [&[][..], &["http/1.1"][..]] {
        let (address, server) = shake_hands(&ctx, &authority, protocols)?;
        let config = Config::new([format!("https://{address}")]).tls(trusting(&authority));
        let error = connect_error(&ctx, config).await?;
        let kind = ErrorKind::Connect(ConnectFailure::NotHttp2OverTls);
        assert_eq!(error.kind(), kind, "{error}");
        server.await;
    }
    Ok(())
}

/// N10
async fn a_handshake_has_the_deadline_of_the_dial(ctx: Ctx) -> CaseResult {
    let authority = Authority::new()?;
    let silent = TcpListener::bind(("127.0.0.1", 0))?;
    let config = Config::new([format!("https://{}", silent.local_addr()?)]);
    let config = config.connect_timeout(Duration::from_millis(300)).tls(trusting(&authority));
    let error = connect_error(&ctx, config).await?;
    assert_eq!(error.kind(), ErrorKind::Connect(ConnectFailure::NoAnswer), "{error}");
    Ok(())
}
