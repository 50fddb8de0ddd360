//! A reader that goes ahead of what it lets go of: it hands messages on, and keeps them until they have arrived.

use super::consumer::{Consumer, Look};
use super::slot::is_after;
use super::storage::{FREE, ReaderWords, Storage};
use super::{Broadcast, Handle};
use crate::sync::order;

/// A reader's end with two positions: the *cursor*, which moves at [`advance`](Keeping::advance), and behind it what is
/// *kept* until [`release`](Keeping::release). A gating reader holds the writer at what it keeps; whatever lies between
/// the two can be read again after [`rewind`](Keeping::rewind). An observer's may have been overwritten meanwhile, and
/// is a gap then. Dropping it lets the writer pass.
///
/// ```
/// use mycelium_core::ring::broadcast::{Broadcast, Layout, Look};
///
/// let ring = Broadcast::boxed(Layout::exact(2, 8), 1)?;
/// let mut writer = Broadcast::producer(&ring).expect("nobody else writes");
/// let mut reader = Broadcast::gating(&ring).expect("one entry is free").keeping();
///
/// for message in [7, 8] {
///     writer.try_push(&[message], 8).expect("there is room");
///     assert!(matches!(reader.look(&mut [0]), Look::Message { .. }));
///     reader.advance();
/// }
/// assert!(writer.try_push(&[9], 8).is_err(), "both may still be needed");
/// reader.release(1);
/// writer.try_push(&[9], 8).expect("the first one has arrived");
/// reader.rewind(1);
/// let mut message = [0];
/// assert_eq!(reader.look(&mut message), Look::Message { sequence: 1, length: 8 });
/// assert_eq!(message, [8]);
/// # Ok::<(), mycelium_core::ring::broadcast::LayoutError>(())
/// ```
#[derive(Debug)]
pub struct Keeping<H: Handle> {
    /// It looks as an observer does: to whom the entry belongs makes no difference there.
    reader: Consumer<H>,
    entry: Option<usize>,
    kept: usize,
}

impl<H: Handle> Keeping<H> {
    pub(super) fn new(reader: Consumer<H>, entry: Option<usize>) -> Keeping<H> {
        let kept = reader.cursor();
        Keeping { reader, entry, kept }
    }

    /// As [`Consumer::look`].
    #[inline]
    pub fn look(&mut self, message: &mut [usize]) -> Look {
        self.reader.look(message)
    }

    /// As [`Consumer::advance`]; the message is kept.
    #[inline]
    pub fn advance(&mut self) -> bool {
        self.reader.advance()
    }

    /// The messages before this sequence, which is at most the cursor, are not needed any more.
    pub fn release(&mut self, sequence: usize) {
        if is_after(sequence, self.reader.cursor()) || !is_after(sequence, self.kept) {
            return;
        }
        self.kept = sequence;
        if let Some(words) = self.words() {
            words.show(sequence);
        }
    }

    /// Goes back to a message between what is kept and the cursor.
    pub fn rewind(&mut self, sequence: usize) {
        if !is_after(sequence, self.reader.cursor()) && !is_after(self.kept, sequence) {
            self.reader.go_to(sequence);
        }
    }

    /// Goes on to a later message, at most the next one to be published, as if those between had been looked at: they are
    /// kept.
    pub fn skip_to(&mut self, sequence: usize) {
        let ring: &Broadcast<H::Storage> = self.reader.ring();
        if is_after(sequence, self.reader.cursor()) && !is_after(sequence, ring.tail()) {
            self.reader.go_to(sequence);
        }
    }

    /// The sequence of the message that it looks at next.
    #[must_use]
    pub fn cursor(&self) -> usize {
        self.reader.cursor()
    }

    /// The sequence of the first message that is kept.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.kept
    }

    /// How many messages wait for this reader, those that are kept included.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.reader.depth() + self.cursor().wrapping_sub(self.kept)
    }

    /// The ring.
    pub fn ring(&self) -> &H {
        self.reader.ring()
    }

    /// Whether the writer waits for this reader.
    pub(super) fn is_gating(&self) -> bool {
        self.entry.is_some()
    }

    fn words(&self) -> Option<&ReaderWords> {
        let ring: &Broadcast<H::Storage> = self.reader.ring();
        self.entry.and_then(|index| ring.storage.reader(index))
    }
}

impl<H: Handle> Drop for Keeping<H> {
    fn drop(&mut self) {
        if let Some(words) = self.words() {
            // Release, as when a `Consumer` goes: this reader is done with the ring, and the entry with it.
            words.shown.state.store(FREE, order!("broadcast.leave", Release));
        }
    }
}
