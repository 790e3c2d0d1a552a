//! The client, and how it makes a call.

use crate::call::{CallOptions, OperationCall};
use crate::handle::{Handle, PinnedEndpoint};
use crate::health::{Health, HealthChanges};
use crate::request::{Request, RequestFuture, SyncEndpoints};
use crate::runtime::Runtime;
use crate::shared::Shared;
use crate::stream::RawStream;
use crate::{Config, control, lease, sync, tokens, watch};
use etcd3_core::channel::{self, Channel, EndpointId, Listed, Want};
use etcd3_core::error::{Error, ErrorKind};
use etcd3_core::method::Method;
use etcd3_core::namespace::KeyPrefix;
use etcd3_core::request::Operation;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// A client of one etcd cluster.
///
/// Cheap to clone; all clones share their connections. Every method takes `&self`. Requests are
/// built by the methods named after the operations and sent by awaiting them.
///
/// Dropping the last clone, requests under way included, ends its tasks and connections; so does
/// [`close`](Self::close).
#[derive(Clone)]
pub struct Client {
    handle: Arc<Handle>,
    /// The only endpoint that its calls go to.
    pin: Option<Arc<PinnedEndpoint>>,
    /// What is before all of its keys, unseen by its user.
    pub(crate) prefix: Option<KeyPrefix>,
    /// Whether its calls and tasks are those of cleanup.
    pub(crate) is_cleanup: bool,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("endpoints", &self.endpoints()).finish_non_exhaustive()
    }
}

impl Client {
    /// Makes a client on this runtime that connects when it is first used.
    ///
    /// # Errors
    ///
    /// Kind [`InvalidConfig`](ErrorKind::InvalidConfig) when there is no endpoint, or one
    /// that cannot be read, or a setting that cannot mean anything.
    /// # Examples
    ///
    /// ```
    /// use etcd3::{Client, Config};
    /// use std::sync::Arc;
    ///
    /// # etcd3_sim::example_with(|_, etcd, world| async move {
    /// // The runtime of a simulation here; adapters make a client on theirs by `connect_lazy`.
    /// let runtime = Arc::new(world.host().runtime());
    /// let client = Client::connect_lazy_on(runtime, Config::new(etcd.endpoints()))?;
    /// client.put("greeting", "hello").await?;
    /// # Ok(())
    /// # });
    /// ```
    pub fn connect_lazy_on(rt: Arc<dyn Runtime>, config: impl Into<Config>) -> Result<Self, Error> {
        let config = config.into();
        config.validate()?;
        let endpoints = config.parse_endpoints(config.endpoints.texts())?;
        let shared = Arc::new(Shared::new(rt, config, endpoints));
        shared.tasks.spawn(control::run(Arc::clone(&shared)));
        if let Some(tokens) = &shared.pool.tokens {
            shared.tasks.spawn(tokens::run(Arc::clone(&shared), Arc::clone(tokens)));
        }
        if let Some(interval) = shared.config.auto_sync {
            shared.tasks.spawn(sync::repeat(Arc::clone(&shared), interval));
        }
        let handle = Arc::new(Handle::new(shared));
        Ok(Self { handle, pin: None, prefix: None, is_cleanup: false })
    }

