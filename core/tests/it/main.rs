//! The tests of the core, except those of the compiler's messages (`tests/ui.rs`): a module for each
//! part.

// First, because of its macro.
#[cfg(all(target_endian = "little", not(miri)))]
#[macro_use]
#[path = "../../../fuzz/bodies/src/shapes.rs"]
mod shapes;

mod arena;
mod borrowed;
mod broadcast;
mod broadcast_edges;
mod channel;
mod channel_futures;
#[cfg(all(target_endian = "little", not(miri)))]
mod client;
#[cfg(all(target_endian = "little", not(miri)))]
mod decoder;
#[cfg(target_endian = "little")]
mod defects;
mod doorbell;
mod evicted;
mod legacy;
#[cfg(target_endian = "little")]
mod link;
#[cfg(target_endian = "little")]
mod messages;
mod mpmc;
#[cfg(target_endian = "little")]
mod packet;
#[cfg(target_endian = "little")]
mod padding;
mod portable;
#[cfg(target_endian = "little")]
mod properties;
mod queue;
mod region;
mod region_runs;
mod reply;
mod ring_runs;
mod spsc;
mod threads;
#[cfg(target_endian = "little")]
mod wire;

// What several of them use.
mod cases;
mod pages;
#[cfg(target_endian = "little")]
mod pair;
mod sides;
