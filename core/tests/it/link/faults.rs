//! Links where frames cross, buffers are full, or the peer is hostile. A peer that follows the
//! protocol never loses its link, and no side waits for a frame that never arrives.

mod limits;
mod output;
mod resume;
mod topics;

use mycelium_core::link::Interest;

use crate::pair::Received;
use crate::pair::conversation::{name, swaps};

/// The payload of a control frame.
fn payload(kind: u16, parts: &[&[u8]]) -> Vec<u8> {
    let mut payload = kind.to_le_bytes().to_vec();
    parts.iter().for_each(|part| payload.extend(*part));
    payload
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
