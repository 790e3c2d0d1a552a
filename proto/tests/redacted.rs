//! No `Debug` prints a password or a token.

use std::fmt::Debug;

use etcd3_proto::authpb::User;
use etcd3_proto::etcdserverpb::{
    AuthUserAddRequest, AuthUserChangePasswordRequest, AuthenticateRequest, AuthenticateResponse,
    ResponseHeader,
};

const CANARY: &str = "canary-5up3r";

/// Checks that the secrets, all of them `CANARY`, are redacted, and that nothing else is.
#[track_caller]
fn assert_redacted(message: &dyn Debug, secrets: usize, shown: &[&str]) {
    for text in [format!("{message:?}"), format!("{message:#?}"), format!("{:?}", Some(message))] {
        assert!(!text.contains(CANARY), "{text}");
        assert_eq!(text.matches("<redacted>").count(), secrets, "{text}");
        for part in shown {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }
}

#[test]
fn secrets_are_not_printed() {
    assert_redacted(
        &User {
            name: "alice".into(),
            password: CANARY.into(),
            roles: vec!["cook".into()],
            options: None,
        },
        1,
        &["User", "alice", "password", "cook", "options"],
    );
    assert_redacted(
        &AuthenticateRequest { name: "alice".into(), password: CANARY.into() },
        1,
        &["AuthenticateRequest", "alice", "password"],
    );
    assert_redacted(
        &AuthenticateResponse {
            header: Some(ResponseHeader { revision: 4711, ..Default::default() }),
            token: CANARY.into(),
        },
        1,
        &["AuthenticateResponse", "4711", "token"],
    );
    assert_redacted(
        &AuthUserAddRequest {
            name: "alice".into(),
            password: CANARY.into(),
            options: None,
            hashed_password: CANARY.into(),
        },
        2,
        &["AuthUserAddRequest", "alice", "options", "hashed_password"],
    );
    assert_redacted(
        &AuthUserChangePasswordRequest {
            name: "alice".into(),
            password: CANARY.into(),
            hashed_password: CANARY.into(),
        },
        2,
        &["AuthUserChangePasswordRequest", "alice", "hashed_password"],
    );
}

#[test]
fn an_empty_secret_looks_like_any_other() {
    let text = format!("{:?}", AuthenticateRequest::default());
    assert_eq!(text, r#"AuthenticateRequest { name: "", password: <redacted> }"#);
}
