//! A field whose size depends on the machine.
//!
//! Write `u32` or `u64`.

#[message(topic = "orders", id = 1)]
struct Order {
    count: usize,
}
