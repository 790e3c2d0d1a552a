//! The table of recipes.

/// Expands to the table of the recipes, as a part of [`operations_table!`].
#[doc(hidden)]
#[macro_export]
macro_rules! recipes_table {
    () => {
        concat!(
            "\n## Recipes\n\nOf module [`recipes`], made of these operations. Whoever holds ",
            "something does so in the\nname of a [`Session`], and has a fence for what it ",
            "writes:\n\n",
            "| recipe | for | example |\n",
            "|---|---|---|\n",
            "| [`Mutex`](recipes::Mutex) | one at a time | `",
            r#"Mutex::new(&session, "locks/report").lock().await?"#,
            "` |\n",
            "| [`RwLock`](recipes::RwLock) | readers, or one writer | `",
            r#"RwLock::new(&session, "report").read().await?"#,
            "` |\n",
            "| [`Semaphore`](recipes::Semaphore) | so many at a time | `",
            r#"Semaphore::new(&session, "downloads", 2).acquire().await?"#,
            "` |\n",
            "| [`Election`](recipes::Election) | one of several leads | `",
            r#"Election::new(&session, "scheduler").campaign("10.0.0.7:80").await?"#,
            "` |\n",
            "| [`LeaderLatch`](recipes::LeaderLatch) | work of the leader | `",
            r#"LeaderLatch::new(&session, "scheduler", "10.0.0.7:80").run(work).await?"#,
            "` |\n",
            "| [`LeaderChanges`](recipes::LeaderChanges) | who leads, a stream | `",
            r#"LeaderChanges::new(&client, "scheduler").next().await"#,
            "` |\n",
            "| [`Stm`](recipes::Stm) | closures as transactions | `",
            "Stm::new(&client).run(transfer).await?",
            "` |\n",
            "| [`Counter`](recipes::Counter) | a number that many change | `",
            r#"Counter::new(&client, "tickets").add(1).await?"#,
            "` |\n",
            "| [`Barrier`](recipes::Barrier) | until something is over | `",
            r#"Barrier::new(&client, "migration").wait().await?"#,
            "` |\n",
            "| [`DoubleBarrier`](recipes::DoubleBarrier) | begin and end together | `",
            r#"DoubleBarrier::new(&session, "round", 1).enter().await?"#,
            "` |\n",
            "| [`Queue`](recipes::Queue) | each item to one reader | `",
            r#"Queue::new(&client, "jobs").dequeue().await?"#,
            "` |\n",
            "| [`PriorityQueue`](recipes::PriorityQueue) | the most urgent first | `",
            r#"PriorityQueue::new(&client, "alarms").dequeue().await?"#,
            "` |\n",
            "| [`Syncer`](recipes::mirror::Syncer) | what a copy has to do | `",
            r#"Syncer::new(&client, prefix("config/")).next().await?"#,
            "` |\n",
            "| [`Mirror`](recipes::mirror::Mirror) | a copy in another cluster | `",
            r#"Mirror::new(&client, &copy, "config/", "position").next().await?"#,
            "` |\n",
        )
    };
}
