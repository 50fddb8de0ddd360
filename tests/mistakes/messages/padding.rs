//! A message with padding between its fields.
//!
//! The compiler would leave four bytes of no meaning after `pool`. Put the widest fields first,
//! and end with a field that fills the last word.

#[message(topic = "swaps", id = 1)]
struct Swap {
    pool: u32,
    price: u64,
}
