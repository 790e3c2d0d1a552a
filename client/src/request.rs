//! A request that is sent by awaiting it, and what it can be made of.

pub use crate::cache::BeginCache;
use crate::call::{CallOptions, OperationCall};
pub use crate::cluster::{MemberAdd, MemberPromote, MemberRemove, MemberUpdate, View};
pub use crate::lease::grant::Grant;
pub use crate::lease::revoke::Revoke;
pub use crate::lease::{BeginKeepAlive, BeginLease, KeepAliveOnce, KeepAliveOnceResponse};
pub use crate::maintenance::{At, DisarmAll, EnsureDowngrade, MoveLeader, StatusOf, Statuses};
use crate::runtime::BoxFuture;
pub use crate::session::{BeginRegistration, BeginSession};
pub use crate::watch::{BeginWatch, BeginWatchRanges};
use crate::{Client, Error, sync};
use etcd3_core::LeaseId;
use etcd3_core::channel::EndpointId;
pub use etcd3_core::method::{Effect, Method, Shape};
pub use etcd3_core::namespace::KeyPrefix;
pub use etcd3_core::request::cluster;
use etcd3_core::request::cluster::MemberList;
pub use etcd3_core::request::maintenance;
pub use etcd3_core::request::{
    AuthDisable, AuthEnable, AuthResponse, AuthStatus, AuthStatusResponse, Permission,
    PermissionType, RoleAdd, RoleDelete, RoleGet, RoleGetResponse, RoleGrantPermission, RoleList,
    RoleListResponse, RoleRevokePermission, UserAdd, UserChangePassword, UserDelete, UserGet,
    UserGetResponse, UserGrantRole, UserList, UserListResponse, UserRevokeRole,
};
pub use etcd3_core::request::{
    Compact, CompactResponse, Compare, CompareOp, CompareOpError, CompareTarget, Comparison,
    Delete, DeleteResponse, Get, GetResponse, GrantResponse, IgnoreLease, IgnoreValue, Leases,
    LeasesResponse, Limits, NESTING_LIMIT, Op, OpResponse, Operand, Operation, Otherwise, Put,
    PutLease, PutResponse, PutValue, Raw, RevokeResponse, SortOrder, SortTarget, Then, TimeToLive,
    TimeToLiveResponse, Txn, TxnResponse, WatchOptions, When, Whole, compact, compare, delete, get,
    leases, put, time_to_live, txn, watch,
};
pub use etcd3_core::rpc::{Rpc, UnaryRequest};
use etcd3_core::watch::ResumeToken;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// A request of a [`Client`], sent by awaiting it.
///
/// Has the options of the operation that it makes, and those of every call:
/// [`timeout`](Self::timeout) and [`require_leader`](Self::require_leader).
///
/// # Examples
///
/// ```
/// use etcd3::{SortOrder, SortTarget, prefix};
/// use std::time::Duration;
///
/// # etcd3_sim::example(|client| async move {
/// // Options first, then await it.
/// let newest = client
///     .get(prefix("config/"))
///     .sort(SortTarget::Mod, SortOrder::Descend)
///     .limit(1)
///     .timeout(Duration::from_secs(2))
///     .await?;
/// # assert_eq!(newest.count, 0);
///
/// // Or make it a future, for what joins, spawns or selects futures.
/// let (a, b) = futures_lite::future::zip(
///     client.put("a", "1").send(),
///     client.put("b", "2").send(),
/// )
/// .await;
/// println!("revisions {} and {}", a?.header.revision, b?.header.revision);
/// # Ok(())
/// # });
/// ```
///
/// # Errors
///
/// Every failure is an [`Error`] with a kind, an outcome, the endpoint and the attempts. Reads are
/// repeated on other endpoints until the timeout; writes only as long as it is certain that no
/// server acted on them. A write whose outcome is [unknown](etcd3_core::Outcome::Unknown) may have
/// been applied, or may yet be.
///
/// # Cancel safety
///
/// Dropping the future cancels the call and resets its stream. A write that was under way may have
/// been applied all the same.
#[derive(Debug, Clone)]
#[must_use = "a request does nothing until it is awaited"]
pub struct Request<T> {
    client: Client,
    operation: T,
    options: CallOptions,
}

impl<T> Request<T> {
    pub(crate) fn new(client: Client, operation: T) -> Self {
        Self { client, operation, options: CallOptions::default() }
    }

