//! One key, or a range of keys.

// K1–K6

use bytes::Bytes;
use std::borrow::Cow;
use std::ops::{Range, RangeFrom, RangeFull, RangeInclusive, RangeTo, RangeToInclusive};
use std::sync::Arc;

/// Bytes that a key or a value is made of.
///
/// Implemented for the usual owners of bytes and text, and for references to them. Borrowed ones
/// are copied; [`Bytes`], `Vec` and `String` are taken over as they are.
pub trait IntoBytes {
    /// Turns into [`Bytes`].
    fn into_bytes(self) -> Bytes;
}

macro_rules! into_bytes {
    (owned: $($owned:ty),*; borrowed: $($borrowed:ty),*) => {
        $(impl IntoBytes for $owned {
            fn into_bytes(self) -> Bytes {
                Bytes::from(self)
            }
        })*
        $(impl IntoBytes for $borrowed {
            fn into_bytes(self) -> Bytes {
                Bytes::copy_from_slice(self.as_ref())
            }
        })*
    };
}

into_bytes! {
    owned: Bytes, Vec<u8>, String, Box<[u8]>;
    borrowed: &str, &[u8], Arc<[u8]>
}

impl<T: IntoBytes + Clone> IntoBytes for &T {
    fn into_bytes(self) -> Bytes {
        self.clone().into_bytes()
    }
}

impl IntoBytes for Arc<str> {
    fn into_bytes(self) -> Bytes {
        Bytes::copy_from_slice(self.as_bytes())
    }
}

impl IntoBytes for Box<str> {
    fn into_bytes(self) -> Bytes {
        Bytes::from(String::from(self))
    }
}

impl IntoBytes for Cow<'_, str> {
    fn into_bytes(self) -> Bytes {
        self.into_owned().into_bytes().into()
    }
}

impl IntoBytes for Cow<'_, [u8]> {
    fn into_bytes(self) -> Bytes {
        self.into_owned().into()
    }
}

impl<const N: usize> IntoBytes for [u8; N] {
    fn into_bytes(self) -> Bytes {
        Bytes::copy_from_slice(&self)
    }
}

/// The range end that means "to the last key there is".
// K1
pub(crate) const OPEN_END: Bytes = Bytes::from_static(&[0]);
/// The lowest key there can be.
const LOWEST: Bytes = Bytes::from_static(&[0]);

/// Which keys an operation is about: one key, all with a prefix, all from a key on, those between
/// two keys, or all there are.
///
/// Whatever can be one key ([`IntoBytes`]) converts into the range of just that key, and Rust's
/// ranges convert too:
///
/// ```
/// # use etcd3_core as etcd3;
/// use etcd3::{KeyRange, all, from_key, key, prefix};
///
/// assert_eq!(KeyRange::from("a"), key("a"));
/// assert_eq!(KeyRange::from("a"..), from_key("a"));
/// assert_eq!(KeyRange::from("a"..="c"), KeyRange::from("a".."c\0"));
/// assert_eq!(prefix("app/"), KeyRange::from("app/".."app0"));
/// assert_eq!(prefix(""), all());
/// ```
///
/// # The zero byte
///
/// On the wire a range end of one zero byte means that there is no end, and an empty one that the
/// range is a single key. Here these meanings have names, [`from_key`] and [`key`], and Rust's
/// ranges mean what they say: `vec![0]..vec![0]`, or `"a".."\0"`, holds no key, where other clients
/// send all keys to be read, or deleted. What has the meaning of the wire already is taken as it is
/// by [`from_wire`](Self::from_wire).
// K1
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyRange {
    key: Bytes,
    range_end: Bytes,
}

/// The one key that is named. An empty key is refused by the server.
// E10.1
pub fn key(key: impl IntoBytes) -> KeyRange {
    KeyRange { key: key.into_bytes(), range_end: Bytes::new() }
}

/// All keys that begin with `prefix`; all keys there are for an empty one.
pub fn prefix(prefix: impl IntoBytes) -> KeyRange {
    let key = prefix.into_bytes();
    if key.is_empty() {
        return all();
    }
    KeyRange { range_end: prefix_end(&key), key }
}

/// All keys from `key` on, in byte order.
pub fn from_key(key: impl IntoBytes) -> KeyRange {
    let key = key.into_bytes();
    KeyRange { key: if key.is_empty() { LOWEST } else { key }, range_end: OPEN_END }
}

/// All keys.
#[must_use]
pub fn all() -> KeyRange {
    KeyRange { key: LOWEST, range_end: OPEN_END }
}

/// The first key that does not begin with `prefix` and sorts after it: the prefix with its last
/// byte below 0xff raised by one and cut behind it, or the open end if there is none.
// K2
pub(crate) fn prefix_end(prefix: &[u8]) -> Bytes {
    let Some(last) = prefix.iter().rposition(|&byte| byte < 0xff) else { return OPEN_END };
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Bytes::from(end)
}

