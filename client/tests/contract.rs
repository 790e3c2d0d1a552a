//! What programs rely on without saying so: which types cross threads, and which names there are.

use etcd3::request::Execute;
use etcd3::{Client, Config, Error, Request, recipes};
use std::future::{Future, IntoFuture};

fn crosses_threads<T: Send + Sync + 'static>() {}

fn is_sent<T: Send>(_: &T) {}

#[test]
fn clients_and_errors_cross_threads() {
    crosses_threads::<Client>();
    crosses_threads::<Config>();
    crosses_threads::<Error>();
    crosses_threads::<etcd3::GetResponse>();
    crosses_threads::<etcd3::TxnResponse>();
    crosses_threads::<etcd3::Txn>();
    crosses_threads::<Request<etcd3::Get>>();
    crosses_threads::<etcd3::Health>();
    crosses_threads::<etcd3::HealthChanges>();
    crosses_threads::<etcd3::Pages>();
    crosses_threads::<etcd3::KeyValues>();
    crosses_threads::<etcd3::RangeStream>();
    crosses_threads::<etcd3::Watch>();
    crosses_threads::<etcd3::WatchItems>();
    crosses_threads::<etcd3::WatchHandle>();
    crosses_threads::<etcd3::WatchRanges>();
    crosses_threads::<etcd3::ListWatch>();
    crosses_threads::<etcd3::Cache>();
    crosses_threads::<etcd3::CacheChanges>();
    crosses_threads::<etcd3::CachedValue<String>>();
    crosses_threads::<etcd3::Lease>();
    crosses_threads::<etcd3::LeaseStatusChanges>();
    crosses_threads::<etcd3::LeaseLoss>();
    crosses_threads::<etcd3::Session>();
    crosses_threads::<etcd3::Registration>();
    crosses_threads::<etcd3::recipes::mirror::Mirror>();
    crosses_threads::<etcd3::recipes::mirror::Syncer>();
    crosses_threads::<etcd3::ServingChanges>();
    crosses_threads::<recipes::Queue>();
    crosses_threads::<recipes::PriorityQueue>();
    crosses_threads::<recipes::RwLockGuard>();
    crosses_threads::<recipes::Permit>();
    crosses_threads::<recipes::DoubleBarrierGuard>();
    crosses_threads::<etcd3::raw::Observe>();
    crosses_threads::<etcd3::runtime::Lookup>();
}

/// The bounds that a library of a program's own would name.
fn all_at_once<T>(requests: Vec<Request<T>>) -> Vec<T::Future>
where
    T: Execute,
    T::Future: Future<Output = T::Output> + Send,
{
    requests.into_iter().map(Request::send).collect()
}

#[test]
fn what_a_request_turns_into_crosses_threads() {
    // Never called: a client needs a runtime.
    let _ = |client: &Client| {
        is_sent(&client.get("k").send());
        is_sent(&client.put("k", "v").into_future());
        is_sent(&client.txn().then(etcd3::ops![]).send());
        is_sent(&client.compare([]).send());
        is_sent(&client.sync_endpoints().send());
        is_sent(&client.grant(std::time::Duration::ZERO).send());
        is_sent(&client.time_to_live(7).send());
        is_sent(&client.close());
        is_sent(&client.closed());
        is_sent(&Client::connect_on(client.runtime().clone(), "a"));
        is_sent(&client.pages(..));
        is_sent(&client.watch(..).send());
        is_sent(&client.cache(..).send());
        is_sent(&client.lease(std::time::Duration::ZERO).send());
        is_sent(&client.keep_alive(7).send());
        is_sent(&client.keep_alive_once(7).send());
        is_sent(&client.session(std::time::Duration::ZERO).send());
        is_sent(&client.session_on(7).send());
        is_sent(&client.register("k", "v").send());
        is_sent(&client.auth().user_add("u", "p").send());
        is_sent(&client.cluster().member_add(["a"]).send());
        is_sent(&client.cluster().member_list().send());
        is_sent(&client.cluster().view().send());
        is_sent(&client.maintenance().status("a").send());
        is_sent(&client.maintenance().statuses().send());
        is_sent(&client.maintenance().move_leader(7).send());
        is_sent(&client.maintenance().ensure_downgrade((3, 5)).send());
        is_sent(&client.maintenance().disarm_all().send());
        is_sent(&client.raw().lock("name", 7).send());
    };
    let _ = |lease: &etcd3::Lease, session: &etcd3::Session| {
        is_sent(&lease.revoke());
        is_sent(&lease.lost());
        is_sent(&session.register("k", "v"));
        is_sent(&session.unregister("k"));
        is_sent(&session.lost());
        is_sent(&session.close());
        is_sent(&session.turns("name").take());
    };
    let _ = |queue: &recipes::Queue, ranked: &recipes::PriorityQueue, sum: &recipes::Counter| {
        is_sent(&queue.enqueue("item"));
        is_sent(&queue.dequeue());
        is_sent(&queue.dequeue_timeout(std::time::Duration::ZERO));
        is_sent(&ranked.enqueue("item", 7));
        is_sent(&ranked.try_dequeue());
        is_sent(&sum.add(7));
        is_sent(&sum.compare_and_set(7, 8));
    };
    let _ = |lock: &recipes::RwLock, semaphore: &recipes::Semaphore, barrier: &recipes::Barrier| {
        is_sent(&lock.read());
        is_sent(&lock.try_write());
        is_sent(&semaphore.acquire());
        is_sent(&barrier.hold());
        is_sent(&barrier.wait());
    };
    let _ = |barrier: &recipes::DoubleBarrier, inside: &recipes::DoubleBarrierGuard| {
        is_sent(&barrier.enter());
        is_sent(&inside.leave());
        is_sent(&inside.lost());
    };
    let _ = |mutex: &etcd3::recipes::Mutex, guard: &etcd3::recipes::MutexGuard| {
        is_sent(&mutex.lock());
        is_sent(&mutex.try_lock());
        is_sent(&mutex.lock_timeout(std::time::Duration::ZERO));
        is_sent(&guard.lost());
        is_sent(&guard.unlock());
    };
    let _ = |election: &etcd3::recipes::Election, leadership: &etcd3::recipes::Leadership| {
        is_sent(&election.campaign("v"));
        is_sent(&election.try_campaign("v"));
        is_sent(&election.campaign_timeout("v", std::time::Duration::ZERO));
        is_sent(&election.resume());
        is_sent(&election.leader());
        is_sent(&leadership.lost());
        is_sent(&leadership.proclaim("v"));
        is_sent(&leadership.resign());
    };
    let _ = |latch: &etcd3::recipes::LeaderLatch, changes: &mut etcd3::recipes::LeaderChanges| {
        is_sent(&latch.run(|leadership| async move { drop(leadership) }));
        is_sent(&latch.run_until_done(|leadership| async move { drop(leadership) }));
        is_sent(&changes.next());
    };
    let _ = |client: &Client| {
        let whole = [client.txn().into_whole(), client.txn().when([]).into_whole()];
        all_at_once(whole.into());
    };
}

