//! A message that is too large.
//!
//! Send several smaller messages: one has at most 65,535 bytes.

#[message(topic = "files", id = 1)]
struct File {
    bytes: [u8; 100_000],
}
