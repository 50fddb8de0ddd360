//! A list in a message.
//!
//! Write `FixedVec<T, N>`; `N` is the most items.

#[message(topic = "quotes", id = 1)]
struct Quotes {
    prices: Vec<u64>,
}
