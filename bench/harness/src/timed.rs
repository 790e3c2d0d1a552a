//! A run that takes a time, not a number of calls: for servers that end connections meanwhile, and
//! where a call may fail or stall.

use crate::calls::{join, one, subject};
use crate::{Args, Client, Error, Executor, NoSuchWork, Result, Work};
use std::time::{Duration, Instant};

/// The calls of one caller.
#[derive(Debug, Default)]
struct Calls {
    /// The durations of those that succeeded, and of those that failed, in nanoseconds.
    took: Vec<u64>,
    failures: u64,
    first_error: Option<Error>,
}

/// Makes calls for as long; returns how many there were, how many failed, and how long they took.
/// The first failure is written to the standard error.
pub(crate) async fn timed<C: Client, H: Executor>(args: &Args, limit: Duration) -> Result<String> {
    if !matches!(args.work, Work::Put | Work::Get | Work::Connect) {
        return Err(NoSuchWork.into());
    }
    let client = C::connect(&args.endpoints).await?;
    let end = Instant::now() + limit;
    let mut tasks = Vec::with_capacity(args.callers);
    for number in 0..args.callers as u64 {
        let (client, args) = (client.clone(), args.clone());
        tasks.push(H::spawn(async move { caller(client, &args, number, end).await }));
    }
    let mut all = Calls::default();
    for mut calls in join(tasks).await {
        all.took.append(&mut calls.took);
        all.failures += calls.failures;
        all.first_error = all.first_error.or(calls.first_error);
    }
    if let Some(error) = &all.first_error {
        eprintln!("the first failure: {error}");
    }
    Ok(all.figures())
}

async fn caller<C: Client>(mut client: C, args: &Args, number: u64, end: Instant) -> Calls {
    let (key, value) = subject(args, number);
    let mut calls = Calls::default();
    loop {
        let begin = Instant::now();
        if begin >= end {
            return calls;
        }
        let called = one(&mut client, args, &key, &value).await;
        calls.took.push(u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX));
        if let Err(error) = called {
            calls.failures += 1;
            calls.first_error.get_or_insert(error);
        }
    }
}

impl Calls {
    fn figures(mut self) -> String {
        self.took.sort_unstable();
        let last = self.took.len().saturating_sub(1);
        let at = |permille: usize| self.took.get(last * permille / 1000).copied().unwrap_or(0);
        let (calls, failures) = (self.took.len(), self.failures);
        let (p50, p999, longest) = (at(500), at(999), at(1000));
        format!(
            "\"calls\":{calls},\"failures\":{failures},\"p50_ns\":{p50},\"p999_ns\":{p999},\
             \"longest_ns\":{longest}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_call_is_told_beside_the_usual_one() {
        let took = (1..=1000).rev().collect();
        let calls = Calls { took, failures: 3, first_error: None };
        let expected = "\"calls\":1000,\"failures\":3,\"p50_ns\":500,\"p999_ns\":999,\
                        \"longest_ns\":1000";
        assert_eq!(calls.figures(), expected);
        assert!(Calls::default().figures().ends_with("\"longest_ns\":0"));
    }
}
