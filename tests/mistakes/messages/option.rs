//! An optional field in a message.
//!
//! Write `FixedVec<T, 1>`, or a flag and a value.

#[message(topic = "orders", id = 1)]
struct Order {
    limit: Option<u64>,
}
