//! How many retries a client may spend: a tenth of its calls.

// I-R5

/// A bucket of tokens: every call adds a tenth of one, every retry takes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Budget {
    tenths: u32,
}

impl Budget {
    /// The most retries that may be made at once, after a long time without any: the calls that
    /// were under way on a member that is killed.
    const MAX: u32 = 1000;

    pub(crate) const fn full() -> Self {
        Self { tenths: Self::MAX * 10 }
    }

    pub(crate) fn earn(&mut self) {
        self.tenths = (self.tenths + 1).min(Self::MAX * 10);
    }

    /// Returns whether one retry may be made.
    pub(crate) const fn has_one(self) -> bool {
        self.tenths >= 10
    }

    pub(crate) fn spend(&mut self) {
        self.tenths = self.tenths.saturating_sub(10);
    }
}
