//! Users, roles and permissions, and who a call comes from.
//!
//! Every member holds the same users and roles, since changes go through the log. Tokens are the
//! simple ones: made by an entry of the log, so that every member knows them, but kept in memory
//! and timed by each member for itself.

// A1–A17, A8

mod permission;
mod tokens;

use super::personality::Personality;
use super::refusal::{crash, refuse, unknown};
use etcd3::proto::authpb::Permission;
use etcd3::proto::etcdserverpb as pb;
use etcd3::runtime::Instant;
use etcd3::{Bytes, ServerError, Status};
pub(super) use permission::Access;
use permission::{find_same, is_valid_range};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;
use tokens::Tokens;

const ROOT: &str = "root";
const NO_PASSWORD: &str = "auth: authentication failed, password was given for no password user";

/// The user of a call, and the age of what is known about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caller {
    /// The user's name.
    pub(super) user: String,
    /// The auth revision at which the caller was recognised.
    pub(super) revision: u64,
}

#[derive(Clone, PartialEq, Eq)]
enum Secret {
    Password(String),
    /// No password fits.
    Locked,
    /// The user has none and cannot authenticate.
    // A3
    None,
}

/// Never shows the password.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct User {
    secret: Secret,
    /// In order.
    roles: Vec<String>,
}

/// The auth store of one member.
#[derive(Debug, Clone)]
pub struct Auth {
    personality: Personality,
    enabled: bool,
    /// The auth revision, which grows with every change of users, roles and permissions.
    revision: u64,
    users: BTreeMap<String, User>,
    roles: BTreeMap<String, Vec<Permission>>,
    tokens: Tokens,
    /// How many logins came here.
    logins: u64,
}

impl Auth {
    /// Makes an auth store with nobody in it, switched off.
    #[must_use]
    pub fn new(personality: Personality, token_ttl: Duration) -> Self {
        Self {
            personality,
            enabled: false,
            revision: 1,
            users: BTreeMap::new(),
            roles: BTreeMap::new(),
            tokens: Tokens::new(token_ttl),
            logins: 0,
        }
    }

    /// Tells whether calls need a user.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Returns the number of changes so far; what `AuthStatus` calls the auth revision.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Returns how many logins came to this member, those that were refused included.
    #[must_use]
    pub fn logins(&self) -> u64 {
        self.logins
    }

    /// Forgets all tokens, as a restart does.
    pub fn forget_tokens(&mut self) {
        self.tokens.clear();
    }

    /// Recognises a caller by the token of the call; `None` for nobody.
    // A10, A11
    pub(super) fn identify(
        &mut self,
        now: Instant,
        token: Option<&str>,
    ) -> Result<Option<Caller>, Status> {
        let Some(token) = token else { return Ok(None) };
        if !self.enabled && !self.personality.checks_token_while_off {
            return Ok(None);
        }
        match self.tokens.find(now, token) {
            Some(user) => Ok(Some(Caller { user, revision: self.revision })),
            None => Err(refuse(ServerError::InvalidAuthToken)),
        }
    }

    /// Compares name and password. The caller gets a token from an entry of the log afterwards.
    pub(super) fn check_password(&mut self, name: &str, password: &str) -> Result<(), Status> {
        self.logins += 1;
        if !self.enabled {
            return Err(refuse(ServerError::AuthNotEnabled));
        }
        match self.users.get(name).map(|user| &user.secret) {
            Some(Secret::None) => Err(unknown(NO_PASSWORD)),
            Some(Secret::Password(right)) if right == password => Ok(()),
            _ => Err(refuse(ServerError::AuthFailed)),
        }
    }

    /// Makes a token valid: the effect of an authentication, at its place in the log.
    pub(super) fn assign_token(
        &mut self,
        now: Instant,
        name: &str,
        token: String,
    ) -> Result<(), Status> {
        if !self.enabled {
            return Err(refuse(ServerError::AuthNotEnabled));
        }
        if self.users.get(name).is_none_or(|user| user.secret == Secret::None) {
            return Err(refuse(ServerError::AuthFailed));
        }
        self.tokens.assign(now, name, token);
        Ok(())
    }

    pub(super) fn enable(&mut self) -> Result<(), Status> {
        if self.enabled {
            return Ok(());
        }
        let Some(root) = self.users.get(ROOT) else {
            return Err(refuse(ServerError::RootUserNotExist));
        };
        if !has_root_role(root) {
            return Err(refuse(ServerError::RootRoleNotExist));
        }
        self.enabled = true;
        Ok(())
    }

    pub(super) fn disable(&mut self) {
        if self.enabled {
            self.enabled = false;
            self.revision += 1;
            self.tokens.clear();
        }
    }

    pub(super) fn add_user(&mut self, request: &pb::AuthUserAddRequest) -> Result<(), Status> {
        if request.name.is_empty() {
            return Err(refuse(ServerError::UserEmpty));
        }
        if self.users.contains_key(&request.name) {
            return Err(refuse(ServerError::UserAlreadyExist));
        }
        let has_none = request.options.is_some_and(|options| options.no_password);
        let secret =
            if has_none { Secret::None } else { Secret::Password(request.password.clone()) };
        self.users.insert(request.name.clone(), User { secret, roles: Vec::new() });
        self.revision += 1;
        Ok(())
    }