    /// Sets how long the call may take, in place of `Config::request_timeout`: waiting for a
    /// connection, retries and the answer included. It begins when the request is awaited. Zero, as
    /// for a deadline that has passed, ends the call at once in
    /// [`TimedOut`](crate::ErrorKind::TimedOut), and nothing is sent.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = Some(timeout);
        self
    }

    /// Sets whether a member that knows no leader is to refuse the request, instead of waiting;
    /// such a refusal is tried again elsewhere. In place of `Config::require_leader`.
    // W18
    pub fn require_leader(mut self, is_required: bool) -> Self {
        self.options.require_leader = Some(is_required);
        self
    }

    /// Takes over the options of another call.
    pub(crate) fn options(mut self, options: CallOptions) -> Self {
        self.options = options;
        self
    }

    /// The operation as a value, without the options of the call.
    pub fn into_operation(self) -> T {
        self.operation
    }

    pub(crate) fn map<U>(self, change: impl FnOnce(T) -> U) -> Request<U> {
        let Self { client, operation, options } = self;
        Request { client, operation: change(operation), options }
    }
}

impl<T: Execute> Request<T> {
    /// Turns into the future of the answer, for what takes futures and not what turns into them:
    /// `join_all`, `buffer_unordered`, `spawn`. Nothing is sent before it is polled.
    pub fn send(self) -> T::Future {
        self.operation.execute(self.client, self.options)
    }
}

impl<T: Execute> IntoFuture for Request<T> {
    type Output = T::Output;
    type IntoFuture = T::Future;

    fn into_future(self) -> T::Future {
        self.send()
    }
}

pub(crate) mod sealed {
    pub trait Sealed {}

    impl<T: etcd3_core::Operation> Sealed for T {}
    impl Sealed for super::SyncEndpoints {}
}

/// What a [`Request`] can be made of: every [`Operation`], and what only a client can do.
///
/// Sealed: a program's own requests implement [`Operation`].
pub trait Execute: sealed::Sealed {
    /// What awaiting the request gives.
    type Output;
    /// The future of that.
    type Future: Future<Output = Self::Output>;

    #[doc(hidden)]
    fn execute(self, client: Client, options: CallOptions) -> Self::Future;
}

impl<T: Operation> Execute for T {
    type Output = Result<T::Response, Error>;
    type Future = RequestFuture<T>;

    fn execute(self, client: Client, options: CallOptions) -> RequestFuture<T> {
        client.run(self, options)
    }
}

/// The request that [`Client::sync_endpoints`] makes.
#[derive(Debug, Clone, Copy)]
pub struct SyncEndpoints(pub(crate) ());

impl Execute for SyncEndpoints {
    type Output = Result<(), Error>;
    type Future = BoxFuture<'static, Self::Output>;

    fn execute(self, client: Client, options: CallOptions) -> Self::Future {
        Box::pin(async move { sync::once(client.shared(), options).await })
    }
}

/// A [`Request`] that is awaited. Begins when it is polled first; keeps the client open until then
/// and until it is over.
#[must_use = "a future does nothing until it is polled"]
pub struct RequestFuture<T> {
    run: OperationCall<T>,
    /// Declared last so that it is dropped last.
    client: Client,
}

impl<T> RequestFuture<T> {
    pub(crate) const fn new(client: Client, run: OperationCall<T>) -> Self {
        Self { run, client }
    }
}

impl<T: Operation> RequestFuture<T> {
    /// Returns the endpoint of the last attempt.
    pub(crate) fn last_endpoint(&self) -> Option<EndpointId> {
        self.run.last_endpoint()
    }
}

impl<T: Operation> Future for RequestFuture<T> {
    type Output = Result<T::Response, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.run).poll(cx).map(|(answer, _)| answer)
    }
}

impl<T> fmt::Debug for RequestFuture<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestFuture").field("client", &self.client).finish_non_exhaustive()
    }
}

