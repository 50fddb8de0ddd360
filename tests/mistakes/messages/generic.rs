//! A generic message.
//!
//! Write one message for each type: a topic has one layout.

#[message(topic = "values", id = 1)]
struct Value<T> {
    value: T,
}
