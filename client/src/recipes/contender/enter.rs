//! The transaction that creates the own key.

use super::super::RecipeError;
use super::super::retry::{Backoff, passes};
use super::clear::{self, Remains};
use super::{Contender, Owner, Stage, may_have_been_applied};
use crate::runtime::BoxFuture;
use crate::{
    Bytes, Compare, Error, Get, GetResponse, KeyValue, Lease, Session, SessionTurn, TxnResponse,
    get, key, ops, put,
};
use std::future::{IntoFuture, poll_fn};
use std::sync::Arc;
use std::task::{Poll, ready};

/// What is to be written, and what is read with it.
pub(in super::super) struct Entry {
    /// The lease that the session has now. With the next one it is another contender.
    pub(in super::super) lease: Lease,
    /// The own key, with the id of this lease, as [`own_key`](super::own_key) makes it.
    pub(in super::super) key: Bytes,
    pub(in super::super) value: Bytes,
    /// What else must hold for the key to be created.
    pub(in super::super) only_if: Vec<Compare>,
    /// What is read in the same transaction, after the key is created.
    pub(in super::super) read: Get,
}

/// What came of an [`Entry`].
#[derive(Debug)]
pub(in super::super) struct Entered {
    /// `None` where a condition of the entry did not hold, and there was no key of before.
    pub(in super::super) contender: Option<Contender>,
    /// The own key, where it was there before: the session entered in an earlier life, or another
    /// one has the same lease.
    pub(in super::super) found: Option<KeyValue>,
    pub(in super::super) read: GetResponse,
}

impl Entry {
    /// Creates the own key, or finds it; waits while another handle of the session is at it, and
    /// for as long as the transaction fails by what passes.
    ///
    /// # Errors
    ///
    /// That the session is lost, and errors of the call that do not pass.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future deletes the key in the background, if it is or will be there.
    // X11, I-S4, I-S5
    pub(in super::super) async fn enter(self, session: &Session) -> Result<Entered, RecipeError> {
        let owner = Owner::new(session, &self.lease, &self.key);
        let turn = async { Ok::<_, RecipeError>(owner.turns.take().await) };
        let turn = owner.unless_lost(turn).await?;
        self.enter_as(session, owner, turn).await
    }

    /// The same, unless another handle of the session is at it.
    ///
    /// # Errors
    ///
    /// As [`enter`](Self::enter).
    pub(in super::super) async fn try_enter(
        self,
        session: &Session,
    ) -> Result<Option<Entered>, RecipeError> {
        let owner = Owner::new(session, &self.lease, &self.key);
        match owner.turns.try_take() {
            Some(turn) => self.enter_as(session, owner, turn).await.map(Some),
            None => Ok(None),
        }
    }

    /// The same beside the handle that has the turn, whose key is gone; it has the turn after that
    /// one. Should that one be about to create the key, the two are one contender, and the first to
    /// give up deletes the key of both.
    ///
    /// # Errors
    ///
    /// As [`enter`](Self::enter).
    pub(in super::super) async fn enter_beside(
        self,
        session: &Session,
    ) -> Result<Entered, RecipeError> {
        let owner = Owner::new(session, &self.lease, &self.key);
        let turn = owner.turns.succeed();
        self.enter_as(session, owner, turn).await
    }

    async fn enter_as(
        self,
        session: &Session,
        owner: Owner,
        turn: SessionTurn,
    ) -> Result<Entered, RecipeError> {
        let mut backoff = Backoff::new(&owner.client);
        let mut entering = Entering {
            session: session.clone(),
            owner: owner.clone(),
            turn: Some(turn),
            call: None,
            unknown: 0,
        };
        let answer = owner.unless_lost(async {
            loop {
                match entering.call(&self).await {
                    // Repeating it does nothing twice: it finds what the one before created.
                    Err(error) if passes(&error) => backoff.rest().await,
                    other => return other,
                }
            }
        });
        let answer = answer.await?;
        entering.entered(answer)
    }

    fn begin(&self, owner: &Owner) -> BoxFuture<'static, Result<TxnResponse, Error>> {
        let is_free = key(self.key.clone()).create_revision().eq(0);
        let created = put(self.key.clone(), self.value.clone()).lease(owner.lease.id());
        // It goes on in the background when nobody waits for it any more.
        let call = owner
            .client
            .for_cleanup()
            .txn()
            .when(self.only_if.iter().cloned().chain([is_free]))
            .then(ops![created, self.read.clone()])
            .otherwise(ops![get(self.key.clone()), self.read.clone()]);
        Box::pin(call.into_future())
    }
}

/// The transaction under way. Dropping it leaves no key behind.
struct Entering {
    session: Session,
    owner: Owner,
    turn: Option<SessionTurn>,
    call: Option<BoxFuture<'static, Result<TxnResponse, Error>>>,
    /// How many transactions were made of which nobody knows what became of them.
    unknown: u32,
}

impl Entering {
    async fn call(&mut self, entry: &Entry) -> Result<TxnResponse, Error> {
        self.call = Some(entry.begin(&self.owner));
        let answer = poll_fn(|cx| match &mut self.call {
            Some(call) => {
                let answer = ready!(call.as_mut().poll(cx));
                self.call = None;
                Poll::Ready(answer)
            }
            None => Poll::Pending,
        });
        let answer = answer.await;
        self.unknown += u32::from(answer.as_ref().is_err_and(may_have_been_applied));
        answer
    }

    fn entered(mut self, answer: TxnResponse) -> Result<Entered, RecipeError> {
        let TxnResponse { header, succeeded, responses, .. } = answer;
        let mut found = None;
        let mut read = None;
        for response in responses {
            match (response.into_get(), succeeded, &read) {
                (Some(own), false, None) if found.is_none() => found = Some(own),
                (Some(answer), _, None) => read = Some(answer),
                _ => {}
            }
        }
        let Some(read) = read else {
            return Err(Error::protocol("a transaction without what it was to read").into());
        };
        let found = found.and_then(GetResponse::into_first);
        // Others do not write it: it is one of those of which nothing was known.
        let unknown = self.unknown.saturating_sub(u32::from(found.is_some()));
        self.unknown = unknown;
        let create_revision = match &found {
            Some(own) => Some(own.create_revision),
            None => succeeded.then_some(header.revision),
        };
        let contender = create_revision.map(|create_revision| {
            self.unknown = 0;
            Contender {
                session: self.session.clone(),
                owner: self.owner.clone(),
                create_revision,
                header,
                unknown: unknown.into(),
                is_guest: false,
                stage: Arc::new(Stage::new(self.turn.take())),
            }
        });
        Ok(Entered { contender, found, read })
    }
}

impl Drop for Entering {
    // I-S5
    fn drop(&mut self) {
        let call = self.call.take();
        if call.is_some() || self.unknown > 0 {
            let mut remains = Remains::new(&self.session, &self.owner, self.unknown);
            (remains.turn, remains.call) = (self.turn.take(), call);
            clear::spawn(remains);
        }
    }
}
