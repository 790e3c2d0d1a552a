//! Ranges of keys against plain predicates (K1–K5, K21).

use arbitrary::Arbitrary;
use etcd3_core::{KeyRange, all, from_key, key, prefix};
use std::collections::BTreeSet;

#[derive(Debug, Arbitrary)]
struct Input {
    made: Made,
    /// Keys after which the range is cut, one after the other.
    after: Vec<Vec<u8>>,
    probes: Vec<Vec<u8>>,
}

#[derive(Debug, Arbitrary)]
enum Made {
    Key(Vec<u8>),
    Prefix(Vec<u8>),
    From(Vec<u8>),
    Between(Vec<u8>, Vec<u8>),
    All,
}

impl Made {
    fn range(&self) -> KeyRange {
        match self {
            Self::Key(one) => key(one),
            Self::Prefix(begin) => prefix(begin),
            Self::From(first) => from_key(first),
            Self::Between(start, end) => KeyRange::from(start..end),
            Self::All => all(),
        }
    }

    fn holds(&self, probe: &[u8]) -> bool {
        match self {
            Self::Key(one) => probe == one,
            Self::Prefix(begin) => probe.starts_with(begin),
            Self::From(first) => probe >= &first[..],
            Self::Between(start, end) => probe >= &start[..] && probe < &end[..],
            Self::All => true,
        }
    }

    fn keys(&self) -> Vec<&Vec<u8>> {
        match self {
            Self::Key(a) | Self::Prefix(a) | Self::From(a) => vec![a],
            Self::Between(a, b) => vec![a, b],
            Self::All => vec![],
        }
    }
}

/// A range holds exactly the keys it should, also when it is cut, and for the server, too.
pub fn key_range(data: &[u8]) {
    let Some(input) = crate::input::<Input>(data) else { return };
    let probes = probes(&input);
    let mut range = input.made.range();
    let mut behind: Option<&[u8]> = None;
    check_probes(&range, &probes, |probe| input.made.holds(probe));
    for last in &input.after {
        range = range.after(last);
        behind = behind.max(Some(last));
        check_probes(&range, &probes, |probe| input.made.holds(probe) && Some(probe) > behind);
    }
    check_wire(&input.made);
    page_through(&input.made, &probes);
}

/// Returns the keys of the input and those around them. No key is empty (K6).
fn probes(input: &Input) -> BTreeSet<Vec<u8>> {
    let mut probes = BTreeSet::new();
    let keys = input.made.keys().into_iter().chain(&input.after).chain(&input.probes);
    for key in keys {
        for end in [0, 1, 0x7f, 0xff] {
            probes.insert([&key[..], &[end]].concat());
        }
        for end in key.len().saturating_sub(4)..key.len() {
            for by in [1, 0xff] {
                probes.insert([&key[..end], &[key[end].wrapping_add(by)]].concat());
            }
            probes.insert(key[..end].to_vec());
        }
        probes.insert(key.clone());
    }
    probes.remove(&b""[..]);
    probes
}

fn check_probes(range: &KeyRange, probes: &BTreeSet<Vec<u8>>, holds: impl Fn(&[u8]) -> bool) {
    for probe in probes {
        assert_eq!(range.contains(probe), holds(probe), "{range:?} {probe:?}");
        assert_eq!(server_finds(range, probe), holds(probe), "{range:?} {probe:?}");
    }
}

/// K1, as a server reads the two fields.
fn server_finds(range: &KeyRange, probe: &[u8]) -> bool {
    let (start, end) = (&range.start()[..], &range.range_end()[..]);
    match end {
        b"" => start == probe,
        b"\0" => start <= probe,
        end => start <= probe && probe < end,
    }
}

/// K2, K3: what is made as a range never turns into one key, nor into an open end by chance.
fn check_wire(made: &Made) {
    let range = made.range();
    let is_open = range.range_end() == &b"\0"[..];
    match made {
        Made::Key(one) => assert_eq!((&range.start()[..], range.is_single_key()), (&one[..], true)),
        Made::All => assert!(is_open),
        Made::From(_) => assert!(is_open && !range.start().is_empty()),
        Made::Between(..) => assert!(!is_open && !range.is_single_key()),
        Made::Prefix(begin) => {
            assert_eq!(is_open, begin.iter().all(|&byte| byte == 0xff));
            assert!(!range.is_single_key() && !range.start().is_empty());
        }
    }
}

/// K21: page by page, of one key each, every key comes once and in order.
fn page_through(made: &Made, probes: &BTreeSet<Vec<u8>>) {
    let mut range = made.range();
    let mut found = Vec::new();
    while let Some(first) = probes.iter().find(|probe| range.contains(probe)) {
        found.push(first);
        range = range.after(first);
    }
    let expected: Vec<_> = probes.iter().filter(|probe| made.holds(probe)).collect();
    assert_eq!(found, expected);
}