/// Gives a request the options of its operation, as the core lists and documents them.
macro_rules! options {
    ($operation:ident {
        $($(#[$meta:meta])* $name:ident($($arg:ident: $type:ty),*);)*
    }) => {
        impl Request<$operation> {
            $(
                $(#[$meta])*
                pub fn $name(self, $($arg: $type),*) -> Self {
                    self.map(|operation| operation.$name($($arg),*))
                }
            )*
        }
    };
}

etcd3_core::get_options!(options);
etcd3_core::put_options!(options);
etcd3_core::delete_options!(options);
etcd3_core::compact_options!(options);
etcd3_core::time_to_live_options!(options);
etcd3_core::member_list_options!(options);

/// Gives the request of a watch the options of the watch.
macro_rules! options_of_watch {
    ($operation:ident {
        $($(#[$meta:meta])* $name:ident($($arg:ident: $type:ty),*);)*
    }) => {
        impl Request<BeginWatch> {
            $(
                $(#[$meta])*
                pub fn $name(self, $($arg: $type),*) -> Self {
                    self.map(|BeginWatch(watch)| BeginWatch(watch.$name($($arg),*)))
                }
            )*
        }
    };
}

etcd3_core::watch_options!(options_of_watch);

/// Gives the request of a lease the options of the grant.
macro_rules! options_of_grant {
    ($operation:ident {
        $($(#[$meta:meta])* $name:ident($($arg:ident: $type:ty),*);)*
    }) => {
        impl Request<Grant> {
            $(
                $(#[$meta])*
                pub fn $name(self, $($arg: $type),*) -> Self {
                    self.map(|Grant(grant)| Grant(grant.$name($($arg),*)))
                }
            )*
        }

        impl Request<BeginLease> {
            $(
                $(#[$meta])*
                pub fn $name(self, $($arg: $type),*) -> Self {
                    self.map(|BeginLease(Grant(grant))| BeginLease(Grant(grant.$name($($arg),*))))
                }
            )*
        }
    };
}

etcd3_core::grant_options!(options_of_grant);

impl<Stage> Request<Txn<Stage>> {
    /// Sends the transaction although one of its branches writes and, beside that, reads at a
    /// revision. Where that revision turns out to be compacted or in the future, members before
    /// etcd 3.7 differ from one another from then on, and nothing mends that (etcd#18667):
    /// [`Txn::dangerously_allow_pinned_reads_in_writes`] says more.
    pub fn dangerously_allow_pinned_reads_in_writes(self) -> Self {
        self.map(Txn::dangerously_allow_pinned_reads_in_writes)
    }

    /// Has a transaction of nothing but [serializable](etcd3_core::Get::serializable) reads show at
    /// least what the client had seen of the store before, as
    /// [`Get::not_older`](etcd3_core::Get::not_older) does. Other transactions are that way always.
    pub fn not_older(self) -> Self {
        self.map(Txn::not_older)
    }
}

impl<Stage> Request<Txn<Stage>> {
    /// Turns into the request of a transaction that nothing is added to, whatever its stage was; so
    /// that one variable can hold transactions that were built in different ways.
    pub fn into_whole(self) -> Request<Txn> {
        self.map(Txn::into_whole)
    }
}

impl Request<Txn<When>> {
    /// Sets the conditions; all of them must hold. Without any, the first list of operations is
    /// executed.
    pub fn when(self, compares: impl IntoIterator<Item = Compare>) -> Request<Txn<Then>> {
        self.map(|txn| txn.when(compares))
    }
}

/// The parts of a transaction that may still follow at each stage.
macro_rules! branches {
    ($($stage:ident: $(then $then:ident,)? otherwise;)*) => {
        $(impl Request<Txn<$stage>> {
            $(/// Sets what to do if the conditions hold; operations of different kinds by
            /// [`ops!`](crate::ops).
            pub fn then<O: Into<Op>>(
                self,
                ops: impl IntoIterator<Item = O>,
            ) -> Request<Txn<$then>> {
                self.map(|txn| txn.then(ops))
            })?

            /// Sets what to do if a condition does not hold; operations of different kinds by
            /// [`ops!`](crate::ops).
            pub fn otherwise<O: Into<Op>>(self, ops: impl IntoIterator<Item = O>) -> Request<Txn> {
                self.map(|txn| txn.otherwise(ops))
            }
        })*
    };
}

branches! {
    When: then Otherwise, otherwise;
    Then: then Otherwise, otherwise;
    Otherwise: otherwise;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{Ready, ready};

    /// A request that awaits to a handle, as those of streams will.
    struct Watched;

    struct Handle(Client);

    impl sealed::Sealed for Watched {}

    impl Execute for Watched {
        type Output = Result<Handle, Error>;
        type Future = Ready<Self::Output>;

        fn execute(self, client: Client, _: CallOptions) -> Self::Future {
            ready(Ok(Handle(client)))
        }
    }

    #[test]
    fn a_request_may_await_to_something_else_than_an_answer() {
        let client = crate::still::Still::client();
        let request = Request::new(client.clone(), Watched).require_leader(true);
        let handle = futures_lite::future::block_on(request.into_future()).expect("a handle");
        assert_eq!(handle.0.endpoints(), client.endpoints());
    }
}
