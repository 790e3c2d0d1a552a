//! Where keys are named: in a namespace, or in the whole store, by one who puts a prefix before
//! them.

use etcd3::{Bytes, GetResponse, KeyRange, KeyValue, OpResponse, ResponseHeader, TxnResponse};

#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// The client has the prefix.
    Namespace,
    /// Keys are written out with this prefix.
    ByHand(Vec<u8>),
}

impl Place {
    /// Returns what stands for this key, or name. An empty key stays one, which is refused.
    pub(crate) fn key(&self, key: &[u8]) -> Vec<u8> {
        match self {
            Self::ByHand(prefix) if !key.is_empty() => [prefix, key].concat(),
            _ => key.to_vec(),
        }
    }

    pub(crate) fn name(&self, name: &[u8]) -> Vec<u8> {
        match self {
            Self::ByHand(prefix) => [prefix, name].concat(),
            Self::Namespace => name.to_vec(),
        }
    }

    /// Returns what stands for a range as it is on the wire.
    pub(crate) fn range(&self, key: &[u8], end: &[u8]) -> KeyRange {
        let moved = match (self, end) {
            (Self::Namespace, _) | (_, []) => end.to_vec(),
            (Self::ByHand(prefix), [0]) => end_of(prefix),
            (Self::ByHand(prefix), _) => [prefix, end].concat(),
        };
        KeyRange::from_wire(self.key(key), moved)
    }

    /// Takes the prefix off, if there is one.
    fn key_within(&self, key: &Bytes) -> Bytes {
        let Self::ByHand(prefix) = self else { return key.clone() };
        let rest = key.strip_prefix(&prefix[..]);
        Bytes::copy_from_slice(rest.unwrap_or_else(|| panic!("{key:?} is not within {prefix:?}")))
    }

    pub(crate) fn pair(&self, pair: &mut KeyValue) {
        pair.key = self.key_within(&pair.key);
    }

    /// Leaves out the keys that are of others.
    pub(crate) fn keys(&self, keys: &mut Vec<Bytes>) {
        if let Self::ByHand(prefix) = self {
            keys.retain(|key| key.starts_with(prefix) && key.len() > prefix.len());
            for key in keys {
                self.name_within(key);
            }
        }
    }

    pub(crate) fn get(&self, response: &mut GetResponse) {
        response.kvs.iter_mut().for_each(|pair| self.pair(pair));
    }

    pub(crate) fn txn(&self, response: &mut TxnResponse) {
        response.responses.iter_mut().for_each(|it| self.op(it));
    }

    pub(crate) fn op(&self, response: &mut OpResponse) {
        match response {
            OpResponse::Get(get) => self.get(get),
            OpResponse::Put(put) => put.prev_kv.iter_mut().for_each(|pair| self.pair(pair)),
            OpResponse::Delete(delete) => {
                delete.prev_kvs.iter_mut().for_each(|pair| self.pair(pair));
            }
            OpResponse::Txn(txn) => self.txn(txn),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn name_within(&self, name: &mut Bytes) {
        *name = self.key_within(name);
    }
}

/// The first key after all that begin with a prefix, as a range end on the wire.
fn end_of(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return end;
        }
    }
    vec![0]
}

/// What of a header is the same on two clusters.
pub(crate) const fn revision_of(header: &ResponseHeader) -> i64 {
    header.revision
}