    /// Makes a client on this runtime and waits until one endpoint can be used. The adapters have a
    /// `connect` of their own.
    ///
    /// Fails as soon as every endpoint has been tried once and failed; to wait longer, make a
    /// [lazy](Self::connect_lazy_on) client and let its calls wait.
    ///
    /// # Errors
    ///
    /// Kind [`InvalidConfig`](ErrorKind::InvalidConfig) as in
    /// [`connect_lazy_on`](Self::connect_lazy_on), or
    /// [`Connect`](ErrorKind::Connect) with the cause of each endpoint, or
    /// [`OldServer`](ErrorKind::OldServer) if the configuration asks for a version.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes what was opened.
    /// # Examples
    ///
    /// ```
    /// use etcd3::{Client, Config};
    /// use std::sync::Arc;
    ///
    /// # etcd3_sim::example_with(|_, etcd, world| async move {
    /// // The runtime of a simulation here; adapters make a client on theirs by `connect`.
    /// let runtime = Arc::new(world.host().runtime());
    /// let client = Client::connect_on(runtime, Config::new(etcd.endpoints())).await?;
    /// assert!(client.health().is_connected());
    /// # Ok(())
    /// # });
    /// ```
    pub async fn connect_on(
        rt: Arc<dyn Runtime>,
        config: impl Into<Config>,
    ) -> Result<Self, Error> {
        let client = Self::connect_lazy_on(rt, config)?;
        let (shared, pool) = (client.shared(), &client.shared().pool);
        pool.feed(channel::Input::Wanted);
        loop {
            let changed = pool.changed_for(Want::default());
            if let Some(kind) = pool.closed_kind() {
                return Err(Error::new(kind));
            }
            if pool.channel(|channel| channel.is_ready()) {
                break;
            }
            let now = pool.rt.now();
            let failed = |channel: &mut Channel| {
                channel.connection_error().and_then(|_| channel.failed(now))
            };
            if let Some(error) = pool.channel(failed) {
                return Err(error);
            }
            changed.await;
        }
        if let Some(tokens) = &pool.tokens {
            tokens.log_in(pool).await?;
        }
        if let Some(least) = shared.config.min_server_version {
            client.require_version(least).await?;
        }
        Ok(client)
    }

    /// Returns the runtime that the client was made on.
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # etcd3_sim::example(|client| async move {
    /// let rt = client.runtime();
    /// let begin = rt.now();
    /// rt.sleep_until(begin + Duration::from_secs(1)).await;
    /// assert!(rt.now() >= begin + Duration::from_secs(1));
    /// # Ok(())
    /// # });
    /// ```
    pub fn runtime(&self) -> &Arc<dyn Runtime> {
        &self.shared().pool.rt
    }

