//! Beginning a watch: where it starts, and whether the server takes it.

use super::handle::{Watch, WatchHandle, timed_out};
use super::inbox::Inbox;
use super::registry::StreamKind;
use crate::call::CallOptions;
use crate::request::{Execute, sealed};
use crate::runtime::BoxFuture;
use crate::{Client, Error};
use etcd3_core::error::{Cause, Phase};
use etcd3_core::get;
use etcd3_core::watch::{ResumeToken, WatchOptions};
use std::sync::Arc;

/// The request that [`Client::watch`] makes: a watch that is to be begun.
#[derive(Debug, Clone)]
pub struct BeginWatch(pub(crate) WatchOptions);

impl sealed::Sealed for BeginWatch {}

impl Execute for BeginWatch {
    type Output = Result<Watch, Error>;
    type Future = BoxFuture<'static, Self::Output>;

    fn execute(self, client: Client, options: CallOptions) -> Self::Future {
        Box::pin(begin(client, self.0, options))
    }
}

pub(super) async fn begin(
    client: Client,
    watch: WatchOptions,
    options: CallOptions,
) -> Result<Watch, Error> {
    let shared = client.shared();
    let timeout = options.timeout.unwrap_or(shared.config.request_timeout);
    let deadline = shared.now() + timeout;
    let watch = match watch.start() {
        // Boxed, since most watches have no such read, and there may be many.
        0 => Box::pin(pin_start(&client, watch, options)).await?,
        _ => watch,
    };
    let start = ResumeToken { revision: watch.start(), cluster_id: watch.cluster_id() };
    let inbox = Arc::new(Inbox::new(watch.buffer_limit(), start));
    let kind = StreamKind {
        // A member that is cut off would have nothing to say, for ever.
        // I-W11
        require_leader: options.require_leader.unwrap_or(true),
        only: client.only(),
        owner: None,
    };
    let watch = watch.under(client.key_prefix())?;
    let registry = client.watches();
    let (key, mailbox) = registry.attach(shared, kind, watch, Arc::clone(&inbox));
    let rt = Arc::clone(&shared.pool.rt);
    let timeout = shared.config.request_timeout;
    let handle = WatchHandle { inbox, mailbox, key, rt, timeout };
    // Cancelled when it is dropped, as by whoever waits no longer.
    let watch = Watch::new(handle.clone(), client.clone());
    let created = handle.until(deadline, |known| known.is_created.then_some(())).await;
    match created {
        Ok(()) => Ok(watch),
        Err(Some(error)) => Err(error),
        Err(None) => Err(too_late(&client, &handle)),
    }
}

/// Finds out where a watch starts that is to deliver what changes from now on: behind the revision
/// that a linearizable read of one of its keys shows. The revision that a server tells when it has
/// created a watch is no such point: it may be one that the watch is yet to deliver.
// I-W5, H1
pub(super) async fn pin_start(
    client: &Client,
    watch: WatchOptions,
    options: CallOptions,
) -> Result<WatchOptions, Error> {
    let read = get(watch.range().start().clone()).keys_only();
    let header = client.clone().run(read, options).await?.header;
    Ok(watch.resume(ResumeToken::after(&header)))
}

/// Makes the error of a watch that no server has taken in time.
fn too_late(client: &Client, handle: &WatchHandle) -> Error {
    let status = handle.status();
    let phase = if status.age.is_some() { Phase::Answer } else { Phase::Connection };
    let error = timed_out(phase).with_endpoint(status.endpoint);
    match status.last_error {
        Some(last) => error.with_cause(Cause::new(last)),
        None => crate::call::explain(client.shared(), client.only(), error),
    }
}
