//! The rivals' ends: each is used as its documentation shows, with the same capacity as ours. The
//! crates that exist here only for comparison need the feature `rivals`. Without it their columns
//! are absent, and the goals about them are not decided.

#[cfg(target_os = "linux")]
pub(crate) mod actors;
#[cfg(feature = "rivals")]
pub(crate) mod broadcast;
#[cfg(feature = "rivals")]
pub(crate) mod many;
#[cfg(feature = "rivals")]
pub(crate) mod pair;
pub(crate) mod tasks;
pub(crate) mod tokio;

use mycelium_core::ring::broadcast::Layout;

use crate::sample::{Sample, Wide};

pub(crate) const RTRB: &str = "rtrb";
pub(crate) const RTRB_CHUNKS: &str = "rtrb chunks";
/// The column of rtrb whose items have as many bytes as a slot of our broadcast ring.
pub(crate) const RTRB_SLOT: &str = "rtrb 64 B";
pub(crate) const RTRB_MESSAGE: &str = "rtrb 56 B";
pub(crate) const RINGBUF: &str = "ringbuf";
pub(crate) const HEAPLESS: &str = "heapless spsc";
pub(crate) const ARRAY_QUEUE: &str = "crossbeam ArrayQueue";
pub(crate) const CONCURRENT_QUEUE: &str = "concurrent-queue";
pub(crate) const CROSSBEAM: &str = "crossbeam-channel";
pub(crate) const KANAL: &str = "kanal";
pub(crate) const RAPIDFIRE: &str = "rapidfire";
pub(crate) const GIL_MPMC: &str = "gil mpmc";
pub(crate) const ASYNC_CHANNEL: &str = "async-channel";
pub(crate) const TOKIO_MPSC: &str = "tokio mpsc";
pub(crate) const PHOTON: &str = "photon-ring, waits";

const _: () = assert!(
    Layout::exact(2, size_of::<Sample>()).slot_words() * size_of::<u64>() == size_of::<Wide>()
);
