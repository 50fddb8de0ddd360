//! A text given to a `FixedStr` without a conversion.
//!
//! Write `"hello".try_into()?`: a text that is too long is an error.

#[message(topic = "greetings", id = 1)]
struct Greeting {
    text: FixedStr<22>,
}

fn greeting() -> Greeting {
    Greeting { text: "hello" }
}
