//! Elections: one of several leads, and everybody can see who.

mod candidacy;
mod changes;
mod latch;
mod leader;
mod leadership;

pub use changes::{LeaderChange, LeaderChanges};
pub use latch::LeaderLatch;
pub use leader::Leader;
pub use leadership::Leadership;

use super::RecipeError;
use super::race::race;
use super::retry;
use crate::{Bytes, Error, IntoBytes, Session};
use candidacy::Candidacy;
use leader::key_prefix;
use std::time::Duration;

/// An election: of all who campaign in it, one leads, in the order in which they came, and
/// proclaims a value that everybody can read.
///
/// A leader leads until it resigns, its session is lost, or somebody deletes its key. Once it was
/// suspended or cut off it may not know yet that it does not lead any more, so what only the leader
/// may write is written in transactions with its [fence](Leadership::fence). To have work done
/// while leading, and dropped in time, take a [`LeaderLatch`]; to follow who leads without a
/// session, take [`LeaderChanges`].
///
/// Cheap to clone; nothing is sent until it is used.
///
/// # Keys
///
/// A candidate has the key `NAME/LEASE`, with the id of the lease of its session in lower-case
/// hexadecimal, attached to that lease; its value is what it proclaims. The one whose key was
/// created first leads. Go's `concurrency.Election`, `etcdctl elect` and the
/// [elections within servers](crate::raw::Services::campaign) do the same, and all of them may
/// contend for the same name. Other keys below the name, such as those of an election `NAME/other`,
/// are passed over here, while those clients wait for them, too: keep them apart in a mixed fleet.
///
/// A session is one candidate of a name, however many handles it has: who campaigns again proclaims
/// its value for the candidacy that there is.
///
/// # Examples
///
/// ```
/// use etcd3::put;
/// use etcd3::recipes::Election;
/// use std::time::Duration;
///
/// # etcd3_sim::example(|client| async move {
/// let session = client.session(Duration::from_secs(10)).await?;
/// let election = Election::new(&session, "scheduler");
/// let leadership = election.campaign("10.0.0.7:80").await?;
///
/// // Applied only while it leads, whatever it believes.
/// let done = client
///     .txn()
///     .when([leadership.fence()])
///     .then([put("scheduler-state", "1")])
///     .await?;
/// assert!(done.succeeded);
/// leadership.proclaim("10.0.0.7:8080").await?;
/// let leader = election.leader().await?.expect("it leads");
/// assert_eq!(leader.value(), "10.0.0.7:8080");
///
/// leadership.resign().await?;
/// assert!(election.leader().await?.is_none());
/// # Ok(())
/// # });
/// ```
#[derive(Debug, Clone)]
pub struct Election {
    session: Session,
    /// The name and a slash.
    prefix: Bytes,
}

impl Election {
    /// Makes a handle of the election of this name; nothing is sent.
    // X21
    #[must_use]
    pub fn new(session: &Session, name: impl IntoBytes) -> Self {
        Self { session: session.clone(), prefix: key_prefix(name) }
    }

    /// Waits until it leads, with this value. Whoever began to campaign before is waited for, and
    /// the win is verified: at one revision, its key is there and none that is older.
    ///
    /// With a session that is a candidate already, be it by another handle or from an earlier life
    /// of the program, this proclaims the value and waits for the same candidacy; it is given up by
    /// the handle that began it.
    ///
    /// # Errors
    ///
    /// [`SessionLost`](RecipeError::SessionLost) as soon as the session is, whoever else is waited
    /// for; [`KeyDeleted`](RecipeError::KeyDeleted) when somebody deletes its key;
    /// [`Call`](RecipeError::Call) for what does not pass, such as the lack of a permission. What
    /// passes is waited for, as long as the session is valid. No key stays after an error.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the candidacy up: its key is deleted in the background, also where
    /// it is not known yet whether it was created, until that is certain or the session is lost.
    // X22, X23, I-S2, I-S3, I-S5
    pub async fn campaign(&self, value: impl IntoBytes) -> Result<Leadership, RecipeError> {
        let value = value.into_bytes();
        loop {
            // Boxed: futures that hold futures move them.
            let begin = Box::pin(Candidacy::begin(&self.session, &self.prefix, &value));
            let candidacy = begin.await?;
            let is_guest = candidacy.is_guest();
            match candidacy.wait(&self.prefix).await {
                // The handle that it was the guest of gave it up.
                Err(RecipeError::KeyDeleted(_)) if is_guest => {}
                other => return other,
            }
        }
    }

