//! What is generated does, to the byte, what the derive macros of prost would.
//!
//! `tests/derived/` has the same messages with these macros. Both read the same bytes, good ones
//! and broken ones, and have to agree on what they find, on errors, and on what they write.
#![allow(clippy::unwrap_used)]

mod random;

use std::fmt::Debug;

use etcd3_proto as generated;
use etcd3_proto::etcdserverpb::{RequestOp, TxnRequest, request_op::Request};
use prost::bytes::Bytes;
use prost::{DecodeError, Message, Name};

use random::Wire;

include!("derived/each.rs");

/// The messages as prost makes them.
#[allow(dead_code, missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
mod derived {
    pub mod authpb {
        include!("derived/authpb.rs");
    }
    pub mod etcdserverpb {
        include!("derived/etcdserverpb.rs");
    }
    pub mod health {
        include!("derived/grpc.health.v1.rs");
    }
    pub mod mvccpb {
        include!("derived/mvccpb.rs");
    }
    pub mod v3electionpb {
        include!("derived/v3electionpb.rs");
    }
    pub mod v3lockpb {
        include!("derived/v3lockpb.rs");
    }
}

/// Inputs for each type of message.
const ROUNDS: usize = 1000;

/// What a message has to be for the comparison.
trait Comparable: Message + Name + Default + Clone + PartialEq + Debug {}
impl<M: Message + Name + Default + Clone + PartialEq + Debug> Comparable for M {}

/// Counts the inputs that were read and those that were refused.
#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    good: usize,
    bad: usize,
}

impl Tally {
    fn add(&mut self, outcome: &Result<(), DecodeError>) {
        match outcome {
            Ok(()) => self.good += 1,
            Err(_) => self.bad += 1,
        }
    }
}

/// Tells what went wrong, and in which field. The macros name a raw identifier with its prefix.
fn told(outcome: &Result<(), DecodeError>) -> String {
    match outcome {
        Ok(()) => "good".to_owned(),
        Err(error) => error.to_string().replace("r#type", "type"),
    }
}

/// Compares two messages by all that can be seen of them.
#[track_caller]
fn assert_same<G: Comparable, D: Comparable>(ours: &G, derived: &D) {
    let wire = ours.encode_to_vec();
    assert_eq!(wire, derived.encode_to_vec(), "{ours:?}");
    assert_eq!(ours.encoded_len(), wire.len(), "{ours:?}");
    let text = format!("{ours:?}");
    if !text.contains("<redacted>") {
        assert_eq!(text, format!("{derived:?}").replace("r#type", "type"));
    }
    assert_eq!(&G::decode(Bytes::from(wire)).unwrap(), ours);
}

/// Reads two inputs into the same message, one after the other, whatever comes of the first.
#[track_caller]
fn read_both<G: Comparable, D: Comparable>(inputs: [Vec<u8>; 2]) -> Tally {
    let mut tally = Tally::default();
    let (mut ours, mut derived) = (G::default(), D::default());
    for input in inputs {
        let outcome = ours.merge(input.as_slice());
        let expected = derived.merge(input.as_slice());
        assert_eq!(told(&outcome), told(&expected), "{}: {input:?}", G::full_name());
        assert_same(&ours, &derived);
        let shared = G::decode(Bytes::from(input.clone()));
        assert_eq!(shared, G::decode(input.as_slice()));
        tally.add(&outcome);
    }
    ours.clear();
    assert_eq!(ours, G::default());
    assert_eq!(ours.encoded_len(), 0);
    tally
}

fn compare<G: Comparable, D: Comparable>(wire: &mut Wire) {
    assert_eq!(G::full_name(), D::full_name());
    let mut sum = Tally::default();
    for round in 0..ROUNDS {
        let mut inputs = [wire.message(&G::full_name()), wire.message(&G::full_name())];
        if round % 2 == 0 {
            let broken = usize::from(wire.below(2) == 0);
            wire.mutate(&mut inputs[broken]);
        }
        let tally = read_both::<G, D>(inputs);
        sum.good += tally.good;
        sum.bad += tally.bad;
    }
    // Else this would prove nothing.
    assert!(sum.good > ROUNDS / 2 && sum.bad > ROUNDS / 20, "{}: {sum:?}", G::full_name());
}

#[test]
fn all_messages_read_and_write_the_same() {
    let mut wire = Wire::new(etcd3_proto::DESCRIPTORS, 1);
    let mut seen = Vec::new();
    macro_rules! compare {
        ($module:ident, $name:ident) => {
            compare::<generated::$module::$name, derived::$module::$name>(&mut wire);
            seen.push(generated::$module::$name::full_name());
        };
    }
    each_message!(compare);
    seen.sort();
    assert_eq!(seen, wire.names());
}

#[test]
fn messages_are_nested_as_deeply() {
    let mut txn = TxnRequest::default();
    let mut tally = Tally::default();
    for _ in 0..60 {
        let request = Some(Request::RequestTxn(txn));
        txn = TxnRequest { success: vec![RequestOp { request }], ..TxnRequest::default() };
        let wire = txn.encode_to_vec();
        let outcome = TxnRequest::decode(wire.as_slice());
        let expected = derived::etcdserverpb::TxnRequest::decode(wire.as_slice());
        assert_eq!(told(&outcome.clone().map(drop)), told(&expected.map(drop)));
        tally.add(&outcome.map(drop));
    }
    assert!(tally.good > 40 && tally.bad > 5, "{tally:?}");
}

#[test]
fn a_field_of_a_oneof_is_merged_replaced_or_left() {
    let get = |limit| b"\x0a\x04\x0a\x00\x18".iter().copied().chain([limit]).collect::<Vec<u8>>();
    let put = b"\x12\x03\x0a\x01k".to_vec();
    // Not a put after all: its key is a number.
    let broken = b"\x12\x02\x08\x01".to_vec();
    for inputs in [
        [get(1), get(2)],
        [get(1), put.clone()],
        [put.clone(), get(1)],
        [get(1), broken.clone()],
        [put, broken],
    ] {
        read_both::<RequestOp, derived::etcdserverpb::RequestOp>(inputs);
    }
}
