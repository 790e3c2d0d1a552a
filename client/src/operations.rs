//! The operations of a client.

use crate::Client;
use crate::list_watch::ListWatch;
use crate::pages::Pages;
use crate::range_stream::RangeStream;
use crate::request::{BeginCache, BeginWatch, BeginWatchRanges, Request};
use etcd3_core::request::{
    Compact, Compare, Comparison, Delete, Get, Operation, Put, PutValue, Raw, Txn, When,
};
use etcd3_core::{IntoBytes, KeyRange, UnaryRequest};

impl Client {
    /// Reads one key, or all keys of a range.
    ///
    /// # Examples
    ///
    /// ```
    /// use etcd3::prefix;
    ///
    /// # etcd3_sim::example(|client| async move {
    /// client.put("config/colour", "red").await?;
    ///
    /// let one = client.get("config/colour").await?;
    /// assert_eq!(one.value().expect("just written"), "red");
    ///
    /// let some = client.get(prefix("config/")).limit(100).await?;
    /// for pair in &some.kvs {
    ///     println!("{} = {}", pair.key_str()?, pair.value_str()?);
    /// }
    /// # Ok(())
    /// # });
    /// ```
    pub fn get(&self, range: impl Into<KeyRange>) -> Request<Get> {
        self.request(etcd3_core::get(range))
    }

    /// Reads a range page by page, all pages at the revision of the first one; from servers that
    /// have `RangeStream` by one call.
    ///
    /// # Examples
    ///
    /// ```
    /// use etcd3::prefix;
    ///
    /// # etcd3_sim::example(|client| async move {
    /// # for n in 0..25 {
    /// #     client.put(format!("users/{n:02}"), "").await?;
    /// # }
    /// let mut pages = client.pages(prefix("users/")).page_size(10);
    /// let mut keys = 0;
    /// while let Some(page) = pages.next().await {
    ///     keys += page?.kvs.len();
    /// }
    /// assert_eq!(keys, 25);
    /// # Ok(())
    /// # });
    /// ```
    pub fn pages(&self, range: impl Into<KeyRange>) -> Pages {
        Pages::new(self.clone(), range.into())
    }

    /// Reads a range by one call whose answer comes in pieces, which needs etcd 3.7.
    ///
    /// # Examples
    ///
    /// ```
    /// use etcd3::{get, prefix};
    ///
    /// # etcd3_sim::example(|client| async move {
    /// # for n in 0..25 {
    /// #     client.put(format!("users/{n:02}"), "").await?;
    /// # }
    /// let mut pieces = client.range_stream(get(prefix("users/")).limit(20));
    /// let mut keys = 0;
    /// while let Some(piece) = pieces.next().await {
    ///     keys += piece?.kvs.len();
    /// }
    /// assert_eq!(keys, 20);
    /// # Ok(())
    /// # });
    /// ```
    pub fn range_stream(&self, get: Get) -> RangeStream {
        RangeStream::new(self.clone(), get)
    }

    /// Watches a key, or a range of keys: awaiting the request gives a [`Watch`](crate::Watch) once
    /// the server has taken it.
    ///
    /// Without [`from_revision`](crate::Request::from_revision) the watch delivers what is written
    /// after this was called; a linearizable read of its first key finds out where that is. A
    /// member that knows no leader refuses the watch, unless
    /// [`require_leader(false)`](crate::Request::require_leader) is called: it could not tell of
    /// changes.
    ///
    /// # Errors
    ///
    /// Those of any read, and why the server did not take the watch.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the watch.
    ///
    /// # Examples
    ///
    /// ```
    /// use etcd3::prefix;
    ///
    /// # etcd3_sim::example(|client| async move {
    /// let mut watch = client.watch(prefix("config/")).prev_kv().await?;
    /// client.put("config/colour", "red").await?;
    ///
    /// while let Some(batch) = watch.next().await {
    ///     for event in &batch?.events {
    ///         println!("{:?} {:?}", event.kind, event.kv.key);
    ///     }
    /// #   break;
    /// }
    /// # Ok(())
    /// # });
    /// ```
    pub fn watch(&self, range: impl Into<KeyRange>) -> Request<BeginWatch> {
        self.request(BeginWatch(etcd3_core::request::watch(range)))
    }

