//! Links where frames cross, buffers are full, or the peer is hostile. A peer that follows the
//! protocol never loses its link, and no side waits for a frame that never arrives.
// The link has no `unsafe`: Miri would find nothing that the tests of `link` do not show it.
#![cfg(all(target_endian = "little", not(miri)))]

mod limits;
mod output;
#[path = "../pair/mod.rs"]
mod pair;
mod resume;
#[path = "../schema/mod.rs"]
mod schema;
mod topics;

use mycelium_core::link::{Interest, LinkError};

use pair::conversation::{name, swaps};
use pair::{Pair, Received};

/// The payload of a control frame.
fn payload(kind: u16, parts: &[&[u8]]) -> Vec<u8> {
    let mut payload = kind.to_le_bytes().to_vec();
    parts.iter().for_each(|part| payload.extend(*part));
    payload
}

fn failed(pair: &Pair) -> [Option<LinkError>; 2] {
    pair.sides.each_ref().map(|side| side.failed)
}

fn others(window: u32) -> Interest {
    Interest { topic: name("others"), ..swaps(window) }
}

fn resumes(received: &[Received]) -> Vec<(u64, u64)> {
    let resume = |received: &Received| match received {
        Received::Resume { epoch, next, .. } => Some((*epoch, *next)),
        _ => None,
    };
    received.iter().filter_map(resume).collect()
}
