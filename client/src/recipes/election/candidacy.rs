//! A session that takes part in an election, until it leads.
//!
//! ```text
//! the turn of the session is free ──► the key is created, or found ──┐ another handle has it ──►
//! its key is read: a guest ────────────────┴─► Candidacy ──► Leadership
//! ```

use super::super::RecipeError;
use super::super::contender::{Contender, Entered, Entry, own_key};
use super::super::race::race;
use super::super::retry::{self, Backoff, passes};
use super::leader::Leader;
use super::leadership::{Leadership, proclaim};
use crate::{Bytes, Error, KeyValue, Lease, LeaseStatus, Session, get, prefix};
use std::sync::atomic::AtomicI64;

/// A candidate whose key is there.
pub(super) struct Candidacy {
    contender: Contender,
    /// The revision that last wrote the value.
    written: AtomicI64,
    /// Whether it was first when the key was created.
    is_first: bool,
}

impl Candidacy {
    /// Takes part with this value, or finds that the session does already.
    ///
    /// # Errors
    ///
    /// Those of [`Election::campaign`](super::Election::campaign).
    // X22
    pub(super) async fn begin(
        session: &Session,
        keys: &Bytes,
        value: &Bytes,
    ) -> Result<Self, RecipeError> {
        loop {
            let (candidacy, found) = Self::enter(session, keys, value).await?;
            if found.is_none_or(|found| found.value == *value) {
                return Ok(candidacy);
            }
            match candidacy.proclaim(value).await {
                Ok(()) => return Ok(candidacy),
                // The handle that it was the guest of gave it up.
                Err(RecipeError::KeyDeleted(_)) if candidacy.is_guest() => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn proclaim(&self, value: &Bytes) -> Result<(), RecipeError> {
        let mut backoff = Backoff::new(self.contender.session().client());
        loop {
            match proclaim(&self.contender, &self.written, value).await {
                Ok(_) => return Ok(()),
                // One that was applied all the same is found by its value.
                Err(RecipeError::Call(error)) if passes(&error) => backoff.rest().await,
                Err(error) => return Err(error),
            }
        }
    }

    /// Creates the key, or finds it.
    async fn enter(
        session: &Session,
        keys: &Bytes,
        value: &Bytes,
    ) -> Result<(Self, Option<KeyValue>), RecipeError> {
        let mut backoff = Backoff::new(session.client());
        let mut was_missing = false;
        loop {
            let lease = session.lease();
            if let LeaseStatus::Lost(lost) = lease.status() {
                return Err(lost.into());
            }
            let entry = Entry {
                key: own_key(keys, &lease),
                lease: lease.clone(),
                value: value.clone(),
                only_if: Vec::new(),
                read: get(prefix(keys.clone())).keys_only().first_create(),
            };
            let turns = session.turns(entry.key.clone());
            // Who has the turn leads, waits, or holds on to a key that somebody has deleted.
            // CONC-013
            if turns.is_taken() {
                if let Some(guest) = Self::guest(session, &lease, &entry.key).await? {
                    return Ok(guest);
                }
                if was_missing {
                    return Self::entered(Box::pin(entry.enter_beside(session)).await?);
                }
                was_missing = true;
            } else if let Some(entered) = Box::pin(entry.try_enter(session)).await? {
                return Self::entered(entered);
            }
            // The other handle is about to create the key, or to delete it.
            let lost = async { drop(lease.lost().await) };
            let given_back = async { drop(turns.take().await) };
            race(lost, race(given_back, backoff.rest())).await;
        }
    }

    fn entered(entered: Entered) -> Result<(Self, Option<KeyValue>), RecipeError> {
        let Entered { contender, found, read } = entered;
        let Some(contender) = contender else {
            return Err(Error::protocol("a key that exists and is not found").into());
        };
        let created = contender.create_revision();
        let first = read.first().map(|pair| pair.create_revision);
        let written = AtomicI64::new(found.as_ref().map_or(created, |own| own.mod_revision));
        Ok((Self { contender, written, is_first: first == Some(created) }, found))
    }

    /// Finds the key of another handle of the session.
    async fn guest(
        session: &Session,
        lease: &Lease,
        own: &Bytes,
    ) -> Result<Option<(Self, Option<KeyValue>)>, RecipeError> {
        let client = session.client();
        let found = retry::read_in(session, || client.get(own.clone())).await?;
        let header = found.header;
        let Some(own) = found.into_first() else { return Ok(None) };
        let contender = Contender::of_found(session, lease, &own, header, None);
        let written = AtomicI64::new(own.mod_revision);
        Ok(Some((Self { contender, written, is_first: false }, Some(own))))
    }

    /// Finds the leadership of the session.
    pub(super) async fn resume(
        session: &Session,
        keys: &Bytes,
    ) -> Result<Option<Leadership>, RecipeError> {
        let lease = session.lease();
        if let LeaseStatus::Lost(lost) = lease.status() {
            return Err(lost.into());
        }
        let own = own_key(keys, &lease);
        let turn = session.turns(own.clone()).try_take();
        let first = || Leader::first(session.client(), keys, None);
        let (leader, header) = retry::read_in(session, first).await?;
        let Some(leader) = leader.filter(|it| *it.key() == own) else { return Ok(None) };
        let contender = Contender::of_found(session, &lease, leader.kv(), header, turn);
        Ok(Some(Leadership::new(contender, AtomicI64::new(leader.kv().mod_revision))))
    }

    /// Returns whether the key is that of another handle of the session.
    pub(super) const fn is_guest(&self) -> bool {
        self.contender.is_guest()
    }

    /// Waits until it leads.
    // X23
    pub(super) async fn wait(self, keys: &Bytes) -> Result<Leadership, RecipeError> {
        if !self.is_first {
            self.contender.wait_to_lead(keys).await?;
        }
        Ok(Leadership::new(self.contender, self.written))
    }

    /// Leads, or gives up where others come first.
    // X13
    pub(super) async fn unless_others_lead(
        self,
        keys: &Bytes,
    ) -> Result<Option<Leadership>, RecipeError> {
        let Self { contender, written, is_first } = self;
        if !is_first {
            let client = contender.session().client();
            let first = retry::read(client, || Leader::first(client, keys, None));
            let (leader, _) = contender.unless_lost(first).await?;
            let leads = leader.map(|it| it.create_revision());
            if leads != Some(contender.create_revision()) {
                if !contender.is_guest() {
                    // Where it fails, dropping the contender goes on with it.
                    let _ = Box::pin(contender.leave()).await;
                }
                return Ok(None);
            }
        }
        Ok(Some(Leadership::new(contender, written)))
    }
}