    /// Watches several ranges, which need not lie together, as one stream in the order of the
    /// revisions.
    ///
    /// # Errors
    ///
    /// Those of [`watch`](Self::watch).
    ///
    /// # Examples
    ///
    /// ```
    /// use etcd3::{key, prefix};
    ///
    /// # etcd3_sim::example(|client| async move {
    /// let mut both = client.watch_ranges([prefix("config/"), key("lock")]).await?;
    /// client.put("lock", "me").await?;
    /// client.put("config/colour", "red").await?;
    ///
    /// let first = both.next().await.expect("it goes on")?;
    /// assert_eq!(first.events[0].kv.key, "lock");
    /// # Ok(())
    /// # });
    /// ```
    pub fn watch_ranges(
        &self,
        ranges: impl IntoIterator<Item = impl Into<KeyRange>>,
    ) -> Request<BeginWatchRanges> {
        self.request(BeginWatchRanges::new(ranges))
    }

    /// Reads a range and watches it from there on: a stream of all pairs at one revision, then of
    /// every change after it, also across compactions.
    ///
    /// # Examples
    ///
    /// ```
    /// use etcd3::{Difference, ListWatchItem, prefix};
    ///
    /// # etcd3_sim::example(|client| async move {
    /// # client.put("services/a", "10.0.0.1").await?;
    /// let mut services = client.list_watch(prefix("services/"));
    /// while let Some(item) = services.next().await {
    ///     match item? {
    ///         ListWatchItem::Page(pairs) => println!("{} services", pairs.len()),
    ///         ListWatchItem::Listed(revision) => {
    ///             println!("that is all as of revision {revision}");
    /// #           break;
    ///         }
    ///         ListWatchItem::Events(batch) => println!("{} changes", batch.events.len()),
    ///         ListWatchItem::Differences(differences) => {
    ///             for difference in differences {
    ///                 match difference {
    ///                     Difference::Put(pair) => println!("{:?} is new", pair.key),
    ///                     Difference::Delete(key) => println!("{key:?} is gone"),
    ///                     _ => {}
    ///                 }
    ///             }
    ///         }
    ///         _ => {}
    ///     }
    /// }
    /// # Ok(())
    /// # });
    /// ```
    pub fn list_watch(&self, range: impl Into<KeyRange>) -> ListWatch {
        ListWatch::new(self.clone(), range.into())
    }

    /// Keeps a range in memory: awaiting the request gives a [`Cache`](crate::Cache) once the range
    /// has been read.
    ///
    /// # Errors
    ///
    /// Those of any read.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the cache.
    ///
    /// # Examples
    ///
    /// ```
    /// use etcd3::prefix;
    ///
    /// # etcd3_sim::example(|client| async move {
    /// let cache = client.cache(prefix("flags/")).await?;
    /// let written = client.put("flags/dark", "on").await?;
    ///
    /// cache.wait_for(written.header.revision).await?;
    /// let dark = cache.get("flags/dark")?.expect("just written");
    /// assert_eq!(dark.value, "on");
    /// # Ok(())
    /// # });
    /// ```
    pub fn cache(&self, range: impl Into<KeyRange>) -> Request<BeginCache> {
        self.request(BeginCache::new(range.into()))
    }

    /// Writes one key.
    ///
    /// # Examples
    ///
    /// ```
    /// # etcd3_sim::example(|client| async move {
    /// let written = client.put("config/colour", "red").await?;
    /// println!("at revision {}", written.header.revision);
    ///
    /// let again = client.put("config/colour", "blue").prev_kv().await?;
    /// assert_eq!(again.prev_kv.expect("it was there").value, "red");
    /// # Ok(())
    /// # });
    /// ```
    pub fn put(&self, key: impl IntoBytes, value: impl Into<PutValue>) -> Request<Put> {
        self.request(etcd3_core::put(key, value))
    }