    pub(super) fn delete_user(&mut self, name: &str) -> Result<(), Status> {
        if self.enabled && name == ROOT {
            return Err(refuse(ServerError::InvalidAuthMgmt));
        }
        if self.users.remove(name).is_none() {
            return Err(refuse(ServerError::UserNotFound));
        }
        self.revision += 1;
        self.tokens.forget_user(name);
        Ok(())
    }

    pub(super) fn change_password(&mut self, name: &str, password: &str) -> Result<(), Status> {
        let locks = self.personality.empty_password_locks;
        let user = self.user_mut(name)?;
        if user.secret != Secret::None {
            user.secret = match password {
                "" if locks => Secret::Locked,
                password => Secret::Password(password.to_owned()),
            };
        }
        self.revision += 1;
        self.tokens.forget_user(name);
        Ok(())
    }

    pub(super) fn grant_role(&mut self, name: &str, role: &str) -> Result<(), Status> {
        let has_role = role == ROOT || self.roles.contains_key(role);
        let user = self.user_mut(name)?;
        if !has_role {
            return Err(refuse(ServerError::RoleNotFound));
        }
        if let Err(place) = user.roles.binary_search_by(|held| held.as_str().cmp(role)) {
            user.roles.insert(place, role.to_owned());
            self.revision += 1;
        }
        Ok(())
    }

    pub(super) fn revoke_role(&mut self, name: &str, role: &str) -> Result<(), Status> {
        if self.enabled && name == ROOT && role == ROOT {
            return Err(refuse(ServerError::InvalidAuthMgmt));
        }
        let user = self.user_mut(name)?;
        let Ok(place) = user.roles.binary_search_by(|held| held.as_str().cmp(role)) else {
            return Err(refuse(ServerError::RoleNotGranted));
        };
        user.roles.remove(place);
        self.revision += 1;
        Ok(())
    }

    pub(super) fn user_roles(&self, name: &str) -> Result<Vec<String>, Status> {
        let user = self.users.get(name).ok_or_else(|| refuse(ServerError::UserNotFound))?;
        Ok(user.roles.clone())
    }

    pub(super) fn users(&self) -> Vec<String> {
        self.users.keys().cloned().collect()
    }

    pub(super) fn add_role(&mut self, name: &str) -> Result<(), Status> {
        if name.is_empty() {
            return Err(refuse(ServerError::RoleEmpty));
        }
        if self.roles.contains_key(name) {
            return Err(refuse(ServerError::RoleAlreadyExist));
        }
        self.roles.insert(name.to_owned(), Vec::new());
        self.revision += 1;
        Ok(())
    }

    pub(super) fn delete_role(&mut self, name: &str) -> Result<(), Status> {
        if self.enabled && name == ROOT {
            return Err(refuse(ServerError::InvalidAuthMgmt));
        }
        if self.roles.remove(name).is_none() {
            return Err(refuse(ServerError::RoleNotFound));
        }
        self.users.values_mut().for_each(|user| user.roles.retain(|role| role != name));
        self.revision += 1;
        Ok(())
    }

    pub(super) fn role(&self, name: &str) -> Result<Vec<Permission>, Status> {
        self.roles.get(name).cloned().ok_or_else(|| refuse(ServerError::RoleNotFound))
    }

    pub(super) fn roles(&self) -> Vec<String> {
        self.roles.keys().cloned().collect()
    }

    /// Checks a grant as a member does before it proposes it.
    pub(super) fn check_grant(
        &self,
        request: &pb::AuthRoleGrantPermissionRequest,
    ) -> Result<(), Status> {
        match &request.perm {
            None if self.personality.checks_permission_given => {
                Err(refuse(ServerError::PermissionNotGiven))
            }
            None => Err(crash("a role grant without a permission")),
            Some(permission)
                if self.personality.checks_permission_range && !is_valid_range(permission) =>
            {
                Err(refuse(ServerError::InvalidAuthMgmt))
            }
            Some(_) => Ok(()),
        }
    }

    pub(super) fn grant_permission(
        &mut self,
        role: &str,
        permission: &Permission,
    ) -> Result<(), Status> {
        let permissions = self.role_mut(role)?;
        match find_same(permissions, permission) {
            Ok(same) => permissions[same].perm_type = permission.perm_type,
            Err(place) => permissions.insert(place, permission.clone()),
        }
        self.revision += 1;
        Ok(())
    }

    /// Takes a permission back; key and end must be those of the grant.
    // A7
    pub(super) fn revoke_permission(
        &mut self,
        role: &str,
        key: &Bytes,
        end: &Bytes,
    ) -> Result<(), Status> {
        let permissions = self.role_mut(role)?;
        let before = permissions.len();
        permissions.retain(|held| held.key != *key || held.range_end != *end);
        if permissions.len() == before {
            return Err(refuse(ServerError::PermissionNotGranted));
        }
        self.revision += 1;
        Ok(())
    }

    fn user_mut(&mut self, name: &str) -> Result<&mut User, Status> {
        self.users.get_mut(name).ok_or_else(|| refuse(ServerError::UserNotFound))
    }

    fn role_mut(&mut self, name: &str) -> Result<&mut Vec<Permission>, Status> {
        self.roles.get_mut(name).ok_or_else(|| refuse(ServerError::RoleNotFound))
    }
}

fn has_root_role(user: &User) -> bool {
    user.roles.iter().any(|role| role == ROOT)
}
