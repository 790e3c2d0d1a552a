//! Certificates: which servers a client trusts, and as whom a server knows the client.

use crate::{Case, CaseResult, Ctx, Server, case};
use etcd3::{
    Client, Code, Config, ConnectFailure, Error, ErrorKind, Outcome, Phase, ServerError, TlsConfig,
};
use etcd3_lab::{Authority, Identity, Leaf, Replace, Tls};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

const TLS: &str = "TLS";

pub(super) const CASES: &[Case] = &[
    case!(an_expired_client_certificate_is_named, ["CONN-007"]).real(TLS),
    case!(tls_without_roots_is_refused_at_once, ["CONN-008"]).real(TLS).any_version(),
    case!(a_plain_client_of_a_tls_server_fails, ["CONN-041"]).real(TLS),
    case!(a_tls_client_of_a_plain_server_fails, ["CONN-042"]).real(TLS),
    case!(a_server_certificate_is_replaced_atomically, ["CONN-044"]).real(TLS),
    case!(a_server_certificate_is_replaced_in_place, ["CONN-045"]).real(TLS),
    case!(a_missing_client_certificate_is_named_each_time, []).real(TLS),
    case!(another_authority_is_not_trusted, []).real(TLS).any_version(),
    case!(a_self_signed_authority_as_a_server_is_explained, []).real(TLS).any_version(),
    case!(files_that_cannot_be_used_are_named, []).real(TLS).any_version(),
    case!(the_common_name_is_the_user, []).real(TLS),
    case!(a_rotated_client_certificate_is_used_at_the_next_dial, []).real(TLS),
];

const SECOND: Duration = Duration::from_secs(1);
/// The time that a deadline may be overrun on a busy machine.
const SLACK: Duration = Duration::from_secs(10);

/// Trusts an authority.
pub(super) fn trusting(authority: &Authority) -> TlsConfig {
    TlsConfig::new().ca_pem(authority.pem())
}

/// Trusts an authority, and shows a certificate that it issued.
pub(super) fn showing(authority: &Authority, leaf: Leaf) -> Result<TlsConfig, etcd3_lab::Error> {
    let Identity { certificate, key } = authority.issue(leaf)?;
    Ok(trusting(authority).identity_pem(certificate, key))
}

/// A server that demands certificates of this authority from its clients.
async fn demanding(ctx: &Ctx, authority: &Arc<Authority>) -> Result<Server, etcd3_lab::Error> {
    let tls = Tls::new(authority).client_auth();
    ctx.server_with(|server| server.tls(tls)).await
}

/// Connects where that fails, and returns the error.
pub(super) async fn connect_error(ctx: &Ctx, config: Config) -> Result<Error, String> {
    match ctx.within(SLACK, ctx.connect_with(config)).await {
        Some(Err(error)) => Ok(error),
        Some(Ok(_)) => Err("connected".to_owned()),
        None => Err("hung".to_owned()),
    }
}

/// Asserts that connecting fails in the handshake, and says of what.
pub(super) async fn refused(ctx: &Ctx, config: Config, told: &str) -> CaseResult {
    let error = connect_error(ctx, config).await?;
    assert_eq!(error.kind(), ErrorKind::Connect(ConnectFailure::Tls), "{error}");
    let report = error.report().to_string();
    assert!(report.contains(told), "{report} does not tell of {told}");
    assert!(!report.contains("://docs."), "nobody has to read the manual of rustls: {report}");
    Ok(())
}

/// Asserts that a call of a lazy client ends at its deadline, and says what kept it waiting.
pub(super) async fn times_out(ctx: &Ctx, client: &Client, told: &str) -> CaseResult {
    let get = ctx.within(SECOND + SLACK, client.get("k").timeout(SECOND).into_future()).await;
    let error = get.ok_or("a call hung")?.unwrap_err();
    let kind = ErrorKind::TimedOut(Phase::Connection);
    assert_eq!((error.kind(), error.outcome()), (kind, Outcome::NotSent), "{error}");
    assert_eq!(error.code(), Code::DeadlineExceeded);
    let report = error.report().to_string();
    assert!(report.contains(told), "{report} does not tell of {told}");
    Ok(())
}

