//! A client of the keys with a prefix.

// Y1; the core puts the prefix on and takes it off

use crate::{Client, IntoBytes};
use etcd3_core::namespace::KeyPrefix;

impl Client {
    /// Makes a client of a namespace: the keys that begin with this prefix, without it. It cannot
    /// leave them: `a` is `tenant/a/a` to others, and [all](crate::all) keys, or those from one on,
    /// end with the last that has the prefix. Keys of answers and events come without it.
    ///
    /// That holds for everything that names keys: reads, pages, writes and deletions, transactions
    /// with their conditions at any depth, watches and caches, the keys of leases and sessions, the
    /// [recipes](crate::recipes), locks and elections [of servers](crate::raw), and messages sent
    /// [as they are](Self::rpc). The bare prefix is no key of the namespace, and an empty key is
    /// refused as servers refuse it without a namespace.
    ///
    /// What concerns the cluster stays as it is: revisions and [compaction](Self::compact), ids of
    /// leases, members, [users and permissions](Self::auth), whose ranges are those of the whole
    /// store, [snapshots and all of maintenance](Self::maintenance). A namespace is no protection:
    /// for that, give the user of a client permissions for the prefix alone.
    ///
    /// Shares its connections, watch streams and leases with this client, and closing one closes
    /// all. A namespace within a namespace has both prefixes, and one of the empty prefix is the
    /// client itself. A client that is [pinned](Self::pinned_to) stays so.
    ///
    /// # Examples
    ///
    /// ```
    /// use etcd3::{all, prefix};
    ///
    /// # etcd3_sim::example(|client| async move {
    /// let tenant = client.namespace("tenant/a/");
    /// tenant.put("colour", "red").await?;
    /// client.put("tenant/b/colour", "blue").await?;
    ///
    /// assert_eq!(client.get("tenant/a/colour").await?.value_str(), Some("red"));
    /// let found = tenant.get(all()).await?;
    /// assert_eq!(found.first().expect("just written").key, "colour");
    ///
    /// // Nobody else's keys are deleted.
    /// assert_eq!(tenant.delete(all()).await?.deleted, 1);
    /// assert_eq!(client.get(prefix("tenant/")).await?.count, 1);
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub fn namespace(&self, prefix: impl IntoBytes) -> Self {
        let mut within = self.clone();
        within.prefix = KeyPrefix::nested(self.key_prefix(), prefix);
        within
    }
}