    /// Leads with this value if nobody else leads or waits to; `None` otherwise.
    ///
    /// # Errors
    ///
    /// Those of [`campaign`](Self::campaign).
    ///
    /// # Cancel safety
    ///
    /// That of [`campaign`](Self::campaign).
    // X13
    pub async fn try_campaign(
        &self,
        value: impl IntoBytes,
    ) -> Result<Option<Leadership>, RecipeError> {
        let value = value.into_bytes();
        loop {
            if let Some(leader) = self.leader_in_session().await?
                && leader.lease() != self.session.id()
            {
                return Ok(None);
            }
            let begin = Box::pin(Candidacy::begin(&self.session, &self.prefix, &value));
            let candidacy = begin.await?;
            let is_guest = candidacy.is_guest();
            let led = candidacy.unless_others_lead(&self.prefix).await?;
            // Otherwise the handle that it was the guest of gave it up, and nobody leads.
            if led.is_some() || !is_guest || self.leader_in_session().await?.is_some() {
                return Ok(led);
            }
        }
    }

    async fn leader_in_session(&self) -> Result<Option<Leader>, RecipeError> {
        let first = || Leader::first(self.session.client(), &self.prefix, None);
        Ok(retry::read_in(&self.session, first).await?.0)
    }

    /// Campaigns for so long at most; `None` when that is over, and the candidacy is given up.
    ///
    /// # Errors
    ///
    /// Those of [`campaign`](Self::campaign).
    ///
    /// # Cancel safety
    ///
    /// That of [`campaign`](Self::campaign).
    pub async fn campaign_timeout(
        &self,
        value: impl IntoBytes,
        limit: Duration,
    ) -> Result<Option<Leadership>, RecipeError> {
        let rt = self.session.client().runtime();
        let too_late = async {
            rt.sleep_until(rt.now() + limit).await;
            Ok(None)
        };
        race(async { self.campaign(value).await.map(Some) }, too_late).await
    }

    /// Takes up the leadership that the session has, in a program that was restarted and has
    /// [begun a session](crate::Client::session_on) on the lease of before, for example; `None`
    /// where the session does not lead. Writes nothing.
    ///
    /// Where another handle of the session leads, this is one of the same leadership, and does not
    /// resign when it is dropped.
    ///
    /// # Errors
    ///
    /// That the session is lost, and those of a read that do not pass.
    ///
    /// # Cancel safety
    ///
    /// Changes nothing.
    // CONC-001, CONC-015
    pub async fn resume(&self) -> Result<Option<Leadership>, RecipeError> {
        Candidacy::resume(&self.session, &self.prefix).await
    }

    /// Reads who leads; `None` where nobody does. The read is linearizable.
    ///
    /// # Errors
    ///
    /// Those of any read.
    ///
    /// # Cancel safety
    ///
    /// Changes nothing.
    // X26
    pub async fn leader(&self) -> Result<Option<Leader>, Error> {
        Ok(Leader::first(self.session.client(), &self.prefix, None).await?.0)
    }

    /// Follows who leads. Goes on when the session is lost.
    // X27, X28
    pub fn observe(&self) -> LeaderChanges {
        LeaderChanges::of(self.session.client(), self.prefix.clone())
    }

    /// Returns the session in whose name it campaigns.
    pub const fn session(&self) -> &Session {
        &self.session
    }
}