    /// Deletes one key, or all keys of a range.
    ///
    /// # Examples
    ///
    /// ```
    /// use etcd3::prefix;
    ///
    /// # etcd3_sim::example(|client| async move {
    /// client.put("jobs/1", "").await?;
    /// client.put("jobs/2", "").await?;
    ///
    /// assert_eq!(client.delete("jobs/1").await?.deleted, 1);
    /// assert_eq!(client.delete(prefix("jobs/")).await?.deleted, 1);
    /// # Ok(())
    /// # });
    /// ```
    pub fn delete(&self, range: impl Into<KeyRange>) -> Request<Delete> {
        self.request(etcd3_core::delete(range))
    }

    /// Begins a transaction.
    ///
    /// # Examples
    ///
    /// ```
    /// use etcd3::{get, key, put};
    ///
    /// # etcd3_sim::example(|client| async move {
    /// let done = client
    ///     .txn()
    ///     .when([key("lock").missing()])
    ///     .then([put("lock", "me")])
    ///     .otherwise([get("lock")])
    ///     .await?;
    /// if done.succeeded {
    ///     println!("the lock is ours since revision {}", done.header.revision);
    /// } else {
    ///     println!("held by {:?}", done.get(0).and_then(|held| held.value()));
    /// }
    /// # assert!(done.succeeded);
    /// # Ok(())
    /// # });
    /// ```
    pub fn txn(&self) -> Request<Txn<When>> {
        self.request(etcd3_core::txn())
    }

    /// Evaluates conditions: whether all of them hold. Short for a transaction of nothing but
    /// compares.
    ///
    /// # Errors
    ///
    /// Those of any read.
    ///
    /// # Examples
    ///
    /// ```
    /// use etcd3::key;
    ///
    /// # etcd3_sim::example(|client| async move {
    /// client.put("leader", "a").await?;
    /// assert!(client.compare([key("leader").value().eq("a")]).await?);
    /// assert!(!client.compare([key("leader").missing()]).await?);
    /// # Ok(())
    /// # });
    /// ```
    pub fn compare(&self, compares: impl IntoIterator<Item = Compare>) -> Request<Comparison> {
        self.request(etcd3_core::request::compare(compares))
    }

    /// Compacts the history up to this revision.
    ///
    /// # Examples
    ///
    /// ```
    /// # etcd3_sim::example(|client| async move {
    /// client.put("k", "old").await?;
    /// let now = client.put("k", "new").await?.header.revision;
    ///
    /// client.compact(now).await?;
    /// let error = client.get("k").revision(now - 1).await.unwrap_err();
    /// assert!(error.is_compacted());
    /// # Ok(())
    /// # });
    /// ```
    pub fn compact(&self, revision: i64) -> Request<Compact> {
        self.request(etcd3_core::compact(revision))
    }

    /// Runs an operation that was made before: one of the typed ones, an [`Op`](crate::Op), or one
    /// of a program's own.
    ///
    /// # Examples
    ///
    /// ```
    /// use etcd3::ops;
    /// use etcd3::{get, put};
    ///
    /// # etcd3_sim::example(|client| async move {
    /// for op in ops![put("k", "v"), get("k")] {
    ///     let answer = client.execute(op).await?;
    ///     println!("{answer:?}");
    /// }
    /// // The type of the operation gives that of the answer.
    /// let found = client.execute(get("k")).await?;
    /// assert_eq!(found.count, 1);
    /// # Ok(())
    /// # });
    /// ```
    pub fn execute<T: Operation>(&self, operation: T) -> Request<T> {
        self.request(operation)
    }

    /// Calls any unary method of the API with its message as it is on the wire.
    ///
    /// For what has no typed request. Nothing is checked but for values that crash servers.
    ///
    /// # Examples
    ///
    /// ```
    /// use etcd3::proto::etcdserverpb::MemberListRequest;
    ///
    /// # etcd3_sim::example(|client| async move {
    /// let members = client.rpc(MemberListRequest { linearizable: true }).await?;
    /// assert_eq!(members.members.len(), 3);
    /// # Ok(())
    /// # });
    /// ```
    pub fn rpc<Q: UnaryRequest>(&self, message: Q) -> Request<Raw<Q>> {
        self.request(Raw(message))
    }
}
