//! The items of a queue, as its readers see them: listed, claimed, or waited for.

use super::super::RecipeError;
use super::super::race::race;
use super::super::retry::{Backoff, passes};
use super::claim::{Claim, Rule};
use crate::{
    Bytes, Client, Error, ErrorKind, Get, IntoBytes, KeyRange, KeyValue, ResponseHeader,
    ResumeToken, get, prefix,
};
use event_listener::{Event, EventListener};
use std::collections::VecDeque;
use std::fmt;
use std::ops::ControlFlow;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

/// In which order items are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// By the revision that wrote them.
    Revision,
    /// By their keys.
    Key,
}

/// The items of a queue. The clones are one reader.
#[derive(Clone)]
pub(super) struct Items {
    shared: Arc<Shared>,
}

/// What the clones share.
pub(super) struct Shared {
    client: Client,
    prefix: Bytes,
    order: Order,
    given_up: Mutex<GivenUp>,
    /// A claim that was given up has come to its end.
    more: Event,
}

/// The claims that nobody waits for any more.
#[derive(Default)]
struct GivenUp {
    /// How many are under way.
    open: usize,
    /// What came of the others, if it is anything.
    ended: VecDeque<Claimed>,
}

/// What comes of a claim: an item, or that nobody knows.
pub(super) type Claimed = Result<KeyValue, RecipeError>;

/// What there is.
enum Look {
    Taken(KeyValue),
    /// Nothing, as of this answer.
    Empty(ResponseHeader),
    /// The time is over.
    Over,
}

impl Items {
    pub(super) fn new(client: &Client, name: &Bytes, order: Order) -> Self {
        let mut prefix = name.to_vec();
        prefix.push(b'/');
        let (client, prefix) = (client.clone(), prefix.into_bytes());
        let (given_up, more) = (Mutex::default(), Event::new());
        Self { shared: Arc::new(Shared { client, prefix, order, given_up, more }) }
    }

    pub(super) fn client(&self) -> &Client {
        &self.shared.client
    }

    pub(super) fn prefix(&self) -> &Bytes {
        &self.shared.prefix
    }

    /// Takes the first item, or waits for one.
    pub(super) async fn take(&self) -> Claimed {
        let never = std::future::pending::<()>();
        match self.take_until(never).await? {
            Some(item) => Ok(item),
            // It cannot be too late.
            None => Err(Error::new(ErrorKind::Closed).into()),
        }
    }

    /// Takes the first item, or waits for one until then.
    pub(super) async fn take_within(
        &self,
        time: Duration,
    ) -> Result<Option<KeyValue>, RecipeError> {
        let rt = self.client().runtime();
        self.take_until(rt.sleep_until(rt.now() + time)).await
    }

    /// Takes the first item if there is one.
    pub(super) async fn try_take(&self) -> Result<Option<KeyValue>, RecipeError> {
        Ok(match self.look(pin!(std::future::pending())).await? {
            Look::Taken(item) => Some(item),
            Look::Empty(_) | Look::Over => None,
        })
    }

    async fn take_until(
        &self,
        end: impl Future<Output = ()>,
    ) -> Result<Option<KeyValue>, RecipeError> {
        let mut end = pin!(end);
        let mut backoff = Backoff::new(self.client());
        let mut has_waited = false;
        loop {
            let more = self.shared.more.listen();
            let header = match self.look(end.as_mut()).await {
                Ok(Look::Taken(item)) => return Ok(Some(item)),
                Ok(Look::Over) => return Ok(None),
                Ok(Look::Empty(header)) => Some(header),
                Err(RecipeError::Call(error)) if has_waited && passes(&error) => None,
                Err(error) => return Err(error),
            };
            has_waited = true;
            let wait = async {
                match &header {
                    Some(header) => self.wait(header, more, &mut backoff).await?,
                    None => backoff.rest().await,
                }
                Ok::<_, Error>(false)
            };
            let is_over = async {
                end.as_mut().await;
                Ok(true)
            };
            if race(wait, is_over).await? {
                return Ok(None);
            }
        }
    }

