//! Waiting for a condition, never for an amount of time.

use crate::load::Limit;
use crate::{Error, Result, notes};
use std::time::Duration;

/// The pause before the second look at a condition. Each one is longer than the one before by a
/// tenth, up to [`LONGEST_PAUSE`]: what takes long is not looked at as often, nor told much later.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Asks `probe` again and again until it answers, and returns the answer.
///
/// `what` completes the sentence "gave up after … waiting for …". The limit stretches with the load
/// of the machine ([`Limit`]), and a note says so when that made a difference.
///
/// # Errors
///
/// Ends at once with the error of `probe`, or with one of its own after `limit`.
pub fn until<T>(
    limit: Duration,
    what: &str,
    mut probe: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let patience = Limit::new(limit);
    let mut pause = FIRST_PAUSE;
    loop {
        if let Some(answer) = probe()? {
            if let Some(took) = patience.stretched_to() {
                notes::say(&format!("waited {took:.1?} for {what}, {limit:?} allowed when idle"));
            }
            return Ok(answer);
        }
        if patience.left().is_zero() {
            return Err(Error::new(format!("gave up after {limit:?} waiting for {what}")));
        }
        std::thread::sleep(pause);
        pause = (pause + pause / 10).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_as_soon_as_the_probe_does() {
        let mut looks = 0;
        let answer = until(Duration::from_secs(5), "the third look", || {
            looks += 1;
            Ok((looks == 3).then_some(looks))
        });
        assert_eq!(answer, Ok(3));
    }

    #[test]
    fn gives_up_at_the_limit_and_says_on_what() {
        let answer = until::<()>(Duration::from_millis(20), "rain", || Ok(None));
        assert_eq!(answer, Err(Error::new("gave up after 20ms waiting for rain")));
    }

    #[test]
    fn an_error_of_the_probe_ends_the_wait() {
        let answer = until::<()>(Duration::from_secs(5), "rain", || Err(Error::new("no sky")));
        assert_eq!(answer, Err(Error::new("no sky")));
    }
}
