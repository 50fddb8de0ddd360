//! Ready bits: which of many sources have something for the task that reads all of them.

use crate::sync::{AtomicUsize, Ordering, barrier, const_unless_loom};

/// Has a ready bit for each of up to [`BITS`](ReadyWord::BITS) sources: whether the reader has to
/// check it. A task that reads a thousand rings so checks only the rings that may have something. A
/// bit may be set although its source is empty.
///
/// The protocol is a Dekker handshake, like that of a doorbell ([module](super)):
///
/// | source | reader |
/// | --- | --- |
/// | publish, [`announce`](super::announce) | [`take`](ReadyWord::take): clear the bits, fence |
/// | [`set`](ReadyWord::set): set the bit, unless it is set | look at the sources of these bits |
///
/// Either the source sees that its bit was cleared, and sets it again, or the reader sees what was
/// published. A source that has set a bit announces again before it rings the reader's doorbell. So
/// either the parked reader is rung, or its check after parking finds the bit.
///
/// The reader remembers a taken bit until its source is empty.
///
/// ```
/// use mycelium_core::doorbell::{ReadyWord, announce};
///
/// let ready = ReadyWord::new();
/// announce();
/// assert!(ready.set(1 << 3), "it was clear");
/// assert!(!ready.set(1 << 3));
/// assert_eq!(ready.take(), 1 << 3);
/// assert_eq!(ready.take(), 0);
/// ```
#[derive(Debug, Default)]
#[cfg_attr(not(loom), repr(align(64)))]
pub struct ReadyWord(AtomicUsize);

impl ReadyWord {
    /// The number of sources in a word.
    pub const BITS: usize = usize::BITS as usize;

    const_unless_loom! {
        /// Creates a word without a set bit.
        #[must_use]
        pub const fn new() -> ReadyWord {
            ReadyWord(AtomicUsize::new(0))
        }
    }

    /// Source: sets its bit, so that the reader checks it. Call [`announce`](super::announce)
    /// first. Returns whether the bit was clear; if so, announce again before ringing the reader.
    #[inline]
    pub fn set(&self, bit: usize) -> bool {
        // Relaxed: the fences of both sides order this load.
        if self.0.load(Ordering::Relaxed) & bit != 0 {
            return false;
        }
        self.0.fetch_or(bit, Ordering::Relaxed);
        true
    }

    /// Reader: clears and returns all set bits. Check their sources afterwards.
    #[inline]
    pub fn take(&self) -> usize {
        if self.0.load(Ordering::Relaxed) == 0 {
            return 0;
        }
        let taken = self.0.fetch_and(0, Ordering::Relaxed);
        barrier!("ready.take", SeqCst);
        taken
    }
}
