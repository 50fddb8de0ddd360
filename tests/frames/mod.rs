//! Frames of a peer, written from docs/wire-format.md without our code.

/// Returns a frame of type `id` whose payload is only its fixed part.
pub(crate) fn frame(id: u16, stream: u32, sequence: u64, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0xa1, 0];
    frame.extend(id.to_le_bytes());
    frame.extend((24 + payload.len() as u32).to_le_bytes());
    frame.extend((payload.len() as u16).to_le_bytes());
    frame.extend([0; 2]);
    frame.extend(stream.to_le_bytes());
    frame.extend(sequence.to_le_bytes());
    frame.extend(payload);
    frame.resize(frame.len().next_multiple_of(8), 0);
    frame
}

/// Returns a name as the wire has it: its length and its bytes, padded.
pub(crate) fn name(name: &str) -> [u8; 64] {
    let mut bytes = [0; 64];
    bytes[..2].copy_from_slice(&(name.len() as u16).to_le_bytes());
    bytes[2..2 + name.len()].copy_from_slice(name.as_bytes());
    bytes
}

/// Returns the hello of a peer with versions from 1 to `version` and a long silence limit.
pub(crate) fn hello(node: &str, boot: u64, version: u8) -> Vec<u8> {
    let mut payload = vec![1, 0, version, version, 0, 0, 16, 0];
    payload.extend(boot.to_le_bytes());
    payload.extend(60_000_u32.to_le_bytes());
    payload.extend([4, 0, 4, 0, 0, 0, 16, 0, 8, 0, 0, 0]);
    payload.extend(name(node));
    frame(0, 0, 0, &payload)
}
