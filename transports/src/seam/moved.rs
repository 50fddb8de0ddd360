//! The publisher's side of a moved stream, which another process reads in shared memory.

use std::sync::{Arc, Weak};

use mycelium_core::ring::broadcast::{Broadcast, ProxyReader, RetainingConsumer, SeenReader};
use mycelium_core::ring::region::ForeignCursors;

use crate::local::ring::roster::Numbered;
use crate::local::ring::shared::{
    MemoryFault, RemoteBell, RemoteReaders, Ring, SharedRing, Waiting,
};
use crate::local::state::{PublisherState, SubscriberState};
use crate::memory::Mapping;

/// A publisher's stream to readers in another process that read its ring themselves.
pub(crate) struct Moved {
    /// The entry in the ring by which the readers gate; `None` if they observe.
    proxy: Option<ProxyReader<Ring>>,
    pub(crate) readers: Arc<RemoteReaders>,
    publisher: Arc<PublisherState>,
    /// The number of the link's subscription.
    number: u64,
    /// The first message that is read in shared memory. Earlier ones are confirmed over the link.
    pub(crate) from: usize,
    /// Messages before this sequence were counted as taken.
    counted: usize,
    /// The words of the readers at the last check.
    seen: Box<[SeenReader]>,
    /// The protocol violation by the readers' process that the last [`count`](Moved::count) found.
    pub(crate) fault: Option<MemoryFault>,
}

impl Moved {
    /// Moves a stream: its readers start with the next message.
    pub(crate) fn new(
        reader: RetainingConsumer<Ring>,
        cursors: ForeignCursors<Mapping>,
        bell: Arc<dyn RemoteBell>,
        publisher: &Arc<PublisherState>,
        subscriber: &Arc<SubscriberState>,
    ) -> Moved {
        let (from, counted) = (reader.cursor(), reader.kept());
        // An observer has no entry in the ring.
        let proxy = reader.into_proxy().ok();
        let claim = proxy.as_ref().map(ProxyReader::claim);
        let (task, link) = (Arc::downgrade(publisher), Arc::downgrade(subscriber));
        let waiting: [Weak<dyn Waiting>; 2] = [task, link];
        let kept = proxy.as_ref().map_or(counted, ProxyReader::kept);
        let readers = RemoteReaders::new(cursors, bell, &publisher.ring, waiting, claim, kept);
        if let Some(imports) = publisher.ring.storage().imports() {
            imports.add(readers.clone());
        }
        let number = subscriber.number();
        publisher.readers.update(number, |own| own.remote = Some(readers.clone()));
        // Positions are used only after all messages that went over the link are confirmed.
        if kept == from {
            readers.activate();
        }
        let (seen, publisher) = (readers.unseen(), publisher.clone());
        Moved { proxy, readers, publisher, number, from, counted, seen, fault: None }
    }

    /// Returns the first sequence that the readers still need, as of the last import of their
    /// positions.
    pub(crate) fn kept(&self) -> usize {
        self.proxy.as_ref().map_or_else(|| self.readers.observed(), ProxyReader::kept)
    }

    /// Imports the positions of the readers. Returns the number of messages that they have taken
    /// since the last call.
    pub(crate) fn count(&mut self) -> u64 {
        if let Err(fault) = self.readers.check(&mut self.seen, &self.publisher.ring) {
            self.readers.disbelieve(self.kept());
            self.fault = Some(fault);
        }
        self.readers.import(&self.publisher.ring);
        let (kept, before) = (self.kept(), self.counted);
        self.counted = kept;
        kept.wrapping_sub(before) as u64
    }

    /// Returns the end of the published messages.
    pub(crate) fn end(&self) -> usize {
        let (kept, tail) = (self.kept(), self.publisher.ring.tail());
        // This thread may see an earlier tail than a reader.
        if tail.wrapping_sub(kept).cast_signed() > 0 { tail } else { kept }
    }

    /// Returns how many messages the readers have not taken, as of the last import of their
    /// positions.
    pub(crate) fn depth(&self) -> usize {
        let observed = || self.publisher.ring.tail().wrapping_sub(self.readers.observed());
        match &self.proxy {
            Some(proxy) => proxy.depth(),
            // This thread may see an earlier tail than a reader.
            None => usize::try_from(observed().cast_signed()).unwrap_or(0),
        }
    }

    /// Whether the publisher has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.publisher.ring.is_closed()
    }

    /// Releases the messages before a sequence, which are confirmed over the link.
    pub(crate) fn release(&mut self, before: usize) {
        let ahead = before.wrapping_sub(self.from).cast_signed();
        if ahead <= 0 {
            match &self.proxy {
                Some(proxy) => proxy.import(|| Some(before)),
                None => self.readers.observe(before, self.from),
            }
        }
        // Does not compare with the entry's position: the tail limits it, and this thread may still
        // see a tail before the confirmed messages.
        if ahead >= 0 {
            self.readers.activate();
        }
    }

    /// Ends the reading in shared memory. The stream continues over a link, after the messages that
    /// were read there.
    pub(crate) fn back(mut self) -> RetainingConsumer<Ring> {
        // The publisher may import a last position meanwhile, behind which this end then reads.
        self.publisher.stop_writing_beside(self.number);
        self.readers.peer_is_gone(false);
        self.readers.deactivate();
        let kept = self.kept();
        match self.proxy.take() {
            Some(proxy) => proxy.into_retaining(),
            None => {
                let ring = self.publisher.ring.clone();
                let tail = ring.tail();
                let mut reader = Broadcast::observing_from(ring, kept).retaining();
                reader.skip_to(tail);
                reader
            }
        }
    }
}

impl Drop for Moved {
    fn drop(&mut self) {
        if let Some(imports) = self.publisher.ring.storage().imports() {
            imports.remove(&self.readers);
        }
        self.publisher.readers.update(self.number, |own| {
            let is_own = |remote: &Arc<RemoteReaders>| Arc::ptr_eq(remote, &self.readers);
            own.remote.take_if(|remote| is_own(remote));
        });
    }
}