    /// Takes the first item if there is one. At the end of the time nothing is waited for any more
    /// but a claim that was begun.
    async fn look(&self, mut end: Pin<&mut impl Future<Output = ()>>) -> Result<Look, RecipeError> {
        loop {
            let is_over = async {
                end.as_mut().await;
                Ok(ControlFlow::Break(Look::Over))
            };
            let item = match race(self.list(), is_over).await? {
                ControlFlow::Continue(item) => item,
                ControlFlow::Break(look) => return Ok(look),
            };
            if let Some(item) = Claim::begin(&self.shared, item).await? {
                return Ok(Look::Taken(item));
            }
            // Somebody else has it, or one came before it.
        }
    }

    /// Finds the first item, which is to be claimed, or what a claim took that was given up.
    async fn list(&self) -> Result<ControlFlow<Look, KeyValue>, RecipeError> {
        if let Some(ended) = self.shared.given_up().await {
            return ended.map(|item| ControlFlow::Break(Look::Taken(item)));
        }
        let found = self.client().execute(self.first()).await?;
        let header = found.header;
        let empty = ControlFlow::Break(Look::Empty(header));
        Ok(found.into_first().map_or(empty, ControlFlow::Continue))
    }

    fn first(&self) -> Get {
        let items = get(prefix(self.prefix().clone()));
        match self.shared.order {
            Order::Revision => items.first_revision(),
            Order::Key => items.first_key(),
        }
    }

    /// Waits until there may be an item.
    async fn wait(
        &self,
        listed: &ResponseHeader,
        more: EventListener,
        backoff: &mut Backoff,
    ) -> Result<(), Error> {
        let left = async {
            more.await;
            Ok(())
        };
        match race(left, self.written(ResumeToken::after(listed))).await {
            // Whatever was written since: the next listing shows it.
            Err(error) if error.is_compacted() => Ok(()),
            Err(error) if passes(&error) || error.kind() == ErrorKind::WatchCanceled => {
                backoff.rest().await;
                Ok(())
            }
            other => other,
        }
    }

    /// Waits until an item is written, from this revision on.
    async fn written(&self, since: ResumeToken) -> Result<(), Error> {
        let items = prefix(self.prefix().clone());
        let mut watch = self.client().watch(items).resume(since).without_deletes().await?;
        match watch.next().await {
            Some(batch) => batch.map(drop),
            None => Err(Error::new(ErrorKind::WatchCanceled)),
        }
    }
}

impl fmt::Debug for Items {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Items")
            .field("prefix", &self.shared.prefix)
            .field("order", &self.shared.order)
            .finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) const fn client(&self) -> &Client {
        &self.client
    }

    /// Returns by which rule an item is claimed.
    pub(super) fn rule(&self, item: &KeyValue) -> Rule {
        let before = match self.order {
            // What is written later has a greater revision.
            Order::Revision => None,
            Order::Key => Some(KeyRange::from(self.prefix.clone()..item.key.clone())),
        };
        Rule { before }
    }

    /// Notes that a claim is given up, until this is dropped.
    pub(super) fn give_up(self: &Arc<Self>) -> Open {
        self.lock().open += 1;
        Open(Arc::downgrade(self))
    }

    /// Leaves what came of a claim to the next one who wants an item.
    pub(super) fn leave(&self, claimed: Claimed) {
        self.lock().ended.push_back(claimed);
        self.more.notify(usize::MAX);
    }

    /// Takes an item back, unless somebody has it.
    pub(super) fn withdraw(&self, item: &KeyValue) -> Option<KeyValue> {
        let ended = &mut self.lock().ended;
        let at = ended.iter().position(|it| it.as_ref().is_ok_and(|it| it == item))?;
        ended.remove(at)?.ok()
    }

    /// Waits for what comes of the claims that were given up; `None` if there are none. Whatever
    /// they take comes before what is there.
    async fn given_up(&self) -> Option<Claimed> {
        loop {
            let more = self.more.listen();
            {
                let mut state = self.lock();
                if state.open == 0 || !state.ended.is_empty() {
                    return state.ended.pop_front();
                }
            }
            more.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, GivenUp> {
        self.given_up.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A claim that was given up and is under way.
pub(super) struct Open(Weak<Shared>);

impl Open {
    /// Returns the reader that gave it up, if it is still there.
    pub(super) fn reader(&self) -> Option<Arc<Shared>> {
        self.0.upgrade()
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(shared) = self.reader() {
            shared.lock().open -= 1;
            shared.more.notify(usize::MAX);
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let given_up = std::mem::take(&mut *self.lock());
        for item in given_up.ended.into_iter().flatten() {
            super::claim::put_back_later(&self.client, item);
        }
    }
}
