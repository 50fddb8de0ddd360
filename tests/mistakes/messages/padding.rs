//! A message with padding between its fields.
//!
//! Write the fields in the order that the error shows, from wide to narrow, or `pad` in the
//! attribute: bytes without a meaning would differ from one message to the next.

#[message(topic = "swaps", id = 1)]
struct Swap {
    pool: u32,
    price: u64,
}
