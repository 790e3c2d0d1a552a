//! The schema is, to the last field, that of etcd as recorded in `tests/data/`.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
    FileDescriptorSet,
};

/// Columns: kind, package, message, name, number, type, label, since, oneof.
const MESSAGES: &str = include_str!("data/etcd-messages.tsv");
/// Columns: path, kind, request, response.
const RPCS: &str = include_str!("data/etcd-rpcs.tsv");
/// Not part of etcd's own schema.
const HEALTH: &str = "grpc.health.v1";

type Rows = BTreeSet<Vec<String>>;

fn files() -> Vec<FileDescriptorProto> {
    FileDescriptorSet::decode(etcd3_proto::DESCRIPTORS).unwrap().file
}

fn etcd_files() -> Vec<FileDescriptorProto> {
    files().into_iter().filter(|file| file.package() != HEALTH).collect()
}

/// Returns the rows below the heading, without the columns to be left out.
fn recorded(tsv: &str, leave_out: Option<usize>) -> Rows {
    let columns = tsv.lines().next().unwrap().split('\t').count();
    let mut rows = Rows::new();
    for line in tsv.lines().skip(1) {
        let mut row: Vec<String> = line.split('\t').map(str::to_owned).collect();
        assert_eq!(row.len(), columns, "{line}");
        if let Some(column) = leave_out {
            row.remove(column);
        }
        assert!(rows.insert(row), "twice: {line}");
    }
    rows
}

fn row<const N: usize>(columns: [&str; N]) -> Vec<String> {
    columns.map(str::to_owned).to_vec()
}

/// Drops the dot that marks a full name.
fn plain(full_name: &str) -> &str {
    full_name.strip_prefix('.').unwrap_or(full_name)
}

fn field_row(
    package: &str,
    message_name: &str,
    message: &DescriptorProto,
    field: &FieldDescriptorProto,
) -> Vec<String> {
    let scalar = field.r#type().as_str_name().trim_start_matches("TYPE_").to_lowercase();
    let r#type = match field.r#type() {
        Type::Message | Type::Enum => plain(field.type_name()),
        _ => &scalar,
    };
    let label = match field.label() {
        Label::Optional => "singular",
        Label::Repeated => "repeated",
        Label::Required => "required",
    };
    let oneof = field
        .oneof_index
        .map_or("", |index| message.oneof_decl[usize::try_from(index).unwrap()].name());
    let number = field.number().to_string();
    row(["field", package, message_name, field.name(), &number, r#type, label, oneof])
}

fn enum_rows(package: &str, name: &str, values: &EnumDescriptorProto, rows: &mut Rows) {
    for value in &values.value {
        let number = value.number().to_string();
        rows.insert(row(["enum", package, name, value.name(), &number, "", "", ""]));
    }
}

fn message_rows(package: &str, name: &str, message: &DescriptorProto, rows: &mut Rows) {
    if message.field.is_empty() {
        rows.insert(row(["message", package, name, "", "", "", "", ""]));
    }
    for field in &message.field {
        rows.insert(field_row(package, name, message, field));
    }
    for values in &message.enum_type {
        enum_rows(package, &format!("{name}.{}", values.name()), values, rows);
    }
    for nested in &message.nested_type {
        message_rows(package, &format!("{name}.{}", nested.name()), nested, rows);
    }
}

#[track_caller]
fn assert_same(ours: &Rows, recorded: &Rows) {
    let missing: Vec<_> = recorded.difference(ours).collect();
    let extra: Vec<_> = ours.difference(recorded).collect();
    assert!(missing.is_empty() && extra.is_empty(), "missing: {missing:#?}\nextra: {extra:#?}");
}

#[test]
fn messages_are_those_of_etcd() {
    let mut ours = Rows::new();
    for file in etcd_files() {
        for message in &file.message_type {
            message_rows(file.package(), message.name(), message, &mut ours);
        }
        for values in &file.enum_type {
            enum_rows(file.package(), values.name(), values, &mut ours);
        }
    }
    let since = 7;
    assert_same(&ours, &recorded(MESSAGES, Some(since)));
}

#[test]
fn rpcs_are_those_of_etcd() {
    let mut ours = Rows::new();
    for file in etcd_files() {
        for service in &file.service {
            for method in &service.method {
                let kind = match (method.client_streaming(), method.server_streaming()) {
                    (false, false) => "unary",
                    (false, true) => "server-stream",
                    (true, false) => "client-stream",
                    (true, true) => "bidi",
                };
                let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                ours.insert(row([
                    &path,
                    kind,
                    plain(method.input_type()),
                    plain(method.output_type()),
                ]));
            }
        }
    }
    assert_same(&ours, &recorded(RPCS, None));
}

#[test]
fn files_are_proto3_one_for_each_package_and_without_comments() {
    let files = files();
    let packages: BTreeSet<_> = files.iter().map(FileDescriptorProto::package).collect();
    let expected = ["authpb", "etcdserverpb", HEALTH, "mvccpb", "v3electionpb", "v3lockpb"].into();
    assert_eq!(packages, expected);
    assert_eq!(files.len(), packages.len());
    for file in &files {
        assert_eq!(file.syntax(), "proto3", "{}", file.name());
        assert_eq!(file.source_code_info, None, "{}", file.name());
    }
}

#[test]
fn health_is_that_of_grpc() {
    let files = files();
    let file = files.iter().find(|file| file.package() == HEALTH).unwrap();
    let mut ours = Rows::new();
    for message in &file.message_type {
        message_rows("", message.name(), message, &mut ours);
    }
    let status = "HealthCheckResponse.ServingStatus";
    let status_type = "grpc.health.v1.HealthCheckResponse.ServingStatus";
    let expected = Rows::from([
        row(["field", "", "HealthCheckRequest", "service", "1", "string", "singular", ""]),
        row(["field", "", "HealthCheckResponse", "status", "1", status_type, "singular", ""]),
        row(["enum", "", status, "UNKNOWN", "0", "", "", ""]),
        row(["enum", "", status, "SERVING", "1", "", "", ""]),
        row(["enum", "", status, "NOT_SERVING", "2", "", "", ""]),
        row(["enum", "", status, "SERVICE_UNKNOWN", "3", "", "", ""]),
    ]);
    assert_same(&ours, &expected);
    let [service] = &file.service[..] else { panic!("{:?}", file.service) };
    let methods: Vec<_> =
        service.method.iter().map(|method| (method.name(), method.server_streaming())).collect();
    assert_eq!((service.name(), methods), ("Health", vec![("Check", false), ("Watch", true)]));
}

#[test]
fn secrets_are_known() {
    // `tests/redacted.rs` fills exactly these.
    let mut secrets = BTreeSet::new();
    for file in files() {
        for message in &file.message_type {
            for field in &message.field {
                let name = field.name().to_lowercase();
                let text = matches!(field.r#type(), Type::String | Type::Bytes);
                if text && ["password", "token", "secret"].iter().any(|word| name.contains(word)) {
                    secrets.insert(format!("{}.{}", message.name(), field.name()));
                }
            }
        }
    }
    let expected = [
        "AuthUserAddRequest.hashedPassword",
        "AuthUserAddRequest.password",
        "AuthUserChangePasswordRequest.hashedPassword",
        "AuthUserChangePasswordRequest.password",
        "AuthenticateRequest.password",
        "AuthenticateResponse.token",
        "User.password",
    ];
    assert_eq!(secrets, expected.map(str::to_owned).into());
}
