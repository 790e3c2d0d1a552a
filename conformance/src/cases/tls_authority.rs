//! The `:authority` that servers see, as their own log of HTTP/2 has it.

use super::tls_certificates::trusting;
use crate::{Case, CaseResult, Cluster, ClusterBuilder, Ctx, Member, case};
use etcd3::{Config, TlsConfig};
use etcd3_lab::{Authority, Tls};
use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

const LOG: &str = "a log of HTTP/2";

pub(super) const CASES: &[Case] = &[
    case!(of_plain_sockets_and_hosts, ["CONN-055", "CONN-056", "CONN-059", "CONN-060"]).real(LOG),
    case!(of_tls_sockets_and_hosts, ["CONN-057", "CONN-058", "CONN-063", "CONN-064"]).real(LOG),
    case!(of_hosts_with_auto_tls, ["CONN-061", "CONN-062"]).real(LOG),
];

const PUTS: usize = 100;
const SOON: Duration = Duration::from_secs(10);
const SIZES: [usize; 2] = [1, 3];

/// How an endpoint names a member.
#[derive(Debug, Clone, Copy)]
enum Form {
    /// By its socket, from the working directory, with this scheme.
    Relative(&'static str),
    /// By its socket, from the root, with this scheme.
    Absolute(&'static str),
    /// By the name of the host.
    Name,
    /// By the address of the host.
    Address,
}

impl Form {
    fn endpoint(self, member: &Member) -> Result<String, etcd3_lab::Error> {
        Ok(match self {
            Self::Relative(scheme) => format!("{scheme}:{}", relative(&member.socket()?).display()),
            Self::Absolute(scheme) => format!("{scheme}://{}", member.socket()?.display()),
            Self::Name => member.client_url().replace("127.0.0.1", "localhost"),
            Self::Address => member.client_url(),
        })
    }

    fn authority(self, member: &Member) -> String {
        let host = if matches!(self, Self::Address) { "127.0.0.1" } else { "localhost" };
        format!("{host}:{}", member.port())
    }
}

/// Returns the way from the working directory to an absolute path.
fn relative(path: &Path) -> PathBuf {
    let depth = std::env::current_dir().map_or(0, |here| here.components().count() - 1);
    let up = std::iter::repeat_n(Component::ParentDir, depth);
    up.chain(path.components().skip(1)).collect()
}

/// Puts through each form of endpoint, and compares what the members decoded.
async fn check_forms(
    ctx: &Ctx,
    build: impl Fn(ClusterBuilder) -> ClusterBuilder,
    tls: Option<TlsConfig>,
    forms: &[Form],
) -> CaseResult {
    for size in SIZES {
        let cluster = ctx
            .cluster_with(|cluster| build(cluster.members(size)).env("GODEBUG", "http2debug=2"))
            .await?;
        for form in forms {
            check_form(ctx, &cluster, tls.clone(), *form).await?;
        }
    }
    Ok(())
}

async fn check_form(
    ctx: &Ctx,
    cluster: &Cluster,
    tls: Option<TlsConfig>,
    form: Form,
) -> CaseResult {
    let members = cluster.members();
    let seen = || -> Result<Vec<usize>, etcd3_lab::Error> {
        members.iter().map(|member| Ok(member.log()?.len())).collect()
    };
    let before = seen()?;
    let urls = members.iter().map(|member| form.endpoint(member)).collect::<Result<Vec<_>, _>>()?;
    let config = Config::new(urls);
    let config = tls.map_or(config.clone(), |tls| config.tls(tls));
    let client = ctx.connect_with(config).await?;
    for n in 0..PUTS {
        client.put("k", n.to_string()).await?;
    }
    client.close().await;
    let decoded = || -> Result<Vec<(String, String)>, etcd3_lab::Error> {
        let mut all = Vec::new();
        for (member, from) in members.iter().zip(&before) {
            let expected = form.authority(member);
            let log = member.log()?;
            all.extend(authorities(&log[*from..]).map(|found| (found, expected.clone())));
        }
        Ok(all)
    };
    // The log is written by the server, when it comes to it.
    ctx.until("the log", SOON, || async { decoded().is_ok_and(|all| all.len() >= PUTS) }).await?;
    let wrong: BTreeSet<_> =
        decoded()?.into_iter().filter(|(found, expected)| found != expected).collect();
    assert!(wrong.is_empty(), "seen and expected: {wrong:?}");
    Ok(())
}

/// Returns all values of `:authority` in a log, whichever way its quotes are escaped.
fn authorities(log: &str) -> impl Iterator<Item = String> {
    let plain = log.replace('\\', "");
    let found: Vec<String> = plain
        .lines()
        .filter(|line| line.contains("decoded hpack field"))
        .filter_map(|line| line.split_once("\":authority\" = \"")?.1.split('"').next())
        .map(str::to_owned)
        .collect();
    found.into_iter()
}

/// CONN-055, CONN-056, CONN-059, CONN-060
async fn of_plain_sockets_and_hosts(ctx: Ctx) -> CaseResult {
    let forms = [Form::Relative("unix"), Form::Absolute("unix"), Form::Name, Form::Address];
    check_forms(&ctx, ClusterBuilder::unix_socket, None, &forms).await
}

/// CONN-057, CONN-058, CONN-063, CONN-064
async fn of_tls_sockets_and_hosts(ctx: Ctx) -> CaseResult {
    let forms = [Form::Relative("unixs"), Form::Absolute("unixs"), Form::Name, Form::Address];
    let authority = Authority::new()?;
    let build = |cluster: ClusterBuilder| cluster.tls(Tls::new(&authority)).unix_socket();
    check_forms(&ctx, build, Some(trusting(&authority)), &forms).await
}

/// CONN-061, CONN-062: nobody can verify the certificates that such servers make for themselves.
async fn of_hosts_with_auto_tls(ctx: Ctx) -> CaseResult {
    let build = |cluster: ClusterBuilder| cluster.https().flag("--auto-tls", "true");
    let blind = TlsConfig::new().dangerously_skip_server_verification();
    check_forms(&ctx, build, Some(blind), &[Form::Name, Form::Address]).await
}
