//! Our ring in each direction, each in memory that its writer's process shares.

use std::os::fd::OwnedFd;
use std::sync::{Arc, OnceLock};

use mycelium_core::ring::broadcast::{
    Broadcast, Claim, Consumer, Layout, Peek, Producer, ProxyReader,
};
use mycelium_core::ring::region::{
    ForeignCursors, ForeignData, ForeignRing, Import, RingIdentity, TopicStorage,
};
use mycelium_transports::memory::{Mapping, cursor_region, data_region};

use super::duplex::{Duplex, capacity};
use crate::machine::processes::{Talk, number};

/// The positions of a process that reads a ring of this one. They are read when the writer looks
/// for room, as in a node.
#[derive(Clone, Default)]
struct Positions(Arc<OnceLock<(Claim, ForeignCursors<Mapping>)>>);

impl Import for Positions {
    fn refresh(&self, exact: bool, import: &mut dyn FnMut(Claim, Option<usize>)) {
        if let Some((claim, cursors)) = self.0.get() {
            import(*claim, cursors.position(exact));
        }
    }
}

type Own = Arc<Broadcast<TopicStorage<Mapping, Positions>>>;
type Peers = Arc<Broadcast<ForeignRing<Mapping, Mapping>>>;

/// The number of entries of a cursor region.
const READERS: usize = 15;
const MOST_WORDS: usize = 1 << 24;
const IDENTITY: RingIdentity = RingIdentity { epoch: 1, digest: [7; 16] };
const FITS: &str = "a ring of this size fits into memory";

/// A ring in each direction.
pub(crate) struct Rings {
    writer: Producer<Own>,
    _proxy: ProxyReader<Own>,
    reader: Consumer<Peers>,
    /// Kept open, as the other process opens them by their numbers.
    _files: [OwnedFd; 2],
}

impl<const W: usize> Duplex<W> for Rings {
    const KIND: &'static str = "rings";

    fn meet(other: &mut Talk) -> Rings {
        let layout = Layout::exact(capacity::<W>(), W * size_of::<usize>()).in_lines();
        let positions = Positions::default();
        let region = data_region("ring of a bench", layout, 1, IDENTITY, false);
        let (region, file) = region.expect(FITS);
        let ring = Broadcast::new(TopicStorage::Shared(region, positions.clone()), layout);
        let ring = Arc::new(ring.expect(FITS));
        let writer = Broadcast::producer(ring.clone()).expect("a fresh ring");
        // The other process reads the ring from now on.
        let reader = Broadcast::gating(ring).expect("an entry for each process");
        let proxy = reader.retaining().into_proxy().ok().expect("a gating reader");
        let Claim { entry, generation } = proxy.claim();
        other.say(format_args!("{} {entry} {generation}", number(&file)));

        let open = |other: &Talk, file| {
            Mapping::attach(other.open(file, false).into(), MOST_WORDS, false).expect(FITS)
        };
        let [theirs, entry, generation] = other.numbers();
        let data = ForeignData::attach(open(other, theirs), IDENTITY).expect("it is a ring");
        let region = cursor_region("positions of a bench", layout, READERS, IDENTITY);
        let (cursors, own) = region.expect(FITS);
        let foreign = ForeignRing::new(data, cursors, Some(Claim { entry, generation }));
        let foreign = Broadcast::new(foreign.expect("the same ring"), layout).expect(FITS);
        other.say(number(&own));
        let reader = Broadcast::gating(Arc::new(foreign)).expect("an entry is free");

        let [theirs] = other.numbers();
        let cursors = ForeignCursors::attach(open(other, theirs), layout, READERS, IDENTITY);
        let set = positions.0.set((proxy.claim(), cursors.expect("it is for this ring")));
        assert!(set.is_ok(), "they are set once");
        Rings { writer, _proxy: proxy, reader, _files: [file, own] }
    }

    #[inline]
    fn send(&mut self, message: &[usize; W]) -> bool {
        self.writer.try_push(message, size_of::<[usize; W]>()).is_ok()
    }

    #[inline]
    fn receive(&mut self, message: &mut [usize; W]) -> bool {
        if self.reader.peek_exact(message, size_of::<[usize; W]>()).is_none()
            && !matches!(self.reader.peek(message), Peek::Message { .. })
        {
            return false;
        }
        self.reader.advance()
    }
}
