//! A message with id 0.
//!
//! Write an id from 1 to 65535 that no other message of the system has.

#[message(topic = "ticks", id = 0)]
struct Tick {
    price: u64,
}