/// Every public item at the root of the crate, by its name.
#[allow(unused_imports, reason = "that they can be named is all")]
mod root {
    use etcd3::{
        Alarm, AlarmKind, AlarmsResponse, Auth, Bytes, Cache, CacheChanges, CacheItem, CachedValue,
        CallClass, CallMetrics, Cause, Client, Cluster, Code, Compact, CompactResponse, Compare,
        CompareOp, Config, ConnectFailure, ConnectionMetrics, DefragmentResponse, Delete,
        DeleteResponse, Difference, DowngradeInfo, DowngradeResponse, EndpointHealth,
        EndpointState, EndpointStatus, Error, ErrorKind, Event, EventKind, Get, GetResponse, Grant,
        GrantResponse, HashKvResponse, HashResponse, Health, HealthChanges, IgnoreLease,
        IgnoreValue, IntoBytes, KeepAliveOnceResponse, KeyRange, KeyValue, KeyValues, Latencies,
        Lease, LeaseId, LeaseLoss, LeaseLost, LeaseMetrics, LeaseStatus, LeaseStatusChanges,
        Leases, LeasesResponse, Limits, ListWatch, ListWatchItem, LossReason, Maintenance,
        MemberStatus, Metrics, MoveLeaderResponse, OnLoss, Op, OpResponse, Operation, Outcome,
        Pages, Phase, Previous, Put, PutLease, PutResponse, PutValue, RangeStream, Raw,
        Registration, Report, Request, RequestFuture, ResponseHeader, ResumeToken, Revoke,
        RevokeResponse, SaveSnapshot, SavedSnapshot, Secret, ServerError, Serving, ServingChanges,
        Session, SessionTurn, SessionTurns, Snapshot, SnapshotProgress, SortOrder, SortTarget,
        Status, TimeToLive, TimeToLiveResponse, TokenReason, Txn, TxnResponse, UnaryRequest,
        Version, Watch, WatchBatch, WatchHandle, WatchItem, WatchItems, WatchMetrics, WatchOptions,
        WatchRanges, WatchStatus, all, compact, delete, from_key, get, key, ops, parity, prefix,
        proto, put, raw, recipes, request, runtime, trace, txn, watch,
    };

    use etcd3::{
        AuthResponse, AuthStatusResponse, Permission, PermissionType, RoleGetResponse,
        RoleListResponse, UserGetResponse, UserListResponse,
    };

    use etcd3::{
        ClusterView, Disagreement, Member, MemberAddResponse, MemberId, MemberListResponse,
        MemberPromoteResponse, MemberRemoveResponse, MemberUpdateResponse, MemberView,
    };

    use etcd3::recipes::{
        Barrier, ClaimUnknown, Counter, DoubleBarrier, DoubleBarrierGuard, Permit, PriorityQueue,
        Queue, RecipeError, RwLock, RwLockGuard, Semaphore,
    };

    #[cfg(feature = "tls")]
    use etcd3::TlsConfig;
}
