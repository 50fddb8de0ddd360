//! Sleeping and waking across two processes with shared memory: the sleeping side has a
//! [`SleepWord`], the ringing side an [`Alarm`].
//!
//! A [`Doorbell`](super::Doorbell) keeps a waker, which is useless in another process. A sleep word
//! is a plain word that its owner writes and the other side only reads. It is odd while the owner
//! sleeps, and each sleep has its own value, so the other side rings once for each. The caller
//! rings (a packet or a byte on a socket); some bits of the word choose the [`WakePath`].
//!
//! The protocol is the Dekker handshake of a doorbell:
//!
//! | owner | other side |
//! | --- | --- |
//! | check; nothing there | publish |
//! | [`SleepWord::sleep`]: store an odd value, fence | [`announce`](super::announce): fence |
//! | check again; sleep only if still nothing | [`Alarm::rings`]: load; odd and new: ring |
//!
//! Threads may share an alarm. A thread may then fail to store its value in the alarm, because
//! another thread has stored one first, perhaps the value of an earlier sleep. No wake is lost: if
//! the owner sleeps and has not seen a thread's publication, the owner's fence comes before the
//! thread's fence. So the thread sees each value that the alarm stored for a ring which the owner
//! received before its fence. A value that the thread does not see yet belongs to a ring that still
//! wakes the owner.
//!
//! A hostile owner may write any value. Each new odd value costs the other side one ring, and each
//! ring follows a publication of that side.

use crate::sync::{AtomicUsize, Ordering, barrier, const_unless_loom};

/// How to ring the process of a sleeping owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WakePath {
    /// By a thread that runs no tasks.
    Thread,
    /// By the wake socket with this number, which the executor of the owner's task watches. A number
    /// from [`SOCKETS`](WakePath::SOCKETS) on stands for the thread.
    Socket(u8),
}

impl WakePath {
    /// The number of wake sockets that a word can name.
    pub const SOCKETS: u8 = 15;

    /// Returns the path as a number from 0 to 15.
    pub(crate) fn to_index(self) -> usize {
        match self {
            WakePath::Socket(number @ ..WakePath::SOCKETS) => usize::from(number) + 1,
            WakePath::Thread | WakePath::Socket(_) => 0,
        }
    }

    /// Returns the path with this number, of which only the low four bits count.
    pub(crate) fn of_index(index: usize) -> WakePath {
        match (index & 15) as u8 {
            0 => WakePath::Thread,
            next => WakePath::Socket(next - 1),
        }
    }
}

/// Set while the owner sleeps.
const ASLEEP: usize = 1;
/// The place of the path's number, and its bits.
const PATH_SHIFT: u32 = 1;
const PATH: usize = 15 << PATH_SHIFT;
/// The difference between the values of two sleeps.
const SLEEP: usize = 32;

/// Shows whether its owner sleeps. See the [module](super).
///
/// ```
/// use mycelium_core::doorbell::{Alarm, SleepWord, WakePath, announce};
///
/// let (word, alarm) = (SleepWord::new(), Alarm::new());
/// word.sleep(); // then check once more before sleeping
/// announce();
/// assert!(alarm.rings(&word).is_some(), "the owner sleeps");
/// assert!(alarm.rings(&word).is_none(), "it was rung for this sleep");
/// word.wake();
/// word.sleep();
/// assert!(alarm.rings(&word).is_some(), "it sleeps again");
/// word.sleep_by(WakePath::Socket(2));
/// assert_eq!(alarm.rings(&word), Some(WakePath::Socket(2)));
/// ```
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct SleepWord(AtomicUsize);

impl SleepWord {
    const_unless_loom! {
        /// Creates the word of an owner that is awake.
        #[must_use]
        pub const fn new() -> SleepWord {
            SleepWord(AtomicUsize::new(0))
        }
    }

    /// Owner: marks itself as asleep. The caller must check once more after this, and sleep only if
    /// there is still nothing. Each call is a new sleep, for which the other side rings again, by
    /// the path of the previous sleep.
    #[inline]
    pub fn sleep(&self) {
        self.begin_sleep(self.0.load(Ordering::Relaxed));
    }

    /// Owner: marks itself as asleep, like [`sleep`](SleepWord::sleep), to be rung by this path.
    #[inline]
    pub fn sleep_by(&self, path: WakePath) {
        let before = self.0.load(Ordering::Relaxed) & !PATH;
        self.begin_sleep(before | path.to_index() << PATH_SHIFT);
    }

    /// Stores the next sleep's value; `before` is the current value.
    fn begin_sleep(&self, before: usize) {
        self.0.store(before.wrapping_add(SLEEP) | ASLEEP, Ordering::Relaxed);
        barrier!("sleep.sleep", SeqCst);
    }

    /// Owner: marks itself as awake. Stores nothing if it is awake already.
    #[inline]
    pub fn wake(&self) {
        let value = self.0.load(Ordering::Relaxed);
        if value & ASLEEP != 0 {
            self.0.store(value & !ASLEEP, Ordering::Relaxed);
        }
    }

    /// Returns whether the owner is marked as asleep.
    #[inline]
    #[must_use]
    pub fn is_asleep(&self) -> bool {
        self.0.load(Ordering::Relaxed) & ASLEEP != 0
    }
}

/// Remembers for which sleep of the other side it has rung. See [`SleepWord`].
#[derive(Debug, Default)]
pub struct Alarm {
    /// The last odd value for which it has rung; 0 if there was none.
    rung: AtomicUsize,
}

impl Alarm {
    const_unless_loom! {
        /// Creates an alarm that has not rung.
        #[must_use]
        pub const fn new() -> Alarm {
            Alarm { rung: AtomicUsize::new(0) }
        }
    }

    /// Ringer: returns the path by which to ring if the owner of the word sleeps and was not rung
    /// for this sleep. Call [`announce`](super::announce) first. The caller must then ring at once.
    /// If several threads share the alarm, one of them rings. Costs one load if the owner is awake.
    #[inline]
    #[must_use]
    pub fn rings(&self, word: &SleepWord) -> Option<WakePath> {
        // Relaxed: the word may be in memory that is mapped read-only.
        let value = word.0.load(Ordering::Relaxed);
        (value & ASLEEP != 0 && self.take(value)).then(|| WakePath::of_index(value >> PATH_SHIFT))
    }

    #[cold]
    fn take(&self, value: usize) -> bool {
        let (rung, relaxed) = (self.rung.load(Ordering::Relaxed), Ordering::Relaxed);
        // If another thread was faster, that thread rings.
        rung != value && self.rung.compare_exchange(rung, value, relaxed, relaxed).is_ok()
    }
}
