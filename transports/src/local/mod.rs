//! Topics within one process.
//!
//! A [`Topic`] has one broadcast ring for each [`Publisher`]: messages of one publisher are
//! ordered, messages of two publishers are not. A [`Subscription`] merges the rings of all
//! publishers, later ones too, and reads them in turn. `emit` copies a message into a slot of the
//! ring, `recv` copies it out; neither allocates.
//!
//! Each subscription has a [`Policy`]: what happens when it is slower than a publisher. Dropped
//! messages are counted and reported to the reader as a [`Gap`]. While nobody publishes or reads,
//! each publisher and subscription has
//! `sent since it joined = taken + overwritten + skipped + dropped + sampled + dead-lettered
//! + left + depth`.
//!
//! A [`Feed`] stands for a publisher in another process, a [`Tap`] for the
//! readers in another process. A topic does not know how bytes travel between the two. While a
//! [`KeepOpen`] exists, publishers of another process may still join, and no subscription ends.
//!
//! Publishing wakes nobody at once. A [`TaskBudget`] counts the operations of one poll of a task;
//! [`poll_with`] wakes the other sides afterwards, with one fence and one load per doorbell. A
//! handle that is used outside of its task's poll wakes them at each operation.
//!
//! Files, from the ground up; each may use those before it:
//!
//! | file | content |
//! | --- | --- |
//! | `schema`, `key`, `policy`, `options`, `delivery`, `error` | values that users see |
//! | `key_table` | the newest message of each key |
//! | `random_share` | which messages are chosen, of a share |
//! | `sent_at`, `latency` | when a message was sent, and how long it took |
//! | `trace` | the traces of messages, and of a task's deliveries |
//! | `memory_size` | how much memory a ring takes |
//! | `numbering` | the sequences of a remote publisher's messages |
//! | `ring`, `shared` | the ring of a publisher, and how another process shares it |
//! | `ready`, `crowd` | which of many publishers have something |
//! | `abandoned` | the messages that subscriptions left unread |
//! | `stall` | when a publisher no longer waits for a reader |
//! | `state` | shared by publishers and subscriptions: two states and the edge between them; most methods are in `state/` |
//! | `pressure` | whether a publisher's ring is nearly full |
//! | `fast_handler` | functions that run with each message before it is committed |
//! | `topic`, then `membership` | joining and leaving |
//! | `task_budget` | deferred wakes, and when a task yields |
//! | `metadata` | traces and send times beside messages |
//! | `writer`, then `publisher`, `feed` | the untyped writing end, and its two fronts |
//! | `reader`, then `subscription` | the untyped reading end, with parts in `reader/`, and its typed front |
//! | `moved`, then `tap` | the reading end for another process: keeps messages until confirmed, or lets it read in memory |

mod abandoned;
mod crowd;
mod delivery;
mod tap;
mod error;
mod fast_handler;
mod key;
mod key_table;
mod latency;
mod membership;
mod memory_size;
mod metadata;
mod moved;
mod numbering;
mod options;
mod policy;
mod pressure;
mod publisher;
mod random_share;
mod reader;
mod ready;
mod feed;
mod ring;
mod roster;
mod schema;
mod sent_at;
mod shared;
mod stall;
mod state;
mod subscription;
mod task_budget;
mod topic;
mod trace;
mod versioned;
mod writer;

pub use delivery::{Delivery, Gap, GapReason, Received, TryRecv, Undelivered};
pub use tap::{TapItem, Tap, TapStream};
pub use error::{
    BatchError, EmitError, HandlerFailure, Refusal, FeedError, ShuttingDown, TopicError,
};
#[cfg(feature = "conformance")]
pub(crate) use fast_handler::panic_text;
pub use fast_handler::{HandlerMark, HandlerWatch};
pub use key::{KeyError, LatestByKey};
pub use memory_size::{PageSize, cursor_bytes};
pub use metadata::{Metadata, Recorded};
pub use options::{Start, SubscribeOptions};
pub use policy::Policy;
pub use pressure::{PressureChange, Threshold};
pub use publisher::Publisher;
pub use feed::{MappedFeed, Feed};
pub use ring::{MappedRing, Readers, RingMemory};
pub use schema::Schema;
pub use shared::{MemoryFault, RemoteBell, RemoteReaders, SharedRing};
pub use stall::{Eviction, OnStall};
pub use state::RingStatus;
pub use subscription::{Finisher, Subscription};
pub use task_budget::{ChildTask, DeferredWakes, TaskBudget, poll_traced, poll_with};
pub use topic::{KeepOpen, Topic};
pub use trace::{
    Replaced, Span, SpanKind, SpanSink, TaskTrace, TraceArea, TraceCell, TraceSource,
    TracedMessage, Tracer,
};
