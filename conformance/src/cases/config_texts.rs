//! Clients that are configured by variables, URLs and files.

use crate::{BoxError, Case, CaseResult, Ctx, Server, case};
use etcd3::{Config, KeyRange, PermissionType};
use etcd3_lab::{Authority, Identity, Leaf, Tls};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub(super) const CASES: &[Case] = &[
    case!(variables_and_code_mix_without_surprises, []),
    case!(a_url_has_the_user_and_the_settings, []),
    case!(a_file_has_the_certificates, []).real("TLS").any_version(),
];

/// A password with what is special in URLs and variables.
const PASSWORD: &str = "p:w@/ %";

/// Starts a server with a root user of this password, and authentication switched on.
async fn protected(ctx: &Ctx) -> Result<Server, BoxError> {
    let server = ctx.server().await?;
    // Simulated members are not on this machine, as real ones are.
    let config = ctx.config([server.client_url()]).allow_plaintext_passwords();
    let client = ctx.connect_with(config).await?;
    let auth = client.auth();
    auth.role_add("app").await?;
    auth.role_grant_permission("app", KeyRange::from_wire("k", ""), PermissionType::ReadWrite)
        .await?;
    for (user, role) in [("root", "root"), ("app", "app")] {
        auth.user_add(user, PASSWORD).await?;
        auth.user_grant_role(user, role).await?;
    }
    auth.enable().await?;
    Ok(server)
}

// case 11
async fn variables_and_code_mix_without_surprises(ctx: Ctx) -> CaseResult {
    let server = protected(&ctx).await?;
    let user = format!("app:{PASSWORD}");
    let variables = [
        ("ETCDCTL_ENDPOINTS", "127.0.0.1:1"),
        ("ETCDCTL_DIAL_TIMEOUT", "5s"),
        ("ETCDCTL_USER", &user),
        ("ETCDCTL_UNKNOWN", "1"),
    ];
    for _ in 0..2 {
        let config = Config::from_vars(variables)?.endpoints([server.client_url()]);
        let client = ctx.connect_with(config.allow_plaintext_passwords()).await?;
        client.put("k", "v").await?;
        let error = client.put("l", "v").await.unwrap_err();
        assert!(error.is_permission_denied(), "{error}");
        assert_eq!(client.endpoints(), [server.client_url()]);
        client.close().await;
    }
    let wrong = [variables[2], ("ETCDCTL_DIAL_TIMEOUT", "5x")];
    let told = Config::from_vars(wrong).unwrap_err().report().to_string();
    assert!(told.contains("ETCDCTL_DIAL_TIMEOUT") && !told.contains("p:w"), "{told}");
    Ok(())
}

async fn a_url_has_the_user_and_the_settings(ctx: Ctx) -> CaseResult {
    let server = protected(&ctx).await?;
    let url = server.client_url();
    let host = url.rsplit('/').next().unwrap_or_default();
    let limit = ctx.stretched(Duration::from_secs(10)).as_millis();
    let url = format!("etcd://app:p%3Aw%40%2F%20%25@{host}/?request_timeout={limit}ms");
    let client = ctx.connect_with(Config::parse(&url)?.allow_plaintext_passwords()).await?;
    client.put("k", "v").await?;
    assert!(client.get("l").await.unwrap_err().is_permission_denied());
    Ok(())
}

/// A folder that is removed in the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self, BoxError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("etcd3-config-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    /// Writes a file, and returns its path.
    fn write(&self, name: &str, text: &str) -> Result<String, BoxError> {
        let path = self.0.join(name);
        std::fs::write(&path, text)?;
        Ok(path.display().to_string())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

// C27, C29, CFG-007
async fn a_file_has_the_certificates(ctx: Ctx) -> CaseResult {
    let authority = Authority::new()?;
    let tls = Tls::new(&authority).client_auth();
    let server = ctx.server_with(|server| server.tls(tls)).await?;
    let Identity { certificate, key } = authority.issue(Leaf::client("app"))?;
    let folder = Folder::new()?;
    let ca = folder.write("ca.pem", authority.pem())?;
    let (cert, key) = (folder.write("c.pem", &certificate)?, folder.write("k.pem", &key)?);
    // The endpoint does not say whether it speaks TLS: in a file it does.
    let url = server.client_url();
    let host = url.rsplit('/').next().unwrap_or_default();
    let yaml = format!(
        "endpoints: ['{host}']\ndial-timeout: 5s\nsecure:\n  cert: {cert}\n  key: {key}\n  \
         cacert: {ca}\n"
    );
    let toml = format!(
        "endpoints = ['{host}']\ntrusted-ca-file = '{ca}'\ncert-file = '{cert}'\n\
         key-file = '{key}'\n"
    );
    let files = [folder.write("etcd.yaml", &yaml)?, folder.write("etcd.toml", &toml)?];
    let url = format!("etcds://{host}/?ca_file={ca}&cert_file={cert}&key_file={key}");
    for config in [Config::from_file(&files[0]), Config::from_file(&files[1]), url.parse()] {
        let client = ctx.connect_with(config?).await?;
        client.put("k", "v").await?;
        client.close().await;
    }
    std::fs::remove_file(&ca)?;
    let told = Config::from_file(&files[0]).unwrap_err().report().to_string();
    assert!(told.contains(&ca), "{told}");
    Ok(())
}
