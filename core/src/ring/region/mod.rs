//! `broadcast` rings in memory that several processes share.
//!
//! Each word is written by one process. The *data region* belongs to the publisher's process: a
//! header, the writer's words, the entries of that process, the slots. The *cursor region* belongs
//! to one reading process: a header, and a sleep word and an entry for each of its readers. The
//! other side maps a region read-only. This module does not map: memory is a [`Memory`].
//!
//! ```text
//! publisher's process                            reading process
//! DataRegion ─────────────── read-only ────────▶ ForeignData ────┐
//!  └─ entry of a ProxyReader                                     ├─▶ ForeignRing
//!       ▲ import                                                 │
//! ForeignCursors ◀────────── read-only ───────── CursorRegion ───┘
//! ```
//!
//! The writer does not wait for readers in other processes directly, but for a
//! [`ProxyReader`](super::broadcast::ProxyReader) in its own process. Each check for room imports
//! the proxy's position from the cursor region. A stalled reading process is evicted at its proxy;
//! its readers learn of this in the data region and get [`Peek::Evicted`].
//!
//! **Panic contract.** A peer can damage only its own messages. Attaching reads the header once,
//! checks it against the memory, and copies it; the header is not read again. All words of the
//! other side are foreign and may have any value: positions and lengths are clamped, slots are
//! found by masked indices, payloads are copied by atomic loads (on x86-64 by longer ones, which
//! Rust does not see), and a message whose stamp changed meanwhile is not returned. A hostile
//! writer can mix bytes under an unchanged stamp; the result is an invalid message of its own. No
//! value makes this side access memory outside the regions, loop without end, or panic. A peer can
//! stop, store a false position, and send invalid messages: the reader must check their content.
//!
//! ```
//! # #![allow(unsafe_code)]
//! use mycelium_core::ring::broadcast::{Broadcast, Layout, Peek, Word};
//! use mycelium_core::ring::region::{
//!     self, CursorRegion, DataRegion, ForeignCursors, ForeignData, ForeignRing, RingIdentity,
//! };
//!
//! #[repr(align(4096))]
//! struct Pages([Word; 512]);
//! let pages = || Pages([const { Word::new() }; 512]);
//! let (data, cursors) = (pages(), pages());
//! let layout = Layout::exact(16, size_of::<usize>()).in_lines();
//! let identity = RingIdentity { epoch: 1, digest: [7; 16] };
//!
//! // One process creates the ring, with entries for two readers. It takes one of them for another
//! // process.
//! // SAFETY: this region alone writes to the memory.
//! let ours = unsafe { DataRegion::create(&data.0[..], layout, 2, identity) }?;
//! let ours = Broadcast::new(ours, layout)?;
//! let mut writer = Broadcast::producer(&ours).expect("the only writer");
//! let proxy = Broadcast::gating(&ours).expect("an entry is free").retaining().into_proxy();
//! let proxy = proxy.expect("it is a gating reader");
//!
//! // The other process attaches to the ring and creates its own region.
//! let theirs = ForeignData::attach(&data.0[..], identity)?;
//! // SAFETY: as above.
//! let own = unsafe { CursorRegion::create(&cursors.0[..], theirs.layout(), 3, identity) }?;
//! let theirs = ForeignRing::new(theirs, own, Some(proxy.claim()))?;
//! let theirs = Broadcast::new(theirs, layout)?;
//! let mut reader = Broadcast::gating(&theirs).expect("one of three entries");
//!
//! // The first process attaches to that, and imports positions.
//! let positions = ForeignCursors::attach(&cursors.0[..], layout, 3, identity)?;
//!
//! let length = size_of::<usize>();
//! writer.try_push(&[7], length).expect("there is room");
//! let mut message = [0];
//! assert_eq!(reader.peek(&mut message), Peek::Message { sequence: 0, length });
//! assert_eq!(message, [7]);
//! assert_eq!(proxy.depth(), 1);
//! reader.advance();
//! proxy.import(|| positions.position(true));
//! assert_eq!(proxy.depth(), 0);
//! # Ok::<(), region::RegionError>(())
//! ```
//!
//! Read this file, `header.rs`, `regions.rs`, then `topic.rs`.
//!
//! [`Peek::Evicted`]: super::broadcast::Peek::Evicted

#![allow(unsafe_code)]

mod header;
mod regions;
#[cfg(feature = "alloc")]
mod topic;

pub use header::{ALIGNMENT, Kind, Memory, RegionError, RingIdentity, words_at};
pub use regions::{
    CursorRegion, DataRegion, ForeignCursors, ForeignData, ForeignRing, cursor_words, data_words,
};
#[cfg(feature = "alloc")]
pub use topic::{Import, TopicStorage};