pub(super) fn lazy(ctx: &Ctx, config: Config) -> Result<Client, Error> {
    Client::connect_lazy_on(Arc::clone(&ctx.rt), config)
}

/// Returns what is told of a certificate that the server refuses for this reason. Debian's 3.4 is
/// made with a Go that gives none.
fn refusal(ctx: &Ctx, why: &str) -> String {
    let gives_reasons = (ctx.etcd.version.major, ctx.etcd.version.minor) > (3, 4);
    let why = if gives_reasons { why } else { "it is not valid there" };
    format!("the server refused the client's certificate: {why}")
}

/// CONN-007
async fn an_expired_client_certificate_is_named(ctx: Ctx) -> CaseResult {
    let authority = Authority::new()?;
    let server = demanding(&ctx, &authority).await?;
    let expired = showing(&authority, Leaf::client("late").expired())?;
    let config = Config::new([server.client_url()]).tls(expired);
    let told = refusal(&ctx, "it has expired");
    refused(&ctx, config.clone(), &told).await?;
    let client = lazy(&ctx, config)?;
    times_out(&ctx, &client, &told).await?;
    client.close().await;
    let valid = showing(&authority, Leaf::client("in time"))?;
    let client = ctx.connect_with(Config::new([server.client_url()]).tls(valid)).await?;
    client.put("k", "v").await?;
    Ok(())
}

/// CONN-008: where others wait for a deadline, it is said at once that nobody is trusted.
async fn tls_without_roots_is_refused_at_once(ctx: Ctx) -> CaseResult {
    let authority = Authority::new()?;
    let server = ctx.server_with(|server| server.tls(Tls::new(&authority))).await?;
    let config = Config::new([server.client_url()]);
    for config in [config.clone(), config.tls(TlsConfig::new())] {
        let error = lazy(&ctx, config).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{error}");
        let report = error.report().to_string();
        assert!(report.contains("no roots were chosen"), "{report}");
    }
    Ok(())
}

/// CONN-041
async fn a_plain_client_of_a_tls_server_fails(ctx: Ctx) -> CaseResult {
    let authority = Authority::new()?;
    let tls = Tls::new(&authority);
    let cluster = ctx.cluster_with(|cluster| cluster.tls(tls)).await?;
    let urls = cluster.client_urls().into_iter().map(|url| url.replace("https://", "http://"));
    let client = lazy(&ctx, Config::new(urls))?;
    let put = ctx.within(SECOND + SLACK, client.put("k", "v").timeout(SECOND).into_future()).await;
    let error = put.ok_or("a call hung")?.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
    let report = error.report().to_string();
    for url in cluster.client_urls() {
        let url = url.replace("https://", "http://");
        let told =
            format!("{url}: cannot connect: the peer hung up before it spoke HTTP/2; does it");
        assert!(report.contains(&told), "{report}");
    }
    Ok(())
}

/// CONN-042, C34a, C34b: endpoints without a scheme speak TLS too, once it is configured.
async fn a_tls_client_of_a_plain_server_fails(ctx: Ctx) -> CaseResult {
    let authority = Authority::new()?;
    let cluster = ctx.cluster().await?;
    let plain: Vec<String> = cluster.client_urls();
    for scheme in ["https://", ""] {
        let urls = plain.iter().map(|url| url.replace("http://", scheme));
        let client = lazy(&ctx, Config::new(urls).tls(trusting(&authority)))?;
        times_out(&ctx, &client, "the TLS handshake failed").await?;
    }
    let client = ctx.connect_with(Config::new(plain).tls(trusting(&authority))).await?;
    client.put("k", "v").await?;
    Ok(())
}

async fn is_replaced(ctx: Ctx, how: Replace) -> CaseResult {
    let authority = Authority::new()?;
    let server = ctx.server_with(|server| server.tls(Tls::new(&authority))).await?;
    let config = Config::new([server.client_url()]).tls(trusting(&authority));
    let names = ["localhost", "127.0.0.1"];
    for _ in 0..3 {
        server.replace_identity(&authority.issue(Leaf::server(names).expired())?, how)?;
        let client = lazy(&ctx, config.clone())?;
        times_out(&ctx, &client, "expired").await?;
        refused(&ctx, config.clone(), "expired").await?;
        server.replace_identity(&authority.issue(Leaf::server(names))?, how)?;
        client.get("k").await?;
        ctx.connect_with(config.clone()).await?.put("k", "v").await?;
    }
    Ok(())
}

