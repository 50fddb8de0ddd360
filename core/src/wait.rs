//! What a task does that found nothing: how long it looks again before it sleeps.
//!
//! To sleep and be woken costs far more than a look, and a task that is looking is not late when the thing comes; but
//! its core does nothing else meanwhile. This crate knows no clock, so patience is counted in looks.

/// How long a waiting task looks before it sleeps.
///
/// Whatever the policy, a poll looks a bounded number of times ([`Wait::LOOKS`] and a few), so that the executor's other
/// tasks get their turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wait {
    /// It never sleeps: [`Wait::LOOKS`] looks, then it asks to be polled again, and so on. The executor never idles.
    Spin,
    /// It looks so many times, spread over polls of up to [`Wait::LOOKS`] looks, then it sleeps.
    SpinThenPark(usize),
    /// It sleeps at once. A task that waits costs nothing.
    #[default]
    Park,
}

impl Wait {
    /// How often a task looks in one poll before it lets others run.
    pub const LOOKS: usize = if cfg!(any(loom, miri)) { 2 } else { 1_000 };
}

/// How long one waiter has looked, and whether it goes on.
///
/// Whoever waits for something makes a first look, and then asks here: [`Patience::look`] looks as often as the policy says
/// for this poll. The wait ends, with or without success, by [`Patience::renew`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Patience {
    wait: Wait,
    /// How often it looked since this wait began; at the end of its patience, all that there are.
    looked: usize,
}

/// What came of the looks of one poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looked<R> {
    /// This.
    Found(R),
    /// Nothing, and the task wants to be polled again: it lets others run meanwhile.
    Again,
    /// Nothing. It is time to park, and to look once more then.
    Park,
}

impl Patience {
    /// That of a policy, at the beginning of a wait.
    #[must_use]
    pub fn new(wait: Wait) -> Patience {
        Patience { wait, looked: 0 }
    }

    /// The policy.
    #[must_use]
    pub fn wait(&self) -> Wait {
        self.wait
    }

    /// A new wait begins.
    #[inline]
    pub fn renew(&mut self) {
        self.looked = 0;
    }

    /// Looks as often as the policy says, but at most `most` times.
    #[inline]
    pub fn look<R>(&mut self, most: usize, mut look: impl FnMut() -> Option<R>) -> Looked<R> {
        let left = match self.wait {
            Wait::Spin => usize::MAX,
            Wait::SpinThenPark(looks) => looks.saturating_sub(self.looked),
            Wait::Park => 0,
        };
        let looks = left.min(most);
        for _ in 0..looks {
            pause();
            if let Some(found) = look() {
                return Looked::Found(found);
            }
        }
        if looks < left {
            self.looked = self.looked.saturating_add(looks);
            return Looked::Again;
        }
        self.looked = usize::MAX;
        Looked::Park
    }
}

/// What a thread does between two looks: it tells the processor that it waits. Every loop of looks goes through this.
#[inline]
pub fn pause() {
    crate::sync::pause();
}
