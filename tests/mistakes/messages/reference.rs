//! A borrowed text in a message.
//!
//! Write `FixedStr<N>`: a message has its own bytes.

#[message(topic = "greetings", id = 1)]
struct Greeting<'a> {
    text: &'a str,
}
