//! A message that is too large.
//!
//! Make its fields smaller, or write the bytes to a file and send the name of that: a message has
//! at most 65,535 bytes.

#[message(topic = "files", id = 1)]
struct File {
    bytes: [u8; 100_000],
}
