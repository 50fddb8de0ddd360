//! A `char` in a message.
//!
//! Write `u32`, and convert with `u32::from` and `char::from_u32`.

#[message(topic = "keys", id = 1)]
struct Key {
    letter: char,
}
