//! Transactions of the target, each of which stores a position, and happens once.

use super::super::retry::{Backoff, passes};
use super::MirrorError;
use super::changes::Change;
use super::position::Position;
use crate::{Bytes, Client, KeyValue, LeaseId, Op, ResumeToken, get, key, put};
use std::collections::BTreeSet;

/// The target of a mirror, and what is known of the position in it.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) client: Client,
    /// The key of the position.
    pub(super) key: Bytes,
    /// The position that is stored, and the revision that stored it; 0 where there is none.
    pub(super) stored: Option<Position>,
    revision: i64,
    writer: u64,
    sequence: u64,
    /// The revisions that were written here while the source was the same cluster, as far as the
    /// source has not told of later ones.
    own: BTreeSet<i64>,
}

impl Target {
    pub(super) fn new(client: Client, key: Bytes) -> Self {
        let writer = client.runtime().seed();
        let own = BTreeSet::new();
        Self { client, key, stored: None, revision: 0, writer, sequence: 0, own }
    }

    /// Fails if what the source tells of was written here: the mirror would hear itself for ever.
    pub(super) fn refuse_own(&self, revision: i64) -> Result<(), MirrorError> {
        if self.own.contains(&revision) { Err(MirrorError::Loop) } else { Ok(()) }
    }

    /// Notes what was written last, if this cluster is that of the source.
    fn note_own(&mut self, cluster_id: u64, token: Option<ResumeToken>) {
        if let Some(token) = token.filter(|token| token.cluster_id == cluster_id) {
            self.own.retain(|own| *own >= token.revision);
            self.own.insert(self.revision);
        }
    }

    /// Reads the position that is stored.
    pub(super) async fn read(&mut self) -> Result<(), MirrorError> {
        let found = self.client.get(self.key.clone()).await.map_err(MirrorError::Target)?;
        self.take(found.kvs.first())
    }

    fn take(&mut self, found: Option<&KeyValue>) -> Result<(), MirrorError> {
        let parse = |pair: &KeyValue| {
            let no_position = || MirrorError::NoPosition(pair.value.clone());
            Position::parse(&pair.value).ok_or_else(no_position)
        };
        self.stored = found.map(parse).transpose()?;
        self.revision = found.map_or(0, |pair| pair.mod_revision);
        Ok(())
    }

    /// Makes the changes and stores the position, in one transaction that happens once: it holds
    /// only while the position is that which was stored last. When an answer was lost, the next
    /// attempt finds out: either the position is still that, and so nothing happened and will not
    /// happen beside this attempt, or it is the one that was to be stored. Waits as long as the
    /// target does not answer.
    // I-D3: what is stored and the position are one.
    pub(super) async fn commit(
        &mut self,
        changes: &[Change],
        token: Option<ResumeToken>,
        lease: LeaseId,
    ) -> Result<(), MirrorError> {
        self.sequence += 1;
        let (writer, sequence) = (self.writer, self.sequence);
        let position = Position { token, writer, sequence, lease };
        let store = put(self.key.clone(), position.to_string());
        let mut backoff = Backoff::new(&self.client);
        loop {
            let ops = changes.iter().map(Change::op).chain([Op::from(store.clone())]);
            let is_known = key(self.key.clone()).mod_revision().eq(self.revision);
            let txn = self.client.txn().when([is_known]).then(ops);
            match txn.otherwise([get(self.key.clone())]).await {
                Ok(done) if done.succeeded => {
                    self.stored = Some(position);
                    self.revision = done.header.revision;
                    self.note_own(done.header.cluster_id, token);
                    return Ok(());
                }
                Ok(done) => {
                    let found = done.responses.first().and_then(|found| found.as_get());
                    self.take(found.and_then(|found| found.kvs.first()))?;
                    match self.stored {
                        Some(stored) if stored == position => {
                            self.note_own(done.header.cluster_id, token);
                            return Ok(());
                        }
                        // An earlier attempt of the same changes, by a call that was dropped.
                        Some(stored) if stored.writer == writer => {}
                        _ => return Err(MirrorError::Overtaken),
                    }
                }
                Err(error) if passes(&error) => backoff.rest().await,
                Err(error) => return Err(MirrorError::Target(error)),
            }
        }
    }
}
