//! The `Auth` machine under any sequence of events, watched from outside.

use arbitrary::Arbitrary;
use etcd3_core::auth::{
    Answer, Auth, Generation, Input, Output, Settings, Source, StaleToken, TokenReason,
};
use etcd3_core::{
    Error, ErrorKind, Instant, Machine, Next, Outcome, Secret, ServerError, Status, laws,
};
use std::time::Duration;

/// More steps than this show nothing new and take long.
const MAX_STEPS: usize = 300;

#[derive(Debug, Arbitrary)]
struct Head {
    is_fixed: bool,
    seed: u64,
}

/// What happens next, some hundredths of a second after the step before.
#[derive(Debug, Clone, Arbitrary)]
struct Step {
    after: u16,
    what: What,
}

#[derive(Debug, Clone, Arbitrary)]
enum What {
    /// Somebody asks, after so many generations before the newest were refused if any was.
    Asked(Option<(u8, u8)>),
    /// One of a few tokens, some of them a JWT, by a wall clock that shows so many seconds.
    Obtained(u8, Option<u8>),
    /// A token as it may come from anywhere.
    Strange(String),
    NotEnabled,
    Rejected,
    Passing,
}

/// Runs the machine as its driver does, then through the laws.
pub fn auth_machine(data: &[u8]) {
    let Some((head, steps)) = super::steps::<Head, Step>(data, MAX_STEPS) else { return };
    let source =
        if head.is_fixed { Source::Fixed(Secret::new("given")) } else { Source::Renewable };
    let auth = Auth::new(Settings::new(source, head.seed));
    let (mut now, mut script) = (Instant::ORIGIN, Vec::new());
    let mut watched = Watched { auth: auth.clone(), is_asking: false, generation: 0 };
    watched.drain(now);
    for step in steps {
        let at = now + Duration::from_millis(u64::from(step.after) * 10);
        now = watched.advance(now, at);
        let input = input(&step.what, watched.generation);
        watched.feed(now, input.clone());
        script.push((now, input));
    }
    laws::check_machine(&auth, &script);
}

fn input(what: &What, newest: u64) -> Input {
    match what {
        What::Asked(None) => Input::Asked(None),
        What::Asked(Some((behind, reason))) => {
            let reasons = [
                TokenReason::Missing,
                TokenReason::Invalid,
                TokenReason::OldRevision,
                TokenReason::Denied,
            ];
            let generation = Generation(newest.saturating_sub(u64::from(behind % 4)));
            Input::Asked(Some(StaleToken { generation, reason: reasons[usize::from(reason % 4)] }))
        }
        What::Obtained(which, unix) => {
            // `{"exp":40}` and `{"exp":5}`.
            let claims = ["bm8", "eyJleHAiOjQwfQ", "eyJleHAiOjV9"][usize::from(which % 3)];
            let token = Secret::new(format!("{}.{claims}.c", which % 5));
            let unix_time = unix.map(|seconds| Duration::from_secs(u64::from(seconds)));
            Input::Obtained { token, unix_time }
        }
        What::Strange(token) => {
            let unix_time = Some(Duration::from_secs(1));
            Input::Obtained { token: Secret::new(token.clone()), unix_time }
        }
        What::NotEnabled => Input::NotEnabled,
        What::Rejected => {
            let error = ServerError::AuthFailed;
            let status = Status::new(error.code(), error.text());
            Input::Failed(Error::from_status(status, Outcome::Rejected))
        }
        What::Passing => Input::Failed(Error::new(ErrorKind::ConnectionLost)),
    }
}

/// Sees only what goes into the machine and comes out.
struct Watched {
    auth: Auth,
    is_asking: bool,
    generation: u64,
}

impl Watched {
    fn feed(&mut self, now: Instant, input: Input) {
        if !matches!(input, Input::Asked(_)) && self.is_asking {
            self.is_asking = false;
        }
        self.auth.handle(now, input);
        let due = self.drain(now);
        if let Some((sent, _)) = self.auth.current() {
            assert!(sent.generation.0 >= self.generation, "I-A1: a generation goes back");
            self.generation = sent.generation.0;
            assert!(sent.since <= now);
        }
        let refused =
            StaleToken { generation: Generation(self.generation), reason: TokenReason::Invalid };
        if let Answer::Take(given) = self.auth.answer(now, Some(refused)) {
            assert!(given > refused.generation, "what was refused is given again");
        }
        // Whoever asks and has to wait is waited for.
        if self.auth.answer(now, None) == Answer::Wait {
            let mut asked = self.auth.clone();
            asked.handle(now, Input::Asked(None));
            let is_served = self.is_asking || due.is_some();
            assert!(is_served || !matches!(asked.poll(now), Next::Wait(None)), "nobody is asked");
        }
    }

    /// Lets the time pass, and does what is due meanwhile.
    fn advance(&mut self, now: Instant, end: Instant) -> Instant {
        let mut now = now;
        while let Some(due) = self.drain(now).filter(|due| *due <= end) {
            now = due;
        }
        self.drain(end);
        end
    }

    fn drain(&mut self, now: Instant) -> Option<Instant> {
        loop {
            match self.auth.poll(now) {
                Next::Do(Output::Ask(_)) => {
                    assert!(!self.is_asking, "I-A1: two logins at once");
                    self.is_asking = true;
                }
                Next::Do(Output::Changed) => {}
                Next::Wait(until) => return until,
            }
        }
    }
}