/// CONN-044
async fn a_server_certificate_is_replaced_atomically(ctx: Ctx) -> CaseResult {
    is_replaced(ctx, Replace::Atomically).await
}

/// CONN-045
async fn a_server_certificate_is_replaced_in_place(ctx: Ctx) -> CaseResult {
    is_replaced(ctx, Replace::InPlace).await
}

/// In TLS 1.3 the server refuses after the handshake, when the client has written already; what
/// fails first varies, and what is told must not.
async fn a_missing_client_certificate_is_named_each_time(ctx: Ctx) -> CaseResult {
    let authority = Authority::new()?;
    let server = demanding(&ctx, &authority).await?;
    for _ in 0..20 {
        let config = Config::new([server.client_url()]).tls(trusting(&authority));
        let error = connect_error(&ctx, config).await?;
        assert_eq!(error.kind(), ErrorKind::Connect(ConnectFailure::Tls), "{error}");
        let report = error.report().to_string();
        let is_told = report.contains("the server wants a certificate of the client, and none is")
            || report.contains("does it want a client certificate?");
        assert!(is_told, "{report}");
    }
    let other = Authority::new()?;
    let Identity { certificate, key } = other.issue(Leaf::client("foreign"))?;
    let foreign = trusting(&authority).identity_pem(certificate, key);
    let told = refusal(&ctx, "it is signed by an authority that the server does not trust");
    refused(&ctx, Config::new([server.client_url()]).tls(foreign), &told).await
}

/// What `openssl req -x509` makes is a certificate that no client of ours takes, even if it trusts
/// it; the error says what to do.
async fn a_self_signed_authority_as_a_server_is_explained(ctx: Ctx) -> CaseResult {
    let authority = Authority::new()?;
    let identity = Identity::self_signed(["localhost", "127.0.0.1"])?;
    let trusted = identity.certificate.clone();
    let tls = Tls::new(&authority).identity(identity);
    let server = ctx.server_with(|server| server.tls(tls)).await?;
    let config = Config::new([server.client_url()]).tls(TlsConfig::new().ca_pem(trusted));
    refused(&ctx, config.clone(), "CA:TRUE").await?;
    refused(&ctx, config, "sign one for the server with it (CA:FALSE), and trust the authority")
        .await
}

/// F18
async fn another_authority_is_not_trusted(ctx: Ctx) -> CaseResult {
    let (ours, other) = (Authority::new()?, Authority::new()?);
    let server = ctx.server_with(|server| server.tls(Tls::new(&ours))).await?;
    let config = Config::new([server.client_url()]);
    let told = "signed by no authority that is trusted here";
    refused(&ctx, config.clone().tls(trusting(&other)), told).await?;
    ctx.connect_with(config.clone().tls(trusting(&other).ca_pem(ours.pem()))).await?;
    let blind = TlsConfig::new().dangerously_skip_server_verification();
    ctx.connect_with(config.tls(blind)).await?;
    Ok(())
}

/// A folder that is removed with its files in the end.
struct Folder(PathBuf);

