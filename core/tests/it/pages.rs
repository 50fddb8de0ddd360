//! Rings between two processes that are threads here, or one thread: the memory that both map, and
//! both sides of a ring in it.
#![allow(unsafe_code)]

use std::sync::Arc;

use mycelium_core::ring::broadcast::{
    Broadcast, BroadcastHandle, Claim, Layout, ProxyReader, Word,
};
use mycelium_core::ring::region::{
    CursorRegion, DataRegion, ForeignCursors, ForeignData, ForeignRing, Memory, RegionError,
    RingIdentity, cursor_words, data_words,
};

pub(crate) const WORD: usize = size_of::<usize>();
pub(crate) const IDENTITY: RingIdentity = RingIdentity { epoch: 3, digest: *b"0123456789abcdef" };
/// Entries in a data region, and in a cursor region.
pub(crate) const ENTRIES: usize = 2;
pub(crate) const READERS: usize = 3;

/// A page, so that regions are aligned.
#[derive(Debug)]
#[repr(C, align(4096))]
struct Page([Word; 4096 / WORD]);

/// Memory that both processes map.
#[derive(Debug)]
pub(crate) struct Pages(Box<[Page]>);

pub(crate) type Shared = Arc<Pages>;

type Made<T> = Result<T, RegionError>;

impl Pages {
    /// Pages with room for a region of this many words.
    pub(crate) fn new(words: Option<usize>) -> Shared {
        let pages = words.expect("a small region").div_ceil(4096 / WORD);
        let page = || Page([const { Word::new() }; 4096 / WORD]);
        Arc::new(Pages((0..pages).map(|_| page()).collect()))
    }

    /// Writes a word, like the other process.
    pub(crate) fn set(&self, index: usize, value: usize) {
        let words = self.words();
        // SAFETY: rings of other processes allow that these write their words.
        unsafe { words[index % words.len()].set(value) };
    }

    /// A data region in these pages.
    pub(crate) fn data(self: &Shared, layout: Layout) -> Made<DataRegion<Shared>> {
        // SAFETY: the tests make one region at a time in these pages. Nothing else writes to them,
        // or only as another process does, in whose ring nobody borrows.
        unsafe { DataRegion::create(self.clone(), layout, ENTRIES, IDENTITY) }
    }

    /// A cursor region in these pages.
    pub(crate) fn cursors(self: &Shared, layout: Layout) -> Made<CursorRegion<Shared>> {
        // SAFETY: as above.
        unsafe { CursorRegion::create(self.clone(), layout, READERS, IDENTITY) }
    }

    /// The cursor region in these pages, of another process.
    pub(crate) fn foreign_cursors(self: &Shared, layout: Layout) -> Made<ForeignCursors<Shared>> {
        ForeignCursors::attach(self.clone(), layout, READERS, IDENTITY)
    }

    /// The storage of the ring in these pages in another process, which has its cursor region in
    /// `own`, and this claim in the ring.
    pub(crate) fn foreign_ring(self: &Shared, own: &Shared, claim: Claim) -> Foreign {
        let data = ForeignData::attach(self.clone(), IDENTITY).unwrap();
        let own = own.cursors(data.layout()).unwrap();
        ForeignRing::new(data, own, Some(claim)).unwrap()
    }

    /// The same as a ring.
    pub(crate) fn theirs(self: &Shared, own: &Shared, claim: Claim) -> Theirs {
        let storage = self.foreign_ring(own, claim);
        let layout = storage.layout();
        Broadcast::new(storage, layout).unwrap()
    }
}

// SAFETY: a box that is never replaced; `Word`s are written atomically.
unsafe impl Memory for Pages {
    fn words(&self) -> &[Word] {
        let words = size_of_val(&*self.0) / WORD;
        // SAFETY: pages are words without padding.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), words) }
    }
}

/// Memory with a ring, memory for the entries of another process, and the ring.
pub(crate) fn memory(layout: Layout) -> (Shared, Shared, Broadcast<DataRegion<Shared>>) {
    let data = Pages::new(data_words(layout, ENTRIES));
    let ring = Broadcast::new(data.data(layout).unwrap(), layout).unwrap();
    (data, Pages::new(cursor_words(READERS)), ring)
}

/// A ring, in a process that reads it.
pub(crate) type Theirs = Broadcast<Foreign>;

type Foreign = ForeignRing<Shared, Shared>;

/// A reader that stands for another process.
pub(crate) fn proxy<H: BroadcastHandle>(ring: H) -> ProxyReader<H> {
    let reader = Broadcast::gating(ring).expect("an entry is free").retaining();
    reader.into_proxy().ok().expect("it is a gating reader")
}