/// The key that comes next after this one.
fn successor(key: &[u8]) -> Bytes {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    Bytes::from(next)
}

impl KeyRange {
    /// The one key that is named; the same as the function [`key`](crate::key).
    pub fn key(key: impl IntoBytes) -> Self {
        self::key(key)
    }

    /// All keys that begin with a prefix; the same as the function [`prefix`](crate::prefix).
    pub fn prefix(prefix: impl IntoBytes) -> Self {
        self::prefix(prefix)
    }

    /// All keys from this one on; the same as the function [`from_key`](crate::from_key).
    pub fn from_key(key: impl IntoBytes) -> Self {
        self::from_key(key)
    }

    /// All keys; the same as the function [`all`](crate::all).
    #[must_use]
    pub fn all() -> Self {
        self::all()
    }

    /// Returns a range as it stands in messages: key and range end, with the meaning that servers
    /// give them.
    ///
    /// An empty end means the one key, a zero byte as end means no end: `from_wire("\0", "\0")` is
    /// [`all`]. Rust's ranges mean what they say instead: `"a".."\0"` holds nothing.
    // K1
    #[must_use]
    pub fn from_wire(key: impl IntoBytes, range_end: impl IntoBytes) -> Self {
        Self { key: key.into_bytes(), range_end: range_end.into_bytes() }
    }

    /// The first key of the range, as it goes over the wire.
    #[must_use]
    pub const fn start(&self) -> &Bytes {
        &self.key
    }

    /// The range end as it goes over the wire: empty for one key, a zero byte for an open end, else
    /// the first key that does not belong to the range.
    #[must_use]
    pub const fn range_end(&self) -> &Bytes {
        &self.range_end
    }

    /// Returns whether this names one key.
    #[must_use]
    pub fn is_single_key(&self) -> bool {
        self.range_end.is_empty()
    }

    /// Returns whether `key` belongs to the range, by the rules of the server.
    // K1, K5
    #[must_use]
    pub fn contains(&self, key: &[u8]) -> bool {
        match &self.range_end[..] {
            [] => key == self.key,
            [0] => key >= &self.key[..],
            end => key >= &self.key[..] && key < end,
        }
    }

    /// Returns whether every key of the other range belongs to this one.
    #[must_use]
    pub fn holds(&self, other: &Self) -> bool {
        if other.is_single_key() {
            return self.contains(&other.key);
        }
        let is_begun = !self.is_single_key() && self.key <= other.key;
        let is_ended = match (&self.range_end[..], &other.range_end[..]) {
            ([0], _) => true,
            (_, [0]) => false,
            (end, other) => other <= end,
        };
        is_begun && is_ended
    }

    /// The part of the range that comes after `key`, for paging. If nothing comes after, the result
    /// is an empty range.
    // K21
    #[must_use]
    pub fn after(&self, key: &[u8]) -> Self {
        let next = successor(key);
        if self.is_single_key() {
            let rest =
                if *key < self.key[..] { self.clone() } else { Self::between(next.clone(), next) };
            return rest;
        }
        Self { key: next.max(self.key.clone()), range_end: self.range_end.clone() }
    }

    /// Takes the range apart: key and range end, as they go over the wire.
    #[must_use]
    pub fn into_parts(self) -> (Bytes, Bytes) {
        (self.key, self.range_end)
    }

    /// The half-open range of the keys `start <= key < end`. Unlike on the wire, an end that is
    /// empty or a zero byte means what it says: nothing sorts below it, so the range is empty.
    fn between(start: Bytes, end: Bytes) -> Self {
        let key = if start.is_empty() { LOWEST } else { start };
        if end > LOWEST {
            return Self { key, range_end: end };
        }
        // Empty, but neither "one key" nor "open end": a range from a key to itself.
        let key = if key == LOWEST { Bytes::from_static(&[0, 0]) } else { key };
        Self { range_end: key.clone(), key }
    }
}

impl<T: IntoBytes> From<T> for KeyRange {
    fn from(one: T) -> Self {
        key(one)
    }
}

impl<T: IntoBytes> From<Range<T>> for KeyRange {
    fn from(range: Range<T>) -> Self {
        Self::between(range.start.into_bytes(), range.end.into_bytes())
    }
}

impl<T: IntoBytes> From<RangeInclusive<T>> for KeyRange {
    fn from(range: RangeInclusive<T>) -> Self {
        let (start, last) = range.into_inner();
        Self::between(start.into_bytes(), successor(&last.into_bytes()))
    }
}

impl<T: IntoBytes> From<RangeTo<T>> for KeyRange {
    fn from(range: RangeTo<T>) -> Self {
        Self::between(LOWEST, range.end.into_bytes())
    }
}

impl<T: IntoBytes> From<RangeToInclusive<T>> for KeyRange {
    fn from(range: RangeToInclusive<T>) -> Self {
        Self::between(LOWEST, successor(&range.end.into_bytes()))
    }
}

