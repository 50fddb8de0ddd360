//! An enum with data in a message.
//!
//! Write a struct with one field for each value, or an enum without data beside a value.

#[message]
enum Side {
    Buy { price: u64 },
    Sell { price: u64 },
}

#[message(topic = "orders", id = 1)]
struct Order {
    side: Side,
}
