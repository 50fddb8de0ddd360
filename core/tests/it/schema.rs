//! The message of the examples in `docs/wire-format.md`, and buffers aligned like a link's.

use mycelium_core::Digest;

pub(crate) use crate::portable::bodies::codec::{Buffer, Side, Swap};

/// The 128-bit FNV-1a hash, as `docs/wire-format.md` defines the digest.
pub(crate) fn fnv(bytes: &[u8]) -> Digest {
    let step = |state: u128, byte: &u8| {
        (state ^ u128::from(*byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    };
    Digest(bytes.iter().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, step).to_be_bytes())
}
