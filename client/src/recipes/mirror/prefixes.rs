//! What keys of the source are called in the target.

use crate::{Bytes, KeyRange, prefix};

/// The prefix in the source, and the one in its place in the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Prefixes {
    pub(super) source: Bytes,
    pub(super) target: Bytes,
}

impl Prefixes {
    /// Returns all keys of the source.
    pub(super) fn source_range(&self) -> KeyRange {
        prefix(self.source.clone())
    }

    /// Returns all keys of the target.
    pub(super) fn target_range(&self) -> KeyRange {
        prefix(self.target.clone())
    }

    /// Returns what a key is called in the target; `None` of one that has no name there.
    pub(super) fn key(&self, key: &Bytes) -> Option<Bytes> {
        let rest = key.strip_prefix(&self.source[..])?;
        let name: Bytes = [&self.target[..], rest].concat().into();
        (!name.is_empty()).then_some(name)
    }

    /// Returns where a part of the source's range lies in the target.
    pub(super) fn range(&self, part: &KeyRange) -> KeyRange {
        let (source, target) = (self.source_range(), self.target_range());
        let start = match self.key(part.start()) {
            // The lowest key there is.
            Some(start) if part.start() != source.start() => start,
            _ => target.start().clone(),
        };
        let end = if part.range_end() == source.range_end() {
            target.range_end().clone()
        } else {
            self.key(part.range_end()).unwrap_or_else(|| target.start().clone())
        };
        KeyRange::from_wire(start, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::all;

    fn prefixes(source: &'static str, target: &'static str) -> Prefixes {
        Prefixes { source: source.into(), target: target.into() }
    }

    #[test]
    fn a_prefix_takes_the_place_of_another() {
        for (source, target, key, name) in [
            ("a/", "b/", "a/x", Some("b/x")),
            ("a/", "b/", "a/", Some("b/")),
            ("a/", "", "a/x", Some("x")),
            ("a/", "", "a/", None),
            ("", "b/", "x", Some("b/x")),
            ("", "", "x", Some("x")),
            // Only the first one.
            ("a/", "b/", "a/a/a/", Some("b/a/a/")),
            ("a/", "b/", "c", None),
        ] {
            let name = name.map(Bytes::from);
            assert_eq!(prefixes(source, target).key(&key.into()), name, "{source} {target} {key}");
        }
    }

    #[test]
    fn the_parts_of_a_range_make_up_the_range_in_the_target() {
        for (source, target) in [("a/", "b/"), ("a/", ""), ("", "b/"), ("", ""), ("a", "\u{ff}")] {
            let it = prefixes(source, target);
            let all_there = it.source_range();
            assert_eq!(it.range(&all_there), it.target_range());
            let last = Bytes::from(format!("{source}m"));
            let mut end = last.to_vec();
            end.push(0);
            let before = KeyRange::from_wire(all_there.start().clone(), end);
            let (first, second) = (it.range(&before), it.range(&all_there.after(&last)));
            for name in ["a", "m", "m\0", "z", "\u{7f}"] {
                let key = Bytes::from(format!("{source}{name}"));
                let there = it.key(&key).unwrap();
                assert_eq!(first.contains(&there), before.contains(&key), "{source} {name}");
                assert_eq!(second.contains(&there), !before.contains(&key), "{source} {name}");
            }
            assert_eq!(first.start(), it.target_range().start());
            assert_eq!(second.range_end(), it.target_range().range_end());
        }
        assert_eq!(prefixes("a/", "").range(&prefix("a/")), all());
        for (source, target) in [(&b"\xff"[..], &b"b"[..]), (b"b", b"\xff\xff"), (b"\xff", b"")] {
            let it = Prefixes { source: source.into(), target: target.into() };
            assert_eq!(it.range(&it.source_range()), it.target_range());
        }
    }
}
