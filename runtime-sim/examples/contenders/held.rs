//! What is held, of whatever kind.

use crate::log::Kind;
use etcd3::recipes::{
    Election, Leadership, Mutex, MutexGuard, Permit, RecipeError, RwLock, RwLockGuard, Semaphore,
};
use etcd3::runtime::BoxFuture;
use etcd3::{Bytes, Compare, Session};
use std::time::Duration;

/// What a contender holds.
pub(crate) trait Held: Send + Sync {
    fn key(&self) -> Bytes;
    fn create_revision(&self) -> i64;
    /// The revision at which it was found to be held; 0 where that is not told.
    fn revision(&self) -> i64;
    fn fence(&self) -> Compare;
    fn lost(&self) -> BoxFuture<'static, RecipeError>;
    fn release(&self) -> BoxFuture<'_, Result<(), RecipeError>>;
}

macro_rules! held {
    ($($guard:ty, $release:ident, $revision:expr;)*) => {$(
        impl Held for $guard {
            fn key(&self) -> Bytes {
                self.key().clone()
            }

            fn create_revision(&self) -> i64 {
                self.create_revision()
            }

            fn revision(&self) -> i64 {
                $revision(self)
            }

            fn fence(&self) -> Compare {
                self.fence()
            }

            fn lost(&self) -> BoxFuture<'static, RecipeError> {
                Box::pin(self.lost())
            }

            fn release(&self) -> BoxFuture<'_, Result<(), RecipeError>> {
                Box::pin(self.$release())
            }
        }
    )*};
}

held! {
    MutexGuard, unlock, |it: &MutexGuard| it.header().revision;
    Leadership, resign, |_| 0;
    RwLockGuard, unlock, |_| 0;
    Permit, release, |_| 0;
}

type Acquired = Result<Option<Box<dyn Held>>, RecipeError>;

fn boxed<T: Held + 'static>(guard: Option<T>) -> Option<Box<dyn Held>> {
    guard.map(|guard| Box::new(guard) as _)
}

/// Waits for so long at most.
pub(crate) async fn acquire(session: &Session, kind: Kind, limit: Duration) -> Acquired {
    let name = kind.name();
    match kind {
        Kind::Mutex => Mutex::new(session, name).lock_timeout(limit).await.map(boxed),
        Kind::Election => {
            Election::new(session, name).campaign_timeout("me", limit).await.map(boxed)
        }
        Kind::Write => RwLock::new(session, name).write_timeout(limit).await.map(boxed),
        Kind::Read => RwLock::new(session, name).read_timeout(limit).await.map(boxed),
        Kind::Permit => {
            let semaphore = Semaphore::new(session, name, crate::log::PERMITS);
            semaphore.acquire_timeout(limit).await.map(boxed)
        }
    }
}
