//! Requests of users and roles.

use super::{Alone, bytes};
use etcd3::Status;
use etcd3::proto::authpb::{Permission, permission::Type};
use etcd3::proto::etcdserverpb as pb;

pub(crate) fn user(name: &str, password: &str) -> pb::AuthUserAddRequest {
    let (name, password) = (name.to_owned(), password.to_owned());
    pb::AuthUserAddRequest { name, password, ..Default::default() }
}

pub(crate) fn role(name: &str) -> pb::AuthRoleAddRequest {
    pb::AuthRoleAddRequest { name: name.to_owned() }
}

pub(crate) fn give(user: &str, role: &str) -> pb::AuthUserGrantRoleRequest {
    pb::AuthUserGrantRoleRequest { user: user.to_owned(), role: role.to_owned() }
}

pub(crate) fn permit(
    role: &str,
    kind: Type,
    key: &str,
    end: &str,
) -> pb::AuthRoleGrantPermissionRequest {
    let perm = Permission { perm_type: kind.into(), key: bytes(key), range_end: bytes(end) };
    pb::AuthRoleGrantPermissionRequest { name: role.to_owned(), perm: Some(perm) }
}

pub(crate) fn get_role(role: &str) -> pb::AuthRoleGetRequest {
    pb::AuthRoleGetRequest { role: role.to_owned() }
}

pub(crate) fn get_user(name: &str) -> pb::AuthUserGetRequest {
    pb::AuthUserGetRequest { name: name.to_owned() }
}

pub(crate) fn login(etcd: &mut Alone, name: &str, password: &str) -> Result<String, Status> {
    let request = pb::AuthenticateRequest { name: name.to_owned(), password: password.to_owned() };
    etcd.call(request).map(|answer| answer.token)
}
