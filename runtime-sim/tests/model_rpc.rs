//! Paths and bytes (E39, E40).
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

mod model_support;

use etcd3::Bytes;
use etcd3::Code::{Internal, Unimplemented};
use etcd3::proto::etcdserverpb as pb;
use etcd3_core::method::{self, Shape};
use etcd3_sim::model::{Request, Response, rpc};
use model_support::*;
use prost::Message;

#[test]
fn requests_and_responses_survive_the_wire() {
    let request = put("a", "1");
    let decoded = rpc::decode("/etcdserverpb.KV/Put", request.encode_to_vec().into()).unwrap();
    assert_eq!(decoded, Request::Put(request));
    assert_eq!(decoded.path(), "/etcdserverpb.KV/Put");
    let response = pb::RangeResponse { count: 5, ..Default::default() };
    let bytes = Response::Range(response.clone()).encode();
    assert_eq!(pb::RangeResponse::decode(bytes), Ok(response));
}

#[test]
fn an_unknown_path_is_answered_in_the_words_of_grpc() {
    for (path, text) in [
        ("/etcdserverpb.KV/Nope", "unknown method Nope for service etcdserverpb.KV"),
        ("/etcdserverpb.KV/RangeStream", "unknown method RangeStream for service etcdserverpb.KV"),
        ("/foo.Bar/Nope", "unknown service foo.Bar"),
        ("/nope", "malformed method name: \"/nope\""),
    ] {
        refused(rpc::decode(path, Bytes::new()), Unimplemented, text);
    }
}

#[test]
fn bytes_that_are_no_message_are_refused() {
    let text = "grpc: error unmarshalling request: unexpected EOF";
    let cut = Bytes::from_static(&[0x0a, 0x05, b'a']);
    refused(rpc::decode("/etcdserverpb.KV/Put", cut), Internal, text);
}

#[test]
fn the_whole_unary_surface_that_matters_is_known() {
    let services = ["KV", "Lease", "Auth"].map(|name| format!("/etcdserverpb.{name}/"));
    let wanted = method::ALL.iter().filter(|method| {
        method.shape == Shape::Unary && services.iter().any(|name| method.path.starts_with(name))
    });
    for method in wanted {
        assert!(rpc::paths().contains(&method.path), "{}", method.path);
    }
}
