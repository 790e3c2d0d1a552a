//! What the front pages of this crate and of the adapters have in common.

/// Expands to the table of operations in Markdown, for the front page of an adapter.
///
/// A macro since a package cannot include a file of another one. Its links resolve where all of
/// this crate is re-exported. `runtime-sim/tests/front_page.rs` runs the examples.
#[doc(hidden)]
#[macro_export]
macro_rules! operations_table {
    () => {
        concat!(
            "\n",
            "| call | returns | example |\n",
            "|---|---|---|\n",
            "| [`get`](Client::get) | [`GetResponse`] | `",
            r#"client.get("config/colour").await?"#,
            "` |\n",
            "| of a range | [`GetResponse`] | `",
            r#"client.get(prefix("config/")).limit(100).await?"#,
            "` |\n",
            "| [`put`](Client::put) | [`PutResponse`] | `",
            r#"client.put("config/colour", "red").await?"#,
            "` |\n",
            "| of a lease | [`PutResponse`] | `",
            r#"client.put("session", "me").lease(lease).await?"#,
            "` |\n",
            "| [`delete`](Client::delete) | [`DeleteResponse`] | `",
            r#"client.delete(prefix("config/")).prev_kv().await?"#,
            "` |\n",
            "| [`txn`](Client::txn) | [`TxnResponse`] | `",
            r#"client.txn().when([key("lock").missing()]).then([put("lock", "me")]).await?"#,
            "` |\n",
            "| [`compare`](Client::compare) | `bool` | `",
            r#"client.compare([key("lock").exists()]).await?"#,
            "` |\n",
            "| [`pages`](Client::pages) | [`Pages`], a stream of [`GetResponse`] | `",
            r#"client.pages(prefix("users/")).page_size(1000)"#,
            "` |\n",
            "| [`range_stream`](Client::range_stream) ",
            "| [`RangeStream`], a stream of [`GetResponse`] | `",
            r#"client.range_stream(get(prefix("users/")))"#,
            "` |\n",
            "| [`compact`](Client::compact) | [`CompactResponse`] | `",
            "client.compact(revision).await?",
            "` |\n",
            "| [`execute`](Client::execute) | the answer to the operation | `",
            r#"client.execute(get("config/colour")).await?"#,
            "` |\n",
            "| [`rpc`](Client::rpc) | the message of the answer | `",
            "client.rpc(StatusRequest::default()).await?",
            "` |\n",
            "| [`pinned_to`](Client::pinned_to) | [`Client`], for one member | `",
            r#"client.pinned_to("http://etcd-1:2379")?"#,
            "` |\n",
            "| [`sync_endpoints`](Client::sync_endpoints) | `()` | `",
            "client.sync_endpoints().await?",
            "` |\n",
            "| [`set_endpoints`](Client::set_endpoints) | `()` | `",
            r#"client.set_endpoints(["http://etcd-1:2379"])?"#,
            "` |\n",
            "| [`endpoints`](Client::endpoints) | `Vec<String>` | `",
            "client.endpoints()",
            "` |\n",
            "| [`health`](Client::health) | [`Health`] | `",
            "client.health().is_connected()",
            "` |\n",
            "| [`health_changes`](Client::health_changes) ",
            "| [`HealthChanges`], a stream of [`Health`] | `",
            "client.health_changes().next().await",
            "` |\n",
            "| [`forget_revision`](Client::forget_revision) | `()` | `",
            "client.forget_revision()",
            "` |\n",
            "| [`runtime`](Client::runtime) | [`Runtime`](runtime::Runtime) | `",
            "client.runtime().now()",
            "` |\n",
            "| [`spawn`](Client::spawn) | `()` | `",
            r#"client.spawn(async { println!("runs until it ends") })"#,
            "` |\n",
            "| [`is_closed`](Client::is_closed) | `bool` | `",
            "client.is_closed()",
            "` |\n",
            "| [`close`](Client::close) | `()` | `",
            "client.close().await",
            "` |\n",
            "\n",
            "Each of the first calls makes a [`Request`]: options first, then `.await`, or\n",
            "[`send()`](Request::send) for what takes futures. Watch, leases, authentication,\n",
            "cluster and maintenance calls, locks and elections are still to come; until then,\n",
            "`rpc` calls any unary method.\n",
        )
    };
}

/// Expands to the list of the pages in `docs/`, with links into the repository that the manifest
/// names.
#[doc(hidden)]
#[macro_export]
macro_rules! list_of_pages {
    () => {
        concat!(
            "\n- [When members fail](",
            env!("CARGO_PKG_REPOSITORY"),
            "/blob/HEAD/docs/when-members-fail.md): what callers see, with all bounds",
            "\n- [Many calls at once](",
            env!("CARGO_PKG_REPOSITORY"),
            "/blob/HEAD/docs/many-calls-at-once.md): join, `buffer_unordered`, transactions",
            "\n- [Migrating from etcd-client](",
            env!("CARGO_PKG_REPOSITORY"),
            "/blob/HEAD/docs/migrating-from-etcd-client.md), and [from Go's clientv3](",
            env!("CARGO_PKG_REPOSITORY"),
            "/blob/HEAD/docs/migrating-from-clientv3.md): every method, and the defaults",
            "\n- [Testing with etcd3-sim](",
            env!("CARGO_PKG_REPOSITORY"),
            "/blob/HEAD/docs/testing-with-etcd3-sim.md): your program in virtual time, with faults",
            "\n- [Embedding the core](",
            env!("CARGO_PKG_REPOSITORY"),
            "/blob/HEAD/docs/embedding-the-core.md): another transport, or no async at all\n",
        )
    };
}