impl Folder {
    fn new(ctx: &Ctx) -> std::io::Result<Self> {
        let name = format!("etcd3-tls-{}-{}", std::process::id(), ctx.rt.seed());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn put(&self, identity: &Identity) -> Result<(), etcd3_lab::Error> {
        identity.write(&self.path("cert.pem"), &self.path("key.pem"), Replace::Atomically)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn files_that_cannot_be_used_are_named(ctx: Ctx) -> CaseResult {
    let authority = Authority::new()?;
    let server = ctx.server_with(|server| server.tls(Tls::new(&authority))).await?;
    let folder = Folder::new(&ctx)?;
    let (one, two) = (authority.issue(Leaf::client("1"))?, authority.issue(Leaf::client("2"))?);
    let mixed = Identity { certificate: one.certificate.clone(), key: two.key };
    folder.put(&mixed)?;
    let with_files = |certificate: &str, key: &str| {
        trusting(&authority).identity_files(folder.path(certificate), folder.path(key))
    };
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    std::fs::write(folder.path("bundle.pem"), [authority.pem(), broken].concat())?;
    std::fs::write(folder.path("broken.pem"), broken)?;
    for (tls, told) in [
        (TlsConfig::new().ca_file(folder.path("no-ca.pem")), "no-ca.pem"),
        (
            TlsConfig::new().ca_file(folder.path("bundle.pem")),
            "bundle.pem: certificate number 2 in it: it cannot be read",
        ),
        (
            with_files("broken.pem", "key.pem"),
            "broken.pem: certificate number 1 in it: it cannot be read",
        ),
        (TlsConfig::new().ca_file(folder.path("key.pem")), "no certificate"),
        (with_files("cert.pem", "no-key.pem"), "no-key.pem"),
        (with_files("cert.pem", "cert.pem"), "private key"),
        (with_files("key.pem", "key.pem"), "no certificate"),
        (with_files("cert.pem", "key.pem"), "key.pem: it is not that of the certificate"),
    ] {
        let config = Config::new([server.client_url()]).tls(tls);
        let error = connect_error(&ctx, config).await?;
        assert_eq!(error.kind(), ErrorKind::Connect(ConnectFailure::TlsConfig), "{error}");
        let report = error.report().to_string();
        assert!(report.contains(told), "{report} does not tell of {told}");
        assert!(!report.contains("peer"), "{report}");
    }
    let given = trusting(&authority).identity_pem(mixed.certificate, mixed.key);
    let error = lazy(&ctx, Config::new([server.client_url()]).tls(given)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{error}");
    Ok(())
}

/// Makes `root` and `alice` users, of whom only the former may do anything, and enables auth.
async fn enable_auth(ctx: &Ctx, server: Server) -> Result<Server, etcd3_lab::Error> {
    ctx.blocking(move || {
        for (path, json) in [
            ("/v3/auth/user/add", r#"{"name":"root","password":"r"}"#),
            ("/v3/auth/role/add", r#"{"name":"root"}"#),
            ("/v3/auth/user/grant", r#"{"user":"root","role":"root"}"#),
            ("/v3/auth/user/add", r#"{"name":"alice","password":"a"}"#),
            ("/v3/auth/enable", "{}"),
        ] {
            server.http_post(path, json)?;
        }
        Ok(server)
    })
    .await
}

/// F18
async fn the_common_name_is_the_user(ctx: Ctx) -> CaseResult {
    let authority = Authority::new()?;
    let server = enable_auth(&ctx, demanding(&ctx, &authority).await?).await?;
    let as_user = |name: &str| -> Result<Config, etcd3_lab::Error> {
        Ok(Config::new([server.client_url()]).tls(showing(&authority, Leaf::client(name))?))
    };
    ctx.connect_with(as_user("root")?).await?.put("k", "v").await?;
    let error = ctx.connect_with(as_user("alice")?).await?.put("k", "v").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Server(ServerError::PermissionDenied), "{error}");
    Ok(())
}

/// F18: files are read at every dial, so the client becomes whom they say.
async fn a_rotated_client_certificate_is_used_at_the_next_dial(ctx: Ctx) -> CaseResult {
    let authority = Authority::new()?;
    let server = enable_auth(&ctx, demanding(&ctx, &authority).await?).await?;
    let folder = Folder::new(&ctx)?;
    folder.put(&authority.issue(Leaf::client("root").expired())?)?;
    let files = (folder.path("cert.pem"), folder.path("key.pem"));
    let tls = trusting(&authority).identity_files(files.0, files.1);
    let client = lazy(&ctx, Config::new([server.client_url()]).tls(tls))?;
    times_out(&ctx, &client, &refusal(&ctx, "it has expired")).await?;
    folder.put(&authority.issue(Leaf::client("alice"))?)?;
    let error = client.put("k", "v").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Server(ServerError::PermissionDenied), "{error}");
    folder.put(&authority.issue(Leaf::client("root"))?)?;
    let server = ctx.blocking(move || server.restart().map(|()| server)).await?;
    client.put("k", "v").await?;
    drop(server);
    Ok(())
}
