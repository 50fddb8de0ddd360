//! A field of a struct without `#[message]`.
//!
//! Write `#[message]` without arguments over the struct of the field.
//!
//! Errors: 11.

struct Price {
    units: u64,
}

#[message(topic = "ticks", id = 1)]
struct Tick {
    price: Price,
}
