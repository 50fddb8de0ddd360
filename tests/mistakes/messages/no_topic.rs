//! A message without a topic.
//!
//! Write `topic = ".."` and `id = ..`.

#[message(id = 1)]
struct Tick {
    price: u64,
}
