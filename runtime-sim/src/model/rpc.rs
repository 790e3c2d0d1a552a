//! Requests and responses as they go over the wire: gRPC path and protobuf bytes.

use super::refusal::unknown;
use etcd3::proto::etcdserverpb as pb;
use etcd3::proto::etcdserverpb::ResponseHeader;
use etcd3::{Bytes, Code, ServerError, Status};
use prost::Message;

/// What a member answers: the response, or the status that is not OK.
pub type RpcResult = Result<Response, Status>;

macro_rules! rpcs {
    ($($(#[$doc:meta])* $name:ident: $request:ident => $response:ident = $path:literal;)*) => {
        /// A request to a member: every unary method that the model knows, and one message of the
        /// keep-alive stream.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Request {
            $($(#[$doc])* $name(pb::$request),)*
        }

        /// The answer to a [`Request`] of the same name.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Response {
            $($(#[$doc])* $name(pb::$response),)*
        }

        impl Request {
            /// Returns the path of the method, as in the pseudo-header `:path`.
            #[must_use]
            pub fn path(&self) -> &'static str {
                match self { $(Self::$name(_) => $path,)* }
            }
        }

        impl Response {
            /// Returns the message as it goes over the wire, without gRPC's frame.
            #[must_use]
            pub fn encode(&self) -> Bytes {
                match self { $(Self::$name(message) => message.encode_to_vec().into(),)* }
            }

            /// Returns the header; some methods answer without one.
            #[must_use]
            pub fn header(&self) -> Option<&ResponseHeader> {
                match self { $(Self::$name(message) => message.header.as_ref(),)* }
            }

            pub(super) fn header_mut(&mut self) -> &mut Option<ResponseHeader> {
                match self { $(Self::$name(message) => &mut message.header,)* }
            }
        }

        $(
            impl From<pb::$request> for Request {
                fn from(message: pb::$request) -> Self {
                    Self::$name(message)
                }
            }

            impl TryFrom<Response> for pb::$response {
                type Error = Response;

                /// Hands the response back when it is of another kind.
                fn try_from(response: Response) -> Result<Self, Response> {
                    match response {
                        Response::$name(message) => Ok(message),
                        other => Err(other),
                    }
                }
            }
        )*

        fn decode_known(path: &str, bytes: Bytes) -> Option<Result<Request, prost::DecodeError>> {
            match path {
                $($path => Some(pb::$request::decode(bytes).map(Request::$name)),)*
                _ => None,
            }
        }

        const PATHS: &[&str] = &[$($path,)*];
    };
}

rpcs! {
    /// Reads keys.
    Range: RangeRequest => RangeResponse = "/etcdserverpb.KV/Range";
    /// Writes a key.
    Put: PutRequest => PutResponse = "/etcdserverpb.KV/Put";
    /// Deletes keys.
    DeleteRange: DeleteRangeRequest => DeleteRangeResponse = "/etcdserverpb.KV/DeleteRange";
    /// Runs a transaction.
    Txn: TxnRequest => TxnResponse = "/etcdserverpb.KV/Txn";
    /// Forgets old revisions.
    Compact: CompactionRequest => CompactionResponse = "/etcdserverpb.KV/Compact";
    /// Grants a lease.
    LeaseGrant: LeaseGrantRequest => LeaseGrantResponse = "/etcdserverpb.Lease/LeaseGrant";
    /// Ends a lease.
    LeaseRevoke: LeaseRevokeRequest => LeaseRevokeResponse = "/etcdserverpb.Lease/LeaseRevoke";
    /// Renews a lease: one message of the stream, which takes them one after another.
    // L10
    LeaseKeepAlive: LeaseKeepAliveRequest => LeaseKeepAliveResponse =
        "/etcdserverpb.Lease/LeaseKeepAlive";
    /// Looks at a lease.
    LeaseTimeToLive: LeaseTimeToLiveRequest => LeaseTimeToLiveResponse =
        "/etcdserverpb.Lease/LeaseTimeToLive";
    /// Lists the leases.
    LeaseLeases: LeaseLeasesRequest => LeaseLeasesResponse = "/etcdserverpb.Lease/LeaseLeases";
    /// Lists the members.
    MemberList: MemberListRequest => MemberListResponse = "/etcdserverpb.Cluster/MemberList";
    /// Adds a member.
    MemberAdd: MemberAddRequest => MemberAddResponse = "/etcdserverpb.Cluster/MemberAdd";
    /// Removes a member.
    MemberRemove: MemberRemoveRequest => MemberRemoveResponse =
        "/etcdserverpb.Cluster/MemberRemove";
    /// Changes the addresses of a member.
    MemberUpdate: MemberUpdateRequest => MemberUpdateResponse =
        "/etcdserverpb.Cluster/MemberUpdate";
    /// Makes a learner a voter.
    MemberPromote: MemberPromoteRequest => MemberPromoteResponse =
        "/etcdserverpb.Cluster/MemberPromote";
    /// Tells the state of one member.
    Status: StatusRequest => StatusResponse = "/etcdserverpb.Maintenance/Status";
    /// Frees what the database of one member does not use.
    Defragment: DefragmentRequest => DefragmentResponse =
        "/etcdserverpb.Maintenance/Defragment";
    /// Hashes what a member has.
    Hash: HashRequest => HashResponse = "/etcdserverpb.Maintenance/Hash";
    /// Hashes the keys of a member.
    HashKv: HashKvRequest => HashKvResponse = "/etcdserverpb.Maintenance/HashKV";
    /// Checks, begins or calls off a downgrade.
    Downgrade: DowngradeRequest => DowngradeResponse = "/etcdserverpb.Maintenance/Downgrade";
    /// Lists, raises and disarms alarms.
    Alarm: AlarmRequest => AlarmResponse = "/etcdserverpb.Maintenance/Alarm";
    /// Hands the leadership to another member.
    MoveLeader: MoveLeaderRequest => MoveLeaderResponse = "/etcdserverpb.Maintenance/MoveLeader";
    /// Switches authentication on.
    AuthEnable: AuthEnableRequest => AuthEnableResponse = "/etcdserverpb.Auth/AuthEnable";
    /// Switches authentication off.
    AuthDisable: AuthDisableRequest => AuthDisableResponse = "/etcdserverpb.Auth/AuthDisable";
    /// Tells whether authentication is on.
    AuthStatus: AuthStatusRequest => AuthStatusResponse = "/etcdserverpb.Auth/AuthStatus";
    /// Trades a password for a token.
    Authenticate: AuthenticateRequest => AuthenticateResponse = "/etcdserverpb.Auth/Authenticate";
    /// Adds a user.
    UserAdd: AuthUserAddRequest => AuthUserAddResponse = "/etcdserverpb.Auth/UserAdd";
    /// Tells the roles of a user.
    UserGet: AuthUserGetRequest => AuthUserGetResponse = "/etcdserverpb.Auth/UserGet";
    /// Lists the users.
    UserList: AuthUserListRequest => AuthUserListResponse = "/etcdserverpb.Auth/UserList";
    /// Deletes a user.
    UserDelete: AuthUserDeleteRequest => AuthUserDeleteResponse = "/etcdserverpb.Auth/UserDelete";
    /// Changes a password.
    UserChangePassword: AuthUserChangePasswordRequest => AuthUserChangePasswordResponse =
        "/etcdserverpb.Auth/UserChangePassword";
    /// Gives a role to a user.
    UserGrantRole: AuthUserGrantRoleRequest => AuthUserGrantRoleResponse =
        "/etcdserverpb.Auth/UserGrantRole";
    /// Takes a role from a user.
    UserRevokeRole: AuthUserRevokeRoleRequest => AuthUserRevokeRoleResponse =
        "/etcdserverpb.Auth/UserRevokeRole";
    /// Adds a role.
    RoleAdd: AuthRoleAddRequest => AuthRoleAddResponse = "/etcdserverpb.Auth/RoleAdd";
    /// Tells the permissions of a role.
    RoleGet: AuthRoleGetRequest => AuthRoleGetResponse = "/etcdserverpb.Auth/RoleGet";
    /// Lists the roles.
    RoleList: AuthRoleListRequest => AuthRoleListResponse = "/etcdserverpb.Auth/RoleList";
    /// Deletes a role.
    RoleDelete: AuthRoleDeleteRequest => AuthRoleDeleteResponse = "/etcdserverpb.Auth/RoleDelete";
    /// Gives a permission to a role.
    RoleGrantPermission: AuthRoleGrantPermissionRequest => AuthRoleGrantPermissionResponse =
        "/etcdserverpb.Auth/RoleGrantPermission";
    /// Takes a permission from a role.
    RoleRevokePermission: AuthRoleRevokePermissionRequest => AuthRoleRevokePermissionResponse =
        "/etcdserverpb.Auth/RoleRevokePermission";
}

/// Reads a request.
///
/// # Errors
///
/// `Unimplemented` for a path that the model does not know, also when it is one of etcd's;
/// `Internal` for bytes that are not the message of the method (E40; servers go on to say what is
/// wrong, in words that differ by their version).
// E39
pub fn decode(path: &str, bytes: Bytes) -> Result<Request, Status> {
    match decode_known(path, bytes) {
        Some(Ok(request)) => Ok(request),
        Some(Err(_)) => {
            Err(Status::new(Code::Internal, "grpc: error unmarshalling request: unexpected EOF"))
        }
        None => Err(unimplemented(path)),
    }
}

/// Returns what gRPC answers for a method that a server does not have.
// E39
#[must_use]
pub fn unimplemented(path: &str) -> Status {
    let Some((service, method)) = path.strip_prefix('/').unwrap_or(path).rsplit_once('/') else {
        return Status::new(Code::Unimplemented, format!("malformed method name: {path:?}"));
    };
    let is_known = etcd3_core::method::ALL.iter().any(|known| {
        known.path.strip_prefix('/').and_then(|path| path.rsplit_once('/')).map(|(s, _)| s)
            == Some(service)
    });
    let text = if is_known {
        format!("unknown method {method} for service {service}")
    } else {
        format!("unknown service {service}")
    };
    Status::new(Code::Unimplemented, text)
}

/// Returns all paths that [`decode`] knows.
#[must_use]
pub fn paths() -> &'static [&'static str] {
    PATHS
}

/// What gRPC puts on top of `max_request_bytes` for its own limit, in bytes.
// C41
pub const GRPC_OVERHEAD: usize = 512 * 1024;

/// Refuses a message over the limit of the gRPC layer, as servers do before they decode.
///
/// # Errors
///
/// `ResourceExhausted`.
// C41
pub fn check_size(len: usize, max_request_bytes: usize) -> Result<(), Status> {
    let limit = max_request_bytes + GRPC_OVERHEAD;
    if len > limit {
        let text = format!("grpc: received message larger than max ({len} vs. {limit})");
        return Err(Status::new(Code::ResourceExhausted, text));
    }
    Ok(())
}

/// Returns the same error as the bare auth store words it.
// E5
pub(super) fn raw_auth_error(status: Status) -> Status {
    match ServerError::from_status(&status) {
        Some(ServerError::InvalidAuthToken) => unknown("auth: invalid auth token"),
        Some(ServerError::UserEmpty) => unknown("auth: user name is empty"),
        Some(ServerError::PermissionDenied) => unknown("auth: permission denied"),
        _ => status,
    }
}
