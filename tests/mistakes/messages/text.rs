//! Text in a message.
//!
//! Write `FixedStr<N>`; `N` is the most bytes that the text may have.

#[message(topic = "greetings", id = 1)]
struct Greeting {
    text: String,
}
