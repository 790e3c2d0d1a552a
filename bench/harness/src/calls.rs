//! The calls of a caller, and the callers of a run.

use crate::{Args, Client, Result, Work};
use bytes::Bytes;
use std::future::{Future, poll_fn};
use std::task::Poll;

/// Names the key of a caller, and makes the value that it puts.
pub(crate) fn subject(args: &Args, number: u64) -> (Bytes, Bytes) {
    let key = match args.work {
        Work::Put => Bytes::from(format!("bench/{number:06}")),
        _ => value_key(args.size),
    };
    (key, Bytes::from(vec![b'x'; args.size]))
}

/// Makes one call.
pub(crate) async fn one<C: Client>(
    client: &mut C,
    args: &Args,
    key: &Bytes,
    value: &Bytes,
) -> Result<()> {
    match args.work {
        Work::Put => client.put(key.clone(), value.clone()).await,
        Work::Connect => {
            let mut client = C::connect(&args.endpoints).await?;
            expect(args.size, client.get(key.clone()).await?)
        }
        _ => expect(args.size, client.get(key.clone()).await?),
    }
}

/// Names a key whose value has this size.
pub(crate) fn value_key(size: usize) -> Bytes {
    format!("v{size}/k").into()
}

/// Fails unless there is as much as was wanted.
pub(crate) fn expect(wanted: usize, found: usize) -> Result<()> {
    if wanted == found { Ok(()) } else { Err(format!("{found} in place of {wanted}").into()) }
}

/// Waits for all of them; each is polled once at the beginning, which starts it.
pub(crate) async fn join<T>(tasks: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut tasks: Vec<_> = tasks.into_iter().map(Box::pin).collect();
    let mut first = Vec::with_capacity(tasks.len());
    poll_fn(|cx| {
        first.extend(tasks.iter_mut().map(|task| task.as_mut().poll(cx)));
        Poll::Ready(())
    })
    .await;
    let mut results = Vec::with_capacity(tasks.len());
    for (task, first) in tasks.into_iter().zip(first) {
        results.push(match first {
            Poll::Ready(result) => result,
            Poll::Pending => task.await,
        });
    }
    results
}