    /// Runs a future in the background, on the runtime of the client; [`close`](Self::close) waits
    /// for it to end, for five seconds at most.
    ///
    /// Its calls end when the client is closed; those of [`for_cleanup`](Self::for_cleanup) do not.
    /// A future that holds a clone of the client keeps it open. A panic of it does not close the
    /// client; that its runtime drops it does, since then the runtime itself has ended.
    /// # Examples
    ///
    /// ```
    /// # etcd3_sim::example(|client| async move {
    /// let writer = client.clone();
    /// client.spawn(async move {
    ///     if let Err(error) = writer.put("started", "yes").await {
    ///         eprintln!("{}", error.report());
    ///     }
    /// });
    /// # Ok(())
    /// # });
    /// ```
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        let tasks = &self.shared().tasks;
        if self.is_cleanup { tasks.spawn_cleanup(future) } else { tasks.spawn(future) }
    }

    /// Returns the endpoints that calls go to: those that were given, or that the cluster named
    /// since.
    /// # Examples
    ///
    /// ```
    /// # etcd3_sim::example(|client| async move {
    /// client.set_endpoints(["http://etcd-0:2379", "http://etcd-1:2379"])?;
    /// assert_eq!(client.endpoints(), ["http://etcd-0:2379", "http://etcd-1:2379"]);
    /// # Ok(())
    /// # });
    /// ```
    pub fn endpoints(&self) -> Vec<String> {
        let health = self.shared().pool.channel(|channel| channel.health());
        let listed = health.iter().filter(|it| it.listed == Listed::Primary);
        listed.map(|it| it.endpoint.to_string()).collect()
    }

    /// Replaces the endpoints. Calls under way on others end there, new ones go to these.
    ///
    /// # Errors
    ///
    /// Kind [`InvalidConfig`](ErrorKind::InvalidConfig) when there is none, or one that
    /// cannot be read; the endpoints stay as they were then.
    /// # Examples
    ///
    /// ```
    /// # etcd3_sim::example(|client| async move {
    /// client.set_endpoints(["http://etcd-2:2379"])?;
    /// client.put("k", "v").await?;
    /// assert!(client.set_endpoints(["http://etcd:port"]).is_err());
    /// # Ok(())
    /// # });
    /// ```
    pub fn set_endpoints<E: Into<String>>(
        &self,
        endpoints: impl IntoIterator<Item = E>,
    ) -> Result<(), Error> {
        let texts: Vec<String> = endpoints.into_iter().map(Into::into).collect();
        self.shared().pool.set_given(self.shared().config.parse_endpoints(&texts)?);
        Ok(())
    }

    /// Makes a request that asks the cluster for its members, and takes over the endpoints of those
    /// that are started and no learners. The endpoints that were given by hand are kept for when
    /// none of the members can be reached. A client that was given nothing but encrypted endpoints
    /// takes no others. Nor does one with credentials take those where [passwords and tokens may
    /// not go](crate::Config::allow_plaintext_passwords).
    ///
    /// # Errors
    ///
    /// Those of any read, and kind [`NoUsableMember`](ErrorKind::NoUsableMember) when no
    /// member has an endpoint that this client can use. The endpoints stay as they were then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the endpoints as they were.
    /// # Examples
    ///
    /// ```
    /// # etcd3_sim::example(|client| async move {
    /// client.set_endpoints(["http://etcd-0:2379"])?;
    /// client.sync_endpoints().await?;
    /// assert_eq!(client.endpoints().len(), 3);
    /// # Ok(())
    /// # });
    /// ```
    // I-C7
    pub fn sync_endpoints(&self) -> Request<SyncEndpoints> {
        self.request(SyncEndpoints(()))
    }

    /// Makes a client for calls to one member: all that it does goes to this endpoint, which need
    /// not be one of the others, over the same pool of connections.
    ///
    /// The endpoint stays connected as long as this client, one of its clones or a request lives.
    /// Answers of one that is not among the others are not checked for the cluster that they come
    /// from. Endpoints are set for all clients at once, and closing one closes all.
    ///
    /// # Errors
    ///
    /// Kind [`InvalidConfig`](ErrorKind::InvalidConfig) when the endpoint cannot be read.
    /// # Examples
    ///
    /// ```
    /// use etcd3::proto::etcdserverpb::StatusRequest;
    ///
    /// # etcd3_sim::example(|client| async move {
    /// for endpoint in client.endpoints() {
    ///     let status = client.pinned_to(&endpoint)?.rpc(StatusRequest::default()).await?;
    ///     println!("{endpoint} runs etcd {}", status.version);
    /// }
    /// # Ok(())
    /// # });
    /// ```
    pub fn pinned_to(&self, endpoint: impl Into<String>) -> Result<Self, Error> {
        let shared = self.shared();
        let parsed = shared.config.parse_endpoints(&[endpoint.into()])?;
        let pins = parsed.into_iter().map(|endpoint| PinnedEndpoint::new(shared, endpoint));
        let pin = pins.map(Arc::new).next();
        Ok(Self { pin, ..self.clone() })
    }

    /// Returns how the endpoints do: which are connected, since when, and what went wrong.
    ///
    /// It is about the connections of calls and watches: leases have their own, since a renewal
    /// that queued behind bulk data might come too late.
    ///
    /// # Examples
    ///
    /// ```
    /// use etcd3::EndpointState;
    ///
    /// # etcd3_sim::example(|client| async move {
    /// client.put("k", "v").await?;
    /// let health = client.health();
    /// assert!(health.is_connected());
    /// for endpoint in health.endpoints.iter().filter(|it| it.state != EndpointState::Ready) {
    ///     println!("{} is {:?}: {:?}", endpoint.endpoint, endpoint.state, endpoint.last_error);
    /// }
    /// # Ok(())
    /// # });
    /// ```
    pub fn health(&self) -> Health {
        Health::of(self.shared())
    }

    /// Returns the same as a stream: how the endpoints do now, and again after each change.
    ///
    /// Changes that come faster than they are read are seen as one. The stream ends when the client
    /// is closed, and does not keep it open.
    /// # Examples
    ///
    /// ```
    /// # etcd3_sim::example(|client| async move {
    /// let mut changes = client.health_changes();
    /// client.put("k", "v").await?;
    /// while let Some(health) = changes.next().await {
    ///     if health.is_connected() {
    ///         break;
    ///     }
    /// }
    /// # Ok(())
    /// # });
    /// ```
    pub fn health_changes(&self) -> HealthChanges {
        HealthChanges::new(Arc::clone(self.shared()))
    }

    /// Accepts answers that are older than what was seen before, as after the cluster was restored
    /// from a snapshot: see [`StaleRead`](ErrorKind::StaleRead).
    /// # Examples
    ///
    /// ```
    /// use etcd3::ErrorKind;
    ///
    /// # etcd3_sim::example(|client| async move {
    /// let found = match client.get("k").await {
    ///     Err(error) if matches!(error.kind(), ErrorKind::StaleRead { .. }) => {
    ///         // The operator says that the cluster was restored from a snapshot.
    ///         client.forget_revision();
    ///         client.get("k").await?
    ///     }
    ///     other => other?,
    /// };
    /// assert_eq!(found.count, 0);
    /// # Ok(())
    /// # });
    /// ```
    pub fn forget_revision(&self) {
        self.shared().pool.forget_revision();
    }

    /// Opens a bidirectional stream of messages as they are on the wire.
    ///
    /// Not part of the stable interface: for tests of what streams have in common.
    #[doc(hidden)]
    pub fn raw_stream(&self, method: &'static Method) -> RawStream {
        RawStream::open(self.shared(), method, self.only())
    }

    /// The same over the connections of leases.
    #[doc(hidden)]
    pub fn raw_lease_stream(&self, method: &'static Method) -> RawStream {
        RawStream::open(self.lease_shared(), method, self.lease_only())
    }

    pub(crate) fn request<T>(&self, operation: T) -> Request<T> {
        Request::new(self.clone(), operation)
    }

    pub(crate) fn connect_timeout(&self) -> Duration {
        self.shared().config.connect_timeout
    }

    /// The only endpoint that its calls go to, if there is one.
    pub(crate) fn only(&self) -> Option<EndpointId> {
        self.pin.as_ref().map(|pin| pin.id)
    }

    /// Completes the options of a call by what is the same for all calls of this handle.
    pub(crate) fn call_options(&self, options: CallOptions) -> CallOptions {
        CallOptions { only: self.only(), is_cleanup: self.is_cleanup, ..options }
    }

    /// What is before its keys, if it is that of a namespace.
    pub(crate) const fn key_prefix(&self) -> Option<&KeyPrefix> {
        self.prefix.as_ref()
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }

    /// The connections of its leases, and what belongs to them; made when they are first asked for.
    pub(crate) fn lease_shared(&self) -> &Arc<Shared> {
        self.handle.leases()
    }

    /// Returns why its streams have ended: without a reason, the runtime has dropped their tasks.
    pub(crate) fn closed_kind(&self) -> ErrorKind {
        self.shared().pool.closed_kind().unwrap_or(ErrorKind::RuntimeEnded)
    }

    /// The same endpoint as [`only`](Self::only), by its number among the connections of leases. It
    /// stays connected as long as this client or one of its clones lives.
    pub(crate) fn lease_only(&self) -> Option<EndpointId> {
        self.pin.as_ref().map(|pin| pin.in_leases(self.lease_shared()))
    }

    /// The streams of its leases.
    pub(crate) fn lease_streams(&self) -> &Arc<lease::Registry> {
        &self.handle.lease_streams
    }

    /// The streams of its watches.
    pub(crate) fn watches(&self) -> &Arc<watch::Registry> {
        &self.handle.watches
    }

    /// Runs one operation, and keeps the client open meanwhile.
    pub(crate) fn run<T: Operation>(self, operation: T, options: CallOptions) -> RequestFuture<T> {
        let options = self.call_options(options);
        let (prefix, shared) = (self.prefix.clone(), Arc::clone(self.shared()));
        let run = OperationCall::under(prefix, shared, operation, options);
        RequestFuture::new(self, run)
    }
}
