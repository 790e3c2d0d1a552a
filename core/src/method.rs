//! The methods of etcd's gRPC API: path, and what a call does to the store.

// R15–R18

use crate::Version;

/// What a call may do to the cluster; decides whether it may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Effect {
    /// Changes nothing.
    Read,
    /// Changes something, but twice is the same as once.
    IdempotentWrite,
    /// Changes something; sent twice it may change twice.
    Write,
    /// A [`Write`](Self::Write) that also reads at a revision, in one branch of a transaction.
    ///
    /// When a member refuses that read, members before etcd 3.7 apply the writes all the same
    /// (etcd#18667).
    PinnedWrite,
}

impl Effect {
    /// Returns whether a request that may have been applied may be sent again.
    #[must_use]
    pub const fn is_repeatable(self) -> bool {
        matches!(self, Self::Read | Self::IdempotentWrite)
    }
}

/// How messages flow in a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Shape {
    /// One request, one response.
    Unary,
    /// One request, many responses.
    ServerStream,
    /// Many of both.
    Bidi,
}

/// One method of the API.
#[derive(Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Method {
    /// The `:path` of the request, `/package.Service/Method`.
    pub path: &'static str,
    /// What a call may do. That of a transaction depends on its content: see
    /// [`Txn::effect`](crate::Txn::effect).
    pub effect: Effect,
    /// How messages flow.
    pub shape: Shape,
}

impl Method {
    /// Makes a method of a service that is not among those here.
    #[must_use]
    pub const fn new(path: &'static str, effect: Effect, shape: Shape) -> Self {
        Self { path, effect, shape }
    }

    /// Returns whether its requests carry a password.
    #[must_use]
    pub fn carries_secret(&self) -> bool {
        // By its path: a program may have a `Method` of its own for it.
        [&AUTHENTICATE, &USER_ADD, &USER_CHANGE_PASSWORD]
            .into_iter()
            .any(|secret| secret.path == self.path)
    }
}

impl Method {
    /// Returns whether its requests are to carry the token of the user, if there is one: all but
    /// the login itself, and what asks for the health of a server.
    // A12
    #[must_use]
    pub fn takes_token(&self) -> bool {
        ![&AUTHENTICATE, &HEALTH_CHECK, &HEALTH_WATCH].into_iter().any(|it| it.path == self.path)
    }

    /// Returns the first version whose servers have it, if it came after etcd 3.4.
    // V5
    #[must_use]
    pub fn since(&self) -> Option<Version> {
        let versions = [
            (&RANGE_STREAM, Version::new(3, 7)),
            (&AUTH_STATUS, Version::new(3, 5)),
            (&DOWNGRADE, Version::new(3, 5)),
        ];
        versions.into_iter().find(|(method, _)| method.path == self.path).map(|(_, it)| it)
    }
}

macro_rules! methods {
    ($($name:ident = $path:literal, $effect:ident, $shape:ident;)*) => {
        $(
            #[doc = concat!("`", $path, "`")]
            pub static $name: Method =
                Method { path: $path, effect: Effect::$effect, shape: Shape::$shape };
        )*

        /// All methods.
        pub static ALL: &[&Method] = &[$(&$name,)*];
    };
}

