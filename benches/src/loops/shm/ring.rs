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
use crate::processes::{Talk, number};

/// The positions of a process that reads a ring of this one. It is read where the writer looks for
/// room, as in a node.
#[derive(Clone, Default)]
pub(super) struct Positions(Arc<OnceLock<(Claim, ForeignCursors<Mapping>)>>);

impl Import for Positions {
    fn refresh(&self, exact: bool, import: &mut dyn FnMut(Claim, Option<usize>)) {
        if let Some((claim, cursors)) = self.0.get() {
            import(*claim, cursors.position(exact));
        }
    }
}

type Own<I> = Arc<Broadcast<TopicStorage<Mapping, I>>>;
type Peers = Arc<Broadcast<ForeignRing<Mapping, Mapping>>>;

/// The entries of a cursor region.
const READERS: usize = 15;
const MOST_WORDS: usize = 1 << 24;
const IDENTITY: RingIdentity = RingIdentity { epoch: 1, digest: [7; 16] };
const FITS: &str = "a ring of this size fits into memory";

pub(super) fn layout<const W: usize>() -> Layout {
    Layout::exact(capacity::<W>(), W * size_of::<usize>()).in_lines()
}

/// A ring of this process.
pub(super) struct OwnRing<I: Import> {
    pub(super) ring: Own<I>,
    pub(super) writer: Producer<Own<I>>,
    /// The descriptor, which the other process opens.
    file: OwnedFd,
}

impl<I: Import> OwnRing<I> {
    pub(super) fn new(layout: Layout, processes: usize, positions: I) -> OwnRing<I> {
        let region = data_region("ring of a bench", layout, processes, IDENTITY, false);
        let (region, file) = region.expect(FITS);
        let ring = Broadcast::new(TopicStorage::Shared(region, positions), layout);
        let ring = Arc::new(ring.expect(FITS));
        let writer = Broadcast::producer(ring.clone()).expect("a fresh ring");
        OwnRing { ring, writer, file }
    }

    /// Tells another process where the ring is, and waits for it from now on.
    pub(super) fn tell(&self, other: &mut impl Talk) -> ProxyReader<Own<I>> {
        let reader = Broadcast::gating(self.ring.clone()).expect("an entry for each process");
        let proxy = reader.retaining().into_proxy().ok().expect("a gating reader");
        let Claim { entry, generation } = proxy.claim();
        other.say(&format_args!("{} {entry} {generation}", number(&self.file)));
        proxy
    }
}

/// The positions of another process that reads a ring of this one.
pub(super) fn positions(other: &mut impl Talk, layout: Layout) -> ForeignCursors<Mapping> {
    let [file] = other.numbers();
    let mapping = Mapping::attach(other.open(file, false).into(), MOST_WORDS, false).expect(FITS);
    ForeignCursors::attach(mapping, layout, READERS, IDENTITY).expect("it is for this ring")
}

/// Reads a ring of another process. The descriptor must live until the other one has opened it.
pub(super) fn read(other: &mut impl Talk, layout: Layout) -> (Consumer<Peers>, OwnedFd) {
    let [file, entry, generation] = other.numbers();
    let mapping = Mapping::attach(other.open(file, false).into(), MOST_WORDS, false);
    let data = ForeignData::attach(mapping.expect(FITS), IDENTITY).expect("it is a ring");
    let region = cursor_region("positions of a bench", layout, READERS, IDENTITY);
    let (cursors, own) = region.expect(FITS);
    let ring = ForeignRing::new(data, cursors, Some(Claim { entry, generation }));
    let ring = Broadcast::new(ring.expect("the same ring"), layout).expect(FITS);
    other.say(&number(&own));
    (Broadcast::gating(Arc::new(ring)).expect("an entry is free"), own)
}

/// A ring in each direction.
pub(super) struct Rings {
    offer: OwnRing<Positions>,
    _proxy: ProxyReader<Own<Positions>>,
    reader: Consumer<Peers>,
    _cursors: OwnedFd,
}

impl Rings {
    pub(super) fn meet<const W: usize>(other: &mut impl Talk) -> Rings {
        let layout = layout::<W>();
        let found = Positions::default();
        let offer = OwnRing::new(layout, 1, found.clone());
        let proxy = offer.tell(other);
        let (reader, cursors) = read(other, layout);
        let set = found.0.set((proxy.claim(), positions(other, layout)));
        assert!(set.is_ok(), "they are set once");
        Rings { offer, _proxy: proxy, reader, _cursors: cursors }
    }
}

impl<const W: usize> Duplex<W> for Rings {
    #[inline]
    fn send(&mut self, message: &[usize; W]) -> bool {
        self.offer.writer.try_push(message, size_of::<[usize; W]>()).is_ok()
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
