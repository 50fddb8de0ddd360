//! How readers join a ring, and from where on they read.

#[cfg(doc)]
use super::Producer;
use super::consumer::Consumer;
use super::entry::{EVICTABLE, GATING, OBSERVING};
use super::ring_ref::RingRef;
use super::slot::is_after;
use super::storage::Storage;
use super::{Broadcast, BroadcastHandle};
use crate::sync::{Ordering, barrier};

impl<T: Storage> Broadcast<T> {
    /// A reader that the writer never passes, or `None` if all entries are in use.
    ///
    /// It starts with the first message whose push began after this call returned; it may also see
    /// a message whose push overlaps the call.
    pub fn gating<H: BroadcastHandle<Storage = T>>(ring: H) -> Option<Consumer<H>> {
        Broadcast::join(ring, GATING, None)
    }

    /// The same as [`gating`](Broadcast::gating), but the reader starts with the message of this
    /// sequence. Another reader must retain the messages from there on until this call has
    /// returned, or they may be gone. That one must have the lower [entry](Consumer::entry): the
    /// writer looks at one entry after the other, so it may look at the entry of this reader before
    /// it joins, and at a later one after its reader has left. The reader borrows nothing if it
    /// starts before the newest message.
    ///
    /// ```
    /// use mycelium_core::ring::broadcast::{Broadcast, Layout, Peek};
    ///
    /// let ring = Broadcast::boxed(Layout::exact(4, size_of::<usize>()), 2)?;
    /// let mut writer = Broadcast::producer(&ring).expect("the only writer");
    /// let retaining = Broadcast::gating(&ring).expect("an entry is free").retaining();
    /// for message in [7, 8] {
    ///     writer.try_push(&[message], size_of::<usize>()).expect("there is room");
    /// }
    /// let mut reader = Broadcast::gating_from(&ring, retaining.kept() + 1).expect("one is left");
    /// assert!(matches!(reader.peek(&mut [0]), Peek::Message { sequence: 1, .. }));
    /// # Ok::<(), mycelium_core::ring::broadcast::LayoutError>(())
    /// ```
    pub fn gating_from<H: BroadcastHandle<Storage = T>>(
        ring: H,
        sequence: usize,
    ) -> Option<Consumer<H>> {
        Broadcast::join(ring, GATING, Some(sequence))
    }

    /// The same as [`gating`](Broadcast::gating), but the reader can be evicted
    /// ([`Broadcast::evict`]) and suspended ([`Producer::suspend`]). Because of that it borrows
    /// nothing: it copies a message, looks at
    /// the stamp again, and so never returns a torn one.
    pub fn gating_evictable<H: BroadcastHandle<Storage = T>>(ring: H) -> Option<Consumer<H>> {
        Broadcast::join(ring, EVICTABLE, None)
    }

    /// The same as [`gating_from`](Broadcast::gating_from), but the reader can be evicted, as that
    /// of [`gating_evictable`](Broadcast::gating_evictable).
    pub fn gating_evictable_from<H: BroadcastHandle<Storage = T>>(
        ring: H,
        sequence: usize,
    ) -> Option<Consumer<H>> {
        Broadcast::join(ring, EVICTABLE, Some(sequence))
    }

    /// A reader that the writer does not wait for. It starts with the first message that is not
    /// published yet.
    pub fn observing<H: BroadcastHandle<Storage = T>>(ring: H) -> Consumer<H> {
        let start = ring.tail();
        Broadcast::observing_from(ring, start)
    }

    /// The same as [`observing`](Broadcast::observing), but the reader starts with the message of
    /// this sequence. Messages that are gone by then are a [gap](super::Peek::Gap).
    pub fn observing_from<H: BroadcastHandle<Storage = T>>(
        ring: H,
        sequence: usize,
    ) -> Consumer<H> {
        Consumer::new(RingRef::new(ring), sequence)
    }

    /// The same as [`observing`](Broadcast::observing), but the reader shows its position in an
    /// entry, and it starts with the message of a sequence if that is given. `None` if all entries
    /// are in use.
    pub fn observing_shown<H: BroadcastHandle<Storage = T>>(
        ring: H,
        from: Option<usize>,
    ) -> Option<Consumer<H>> {
        Broadcast::join(ring, OBSERVING, from)
    }

    fn join<H: BroadcastHandle<Storage = T>>(
        ring: H,
        state: usize,
        from: Option<usize>,
    ) -> Option<Consumer<H>> {
        let first = ring.first_free.load(Ordering::Relaxed);
        let mut seen = first;
        let (index, entry) = loop {
            let mut later =
                ring.entries_from(seen.max(first)).inspect(|(index, _)| seen = index + 1);
            if let Some(claimed) = later.find(|(_, entry)| entry.claim()) {
                break claimed;
            }
            let mut earlier = ring.entries().take(first);
            if let Some(claimed) = earlier.find(|(_, entry)| entry.claim()) {
                break claimed;
            }
            // Before the fence below, so the writer finds a new entry as it finds the others.
            if !ring.storage.grow(seen) {
                return None;
            }
        };
        ring.first_free.store(index + 1, Ordering::Relaxed);
        // A Dekker handshake with `Broadcast::room`. Either the writer's check comes after this
        // fence and sees the entry, or it came before, and then the tail that the writer stored
        // before that check is visible here. The writer may then continue without a check for one
        // lap from that tail, which does not pass the position where this reader starts.
        //
        // The first cursor is stored with Release, too: a writer may still see the state of the
        // previous reader together with this cursor, and must then see that the previous reader no
        // longer uses its slots.
        entry.show(from.unwrap_or_else(|| ring.tail()));
        entry.join(state);
        barrier!("broadcast.join-fence", SeqCst);
        let tail = ring.tail();
        let start = from.unwrap_or(tail);
        entry.show(start);
        // The writer may pass a reader that starts before the tail if no other reader holds it up.
        let may_borrow = state == GATING && !is_after(tail, start);
        let ring = RingRef::of_reader(ring, index, may_borrow, state == EVICTABLE);
        Some(Consumer::new(ring, start))
    }
}
