//! An enum as a message of its own.
//!
//! Write a struct with the enum as a field.

#[message(topic = "states", id = 1)]
#[repr(u8)]
enum State {
    Open,
    Closed,
}
