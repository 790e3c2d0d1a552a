//! The generator of random operations: the same for the same seed, and nothing that ends servers.
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

use etcd3_core::UnaryRequest;
use etcd3_sim::generate::{Counts, Generator, Position};
use etcd3_sim::model::Request;

const AT: Position = Position { revision: 40, compacted: 12 };

fn requests(seed: u64) -> Vec<Request> {
    let mut generator = Generator::new(seed);
    (0..200).map(|_| generator.next(AT)).collect()
}

#[test]
fn the_same_seed_gives_the_same_operations() {
    assert_eq!(requests(1), requests(1));
    assert_ne!(requests(1), requests(2));
}

// CFG-057: the client's own check lets every operation through.
#[test]
fn no_operation_is_one_that_ends_a_server() {
    for seed in 0..200 {
        for request in requests(seed) {
            match request {
                Request::Range(range) => range.validate().unwrap(),
                Request::Txn(txn) => txn.validate().unwrap(),
                _ => {}
            }
        }
    }
}

#[test]
fn every_option_is_within_reach() {
    let mut counts = Counts::default();
    for seed in 0..200 {
        for request in requests(seed) {
            counts.add(&request, AT);
        }
    }
    assert_eq!(counts.operations(), 40_000);
    let never = counts.iter().filter(|(name, n)| *n < 100 && !name.starts_with("error "));
    assert_eq!(never.collect::<Vec<_>>(), []);
}

#[test]
fn counts_add_up() {
    let one = |seed| {
        let mut counts = Counts::default();
        for request in requests(seed) {
            counts.add(&request, AT);
        }
        counts.add_error("text");
        counts
    };
    let mut both = one(1);
    both.merge(&one(2));
    assert_eq!((both.operations(), both.errors()), (400, 2));
    assert!(both.iter().any(|count| count == ("error text", 2)));
}
