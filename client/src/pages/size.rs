//! How many keys a page is to hold.

use etcd3_core::KeyValue;

/// The keys of the first page, of which nothing is known: few, as each may have a large value.
const FIRST: u64 = 128;
/// How many times as many keys a page may have as the one before: what comes may be larger.
const GROWTH: u64 = 64;
/// The most keys of a page.
const MOST: u64 = 100_000;
/// The size that pages of small ranges tend to, in bytes.
const TARGET: u64 = 4 << 20;
/// How many pages a larger range tends to have. A server looks at every key that is left to count
/// them, which costs it a twentieth of reading one: ten pages make that a quarter of the whole.
const PARTS: u64 = 10;
/// The part of the largest response that a page aims at, so that one of larger values still fits.
const SHARE: u64 = 4;
/// What a key takes beside itself and its value, in bytes.
const OVERHEAD: u64 = 32;
/// How many times fewer keys are asked for when a page was too large.
const SHRINK: u64 = 8;

/// The number of keys of the next page, and how it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PageSize {
    keys: u64,
    /// The keys of the whole range, as the first page tells.
    total: u64,
    /// The most bytes that a page aims at; `None` where the number of keys is given.
    most: Option<u64>,
}

impl PageSize {
    /// Makes one that adapts; no response may be larger than so many bytes.
    pub(super) fn adaptive(max_response_bytes: usize) -> Self {
        let most = u64::try_from(max_response_bytes).unwrap_or(u64::MAX);
        Self { keys: FIRST, total: 0, most: Some(most / SHARE) }
    }

    /// Makes one that stays; 0 counts as 1.
    pub(super) fn fixed(keys: u64) -> Self {
        Self { keys: keys.max(1), total: 0, most: None }
    }

    pub(super) const fn keys(self) -> u64 {
        self.keys
    }

    /// Adapts to the keys of a page, and to how many were left with it.
    pub(super) fn learn(&mut self, kvs: &[KeyValue], left: u64) {
        let (Some(most), false) = (self.most, kvs.is_empty()) else { return };
        self.total = self.total.max(left);
        let size = |kv: &KeyValue| OVERHEAD + (kv.key.len() + kv.value.len()) as u64;
        let (bytes, count): (u64, u64) = (kvs.iter().map(size).sum(), kvs.len() as u64);
        let part = bytes.saturating_mul(self.total) / count / PARTS;
        let target = part.max(TARGET).min(most);
        let fitting = count.saturating_mul(target) / bytes;
        self.keys = fitting.min(count.saturating_mul(GROWTH)).clamp(1, MOST);
    }

    /// Asks for less after a page of so many keys was too large; tells whether that is possible.
    pub(super) fn shrink(&mut self, asked: u64) -> bool {
        let asked = asked.min(self.keys);
        let may = self.most.is_some() && asked > 1;
        if may {
            self.keys = (asked / SHRINK).max(1);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(count: usize, value: usize) -> Vec<KeyValue> {
        let mut kv = KeyValue::default();
        (kv.key, kv.value) = ("k".into(), vec![0; value].into());
        vec![kv; count]
    }

    // I-D2
    #[test]
    fn pages_grow_towards_their_size_and_no_faster() {
        let mut size = PageSize::adaptive(64 << 20);
        assert_eq!(size.keys(), FIRST);
        size.learn(&page(128, 67), 0);
        assert_eq!(size.keys(), 128 * GROWTH);
        size.learn(&page(8192, 67), 0);
        assert_eq!(size.keys(), TARGET / 100);
        size.learn(&page(100, 0), 0);
        assert_eq!(size.keys(), 100 * GROWTH);
        size.learn(&page(20_000, 0), 0);
        assert_eq!(size.keys(), MOST);
    }

    #[test]
    fn large_ranges_come_in_few_pages_that_memory_bounds() {
        let mut size = PageSize::adaptive(64 << 20);
        size.learn(&page(8192, 67), 1_000_000);
        assert_eq!(size.keys(), 100_000);
        size.learn(&page(8192, 67), 500_000);
        assert_eq!(size.keys(), 100_000, "a part of the whole, not of what is left");
        size.learn(&page(8192, 967), 500_000);
        assert_eq!(size.keys(), (16 << 20) / 1000);
        size.learn(&page(8192, 67), u64::MAX);
        assert_eq!(size.keys(), MOST);
    }

    #[test]
    fn large_values_make_small_pages() {
        let mut size = PageSize::adaptive(64 << 20);
        size.learn(&page(128, 1 << 20), 0);
        assert_eq!(size.keys(), 3);
        size.learn(&page(1, 8 << 20), 0);
        assert_eq!(size.keys(), 1);
        let mut small = PageSize::adaptive(4096);
        small.learn(&page(128, 95), 1_000_000);
        assert_eq!(small.keys(), 8);
    }

    #[test]
    fn what_was_too_large_is_asked_for_in_parts_down_to_one_key() {
        let mut size = PageSize::adaptive(64 << 20);
        let mut seen = Vec::new();
        while size.shrink(u64::MAX) {
            seen.push(size.keys());
        }
        assert_eq!(seen, [16, 2, 1]);
    }

    #[test]
    fn a_number_of_keys_that_was_given_stays() {
        let mut size = PageSize::fixed(0);
        assert_eq!(size.keys(), 1);
        size = PageSize::fixed(10);
        size.learn(&page(10, 0), 1_000_000);
        assert!(!size.shrink(u64::MAX));
        assert_eq!(size.keys(), 10);
    }

    #[test]
    fn a_page_without_keys_teaches_nothing() {
        let mut size = PageSize::adaptive(64 << 20);
        size.learn(&[], 1_000_000);
        assert_eq!(size.keys(), FIRST);
    }
}