impl<T: IntoBytes> From<RangeFrom<T>> for KeyRange {
    fn from(range: RangeFrom<T>) -> Self {
        from_key(range.start)
    }
}

impl From<&Self> for KeyRange {
    fn from(range: &Self) -> Self {
        range.clone()
    }
}

impl From<RangeFull> for KeyRange {
    fn from(_: RangeFull) -> Self {
        all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(range: impl Into<KeyRange>) -> (Vec<u8>, Vec<u8>) {
        let (key, end) = range.into().into_parts();
        (key.to_vec(), end.to_vec())
    }

    // K1, K2, K3
    #[test]
    fn ranges_on_the_wire() {
        assert_eq!(wire("a"), (b"a".to_vec(), vec![]));
        assert_eq!(wire(prefix("a")), (b"a".to_vec(), b"b".to_vec()));
        assert_eq!(wire(prefix(b"a\xff")), (b"a\xff".to_vec(), b"b".to_vec()));
        assert_eq!(wire(prefix(b"a\xfe\xff\xff")), (b"a\xfe\xff\xff".to_vec(), b"a\xff".to_vec()));
        assert_eq!(wire(prefix(b"\xff\xff")), (b"\xff\xff".to_vec(), vec![0]));
        assert_eq!(wire(prefix("")), (vec![0], vec![0]));
        assert_eq!(wire(from_key("a")), (b"a".to_vec(), vec![0]));
        assert_eq!(wire(from_key("")), (vec![0], vec![0]));
        assert_eq!(wire(..), (vec![0], vec![0]));
        assert_eq!(wire("a".."c"), (b"a".to_vec(), b"c".to_vec()));
    }

    /// Every key of up to two bytes out of a small alphabet with the edges.
    fn small_keys() -> Vec<Vec<u8>> {
        let alphabet = [0u8, 1, b'a', 0xfe, 0xff];
        let mut keys: Vec<Vec<u8>> = alphabet.iter().map(|&a| vec![a]).collect();
        keys.extend(alphabet.iter().flat_map(|&a| alphabet.iter().map(move |&b| vec![a, b])));
        keys
    }

    #[test]
    fn a_prefix_holds_exactly_the_keys_that_begin_with_it() {
        for p in small_keys() {
            let range = prefix(p.clone());
            for key in small_keys() {
                assert_eq!(range.contains(&key), key.starts_with(&p), "{p:?} {key:?}");
            }
        }
    }

    // The wire gives an empty end and a zero byte other meanings; `a..b` must not fall for them.
    #[test]
    fn a_half_open_range_means_what_it_says() {
        let mut bounds = small_keys();
        bounds.push(vec![]);
        for start in &bounds {
            for end in &bounds {
                let range = KeyRange::from(start.clone()..end.clone());
                assert!(!range.is_single_key() && range.range_end() != &OPEN_END);
                for key in small_keys() {
                    let inside = *start <= key && key < *end;
                    assert_eq!(range.contains(&key), inside, "{start:?}..{end:?} {key:?}");
                }
            }
        }
    }

    #[test]
    fn a_range_up_to_a_key_means_what_it_says() {
        for end in small_keys() {
            let (to, upto) = (KeyRange::from(..end.clone()), KeyRange::from(..=end.clone()));
            for key in small_keys() {
                assert_eq!(to.contains(&key), key < end, "..{end:?} {key:?}");
                assert_eq!(upto.contains(&key), key <= end, "..={end:?} {key:?}");
                for start in small_keys() {
                    let within = KeyRange::from(start.clone()..=end.clone());
                    assert_eq!(within.contains(&key), start <= key && key <= end);
                }
            }
        }
    }

    #[test]
    fn what_owns_bytes_or_text_is_a_key() {
        let text = String::from("k");
        let (bytes, vec) = (Bytes::from("k"), vec![b'k']);
        for range in [
            key(&text),
            key(Arc::<str>::from("k")),
            key(Box::<str>::from("k")),
            key(Cow::Borrowed("k")),
            key(Cow::Borrowed(&b"k"[..])),
            key(&bytes),
            key(b"k"),
            key(*b"k"),
            key(&vec),
            KeyRange::key("k"),
            KeyRange::from_wire("k", ""),
        ] {
            assert_eq!(range, key("k"));
        }
        assert_eq!(KeyRange::from_wire([0], [0]), KeyRange::all());
        assert_eq!(KeyRange::prefix("a"), prefix("a"));
        assert_eq!(KeyRange::from_key("a"), from_key("a"));
    }

    // K21
    #[test]
    fn after_leaves_exactly_the_later_keys() {
        let ranges =
            [all(), prefix("a"), key("a"), from_key(b"\x01"), KeyRange::from(b"\x01\0"..b"\xfea")];
        for range in ranges {
            for last in small_keys() {
                let rest = range.after(&last);
                for key in small_keys() {
                    let expected = range.contains(&key) && key > last;
                    assert_eq!(rest.contains(&key), expected, "{range:?} {last:?} {key:?}");
                }
            }
        }
    }
}
