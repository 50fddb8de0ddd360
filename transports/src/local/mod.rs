//! Topics within one process.
//!
//! A [`Topic`] has one broadcast ring for each [`Publisher`]: messages of one publisher are
//! ordered, messages of two publishers are not. A [`Subscription`] reads the rings of all
//! publishers in turn, including later publishers. `emit` copies a message into a slot of the ring,
//! `recv` copies it out; neither allocates.
//!
//! Each subscription has a [`Policy`] for the case that it is slower than a publisher. Dropped
//! messages are counted and reported to the reader as a [`Gap`]. While no message is sent or
//! received, each publisher and subscription has `sent since it joined = taken + overwritten +
//! skipped + dropped + sampled + dead-lettered + left + depth`.
//!
//! A [`Feed`](crate::seam::Feed) stands for a publisher in another process, and a
//! [`Tap`](crate::seam::Tap) stands for the readers in another process. A topic does not know how
//! bytes travel between them. While a [`KeepOpen`] exists, publishers of another process may still
//! join, so no subscription ends.
//!
//! An emit does not wake readers at once. A [`TaskBudget`] counts the operations of one poll of a
//! task; [`poll_with`] sends the wake-ups after the poll, with one fence for all and one load for
//! each doorbell. A handle that is used outside its task's poll sends the wake-ups at each
//! operation.
//!
//! Modules, from the bottom up; each may use the ones before it:
//!
//! | module | content |
//! | --- | --- |
//! | `trace` | traces of messages and of a task's deliveries, send times, latencies |
//! | `values` | the values that users see: schema, policy, options, deliveries, errors |
//! | `ring` | the ring of a publisher, rings shared with another process, ready bits for many rings |
//! | `state` | the state that a publisher and its subscriptions share, and the edge between them; stalls and pressure |
//! | `retained` | the messages that publishers keep for subscriptions that join later |
//! | `task_budget`, then `metadata` | deferred wakes, and the yields of a task; traces and send times beside messages |
//! | `topic` | joining and leaving; fast handlers |
//! | `writer` | the writing end without a message type, and its typed front, the [`Publisher`] |
//! | `reader` | the reading end without a message type, and its typed front, the [`Subscription`] |
//!
//! The ends of a topic for other processes, `Feed` and `Tap`, are in [`seam`](crate::seam).

mod metadata;
pub(crate) mod reader;
pub(crate) mod retained;
pub(crate) mod ring;
pub(crate) mod state;
mod task_budget;
pub(crate) mod topic;
pub(crate) mod trace;
pub(crate) mod values;
pub(crate) mod writer;

pub use metadata::{Metadata, Recorded};
pub use reader::drain::Drain;
pub use reader::subscription::{Finisher, Subscription};
pub use reader::view::Next;
pub use retained::{KeyValue, Retain, WhenFull};
pub use ring::shared::{MemoryFault, RemoteBell, RemoteReaders, SharedRing};
pub use ring::{MappedRing, PageSize, Readers, RingMemory, cursor_bytes};
pub use state::RingStatus;
pub use state::pressure::{PressureChange, Threshold};
pub use state::stall::{Eviction, OnStall};
pub use task_budget::{ChildTask, DeferredWakes, TaskBudget, poll_traced, poll_with, with_traced};
#[cfg(feature = "conformance")]
pub(crate) use topic::fast_handler::panic_text;
pub use topic::fast_handler::{HandlerMark, HandlerWatch};
pub use topic::{KeepOpen, Topic};
pub use trace::{
    Replaced, Span, SpanKind, SpanSink, TaskTrace, TraceArea, TraceCell, TraceSource,
    TracedMessage, Tracer,
};
pub use values::{
    BatchError, Delivery, EmitError, FeedError, Gap, GapReason, HandlerFailure, KeyError,
    LatestByKey, Policy, Received, Refusal, Schema, ShuttingDown, Start, SubscribeOptions,
    TopicError, TryRecv, Undelivered, WorkQueue,
};
pub use writer::publisher::Publisher;
pub use writer::reservation::Reservation;
