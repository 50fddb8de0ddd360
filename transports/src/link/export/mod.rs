//! The publisher's side of links. [`Exports`] has what this process exports and what it knows of
//! each reader; it outlives connections. `accept` accepts them, as far as `admission` has places
//! and `names` lets a peer have its name; a `session` serves each one. A message goes from the
//! topic's tap in `served_topic` by `outgoing_stream` to the link, or stays in shared memory
//! (`outgoing_memory`). `stream_state` and `redelivery` track which messages a reader may have had,
//! `past_readers` which readers have left.

mod accept;
mod admission;
mod exports;
mod names;
mod outgoing_memory;
mod outgoing_stream;
mod past_readers;
mod redelivery;
mod served_topic;
mod session;
mod stream_state;

pub use exports::Exports;
pub use redelivery::Redelivery;