// A grant carries a lease id of the client's choice (I-L9); a revoke, a member removal and the like
// answer a repetition with an error, which the caller of a repeated call would take for the truth.
methods! {
    RANGE = "/etcdserverpb.KV/Range", Read, Unary;
    RANGE_STREAM = "/etcdserverpb.KV/RangeStream", Read, ServerStream;
    PUT = "/etcdserverpb.KV/Put", Write, Unary;
    DELETE_RANGE = "/etcdserverpb.KV/DeleteRange", Write, Unary;
    TXN = "/etcdserverpb.KV/Txn", Write, Unary;
    COMPACT = "/etcdserverpb.KV/Compact", Write, Unary;
    WATCH = "/etcdserverpb.Watch/Watch", Read, Bidi;
    LEASE_GRANT = "/etcdserverpb.Lease/LeaseGrant", Write, Unary;
    LEASE_REVOKE = "/etcdserverpb.Lease/LeaseRevoke", Write, Unary;
    LEASE_KEEP_ALIVE = "/etcdserverpb.Lease/LeaseKeepAlive", IdempotentWrite, Bidi;
    LEASE_TIME_TO_LIVE = "/etcdserverpb.Lease/LeaseTimeToLive", Read, Unary;
    LEASE_LEASES = "/etcdserverpb.Lease/LeaseLeases", Read, Unary;
    MEMBER_ADD = "/etcdserverpb.Cluster/MemberAdd", Write, Unary;
    MEMBER_REMOVE = "/etcdserverpb.Cluster/MemberRemove", Write, Unary;
    MEMBER_UPDATE = "/etcdserverpb.Cluster/MemberUpdate", Write, Unary;
    MEMBER_LIST = "/etcdserverpb.Cluster/MemberList", Read, Unary;
    MEMBER_PROMOTE = "/etcdserverpb.Cluster/MemberPromote", Write, Unary;
    ALARM = "/etcdserverpb.Maintenance/Alarm", IdempotentWrite, Unary;
    STATUS = "/etcdserverpb.Maintenance/Status", Read, Unary;
    DEFRAGMENT = "/etcdserverpb.Maintenance/Defragment", Write, Unary;
    HASH = "/etcdserverpb.Maintenance/Hash", Read, Unary;
    HASH_KV = "/etcdserverpb.Maintenance/HashKV", Read, Unary;
    SNAPSHOT = "/etcdserverpb.Maintenance/Snapshot", Read, ServerStream;
    MOVE_LEADER = "/etcdserverpb.Maintenance/MoveLeader", Write, Unary;
    DOWNGRADE = "/etcdserverpb.Maintenance/Downgrade", Write, Unary;
    AUTH_ENABLE = "/etcdserverpb.Auth/AuthEnable", Write, Unary;
    AUTH_DISABLE = "/etcdserverpb.Auth/AuthDisable", Write, Unary;
    AUTH_STATUS = "/etcdserverpb.Auth/AuthStatus", Read, Unary;
    AUTHENTICATE = "/etcdserverpb.Auth/Authenticate", Read, Unary;
    USER_ADD = "/etcdserverpb.Auth/UserAdd", Write, Unary;
    USER_GET = "/etcdserverpb.Auth/UserGet", Read, Unary;
    USER_LIST = "/etcdserverpb.Auth/UserList", Read, Unary;
    USER_DELETE = "/etcdserverpb.Auth/UserDelete", Write, Unary;
    USER_CHANGE_PASSWORD = "/etcdserverpb.Auth/UserChangePassword", Write, Unary;
    USER_GRANT_ROLE = "/etcdserverpb.Auth/UserGrantRole", Write, Unary;
    USER_REVOKE_ROLE = "/etcdserverpb.Auth/UserRevokeRole", Write, Unary;
    ROLE_ADD = "/etcdserverpb.Auth/RoleAdd", Write, Unary;
    ROLE_GET = "/etcdserverpb.Auth/RoleGet", Read, Unary;
    ROLE_LIST = "/etcdserverpb.Auth/RoleList", Read, Unary;
    ROLE_DELETE = "/etcdserverpb.Auth/RoleDelete", Write, Unary;
    ROLE_GRANT_PERMISSION = "/etcdserverpb.Auth/RoleGrantPermission", Write, Unary;
    ROLE_REVOKE_PERMISSION = "/etcdserverpb.Auth/RoleRevokePermission", Write, Unary;
    CAMPAIGN = "/v3electionpb.Election/Campaign", Write, Unary;
    PROCLAIM = "/v3electionpb.Election/Proclaim", Write, Unary;
    LEADER = "/v3electionpb.Election/Leader", Read, Unary;
    OBSERVE = "/v3electionpb.Election/Observe", Read, ServerStream;
    RESIGN = "/v3electionpb.Election/Resign", Write, Unary;
    LOCK = "/v3lockpb.Lock/Lock", Write, Unary;
    UNLOCK = "/v3lockpb.Lock/Unlock", Write, Unary;
    HEALTH_CHECK = "/grpc.health.v1.Health/Check", Read, Unary;
    HEALTH_WATCH = "/grpc.health.v1.Health/Watch", Read, ServerStream;
}

#[cfg(test)]
mod tests {
    use super::*;

    // What carries a password is known by its path, whoever made the method.
    #[test]
    fn a_method_of_a_program_carries_what_its_path_says() {
        let own = |path| Method::new(path, Effect::Read, Shape::Unary);
        assert!(own("/etcdserverpb.Auth/Authenticate").carries_secret());
        assert!(!own("/etcdserverpb.Auth/AuthStatus").carries_secret());
        assert_eq!(own("/etcdserverpb.KV/RangeStream").since(), Some(Version::new(3, 7)));
    }

    #[test]
    fn every_rpc_of_the_schema_is_here() {
        let facts = include_str!("../tests/data/etcd-rpcs.tsv");
        let known: Vec<_> =
            facts.lines().skip(1).map(|l| l.split('\t').collect::<Vec<_>>()).collect();
        for row in &known {
            let method =
                ALL.iter().find(|m| m.path == row[0]).unwrap_or_else(|| panic!("{}", row[0]));
            let shape = match row[1] {
                "unary" => Shape::Unary,
                "server-stream" => Shape::ServerStream,
                "bidi" => Shape::Bidi,
                other => panic!("{other}"),
            };
            assert_eq!(method.shape, shape, "{}", method.path);
        }
        assert_eq!(ALL.len(), known.len() + 2, "grpc.health.v1 has two methods");
    }

    // R16: what Go calls non-repeatable is never a read here, but for what changes nothing.
    #[test]
    fn writes_are_writes() {
        for method in [&PUT, &DELETE_RANGE, &TXN, &COMPACT, &LEASE_GRANT, &MOVE_LEADER, &MEMBER_ADD]
        {
            assert_eq!(method.effect, Effect::Write, "{}", method.path);
        }
    }
}
