//! A message whose fields have no names.
//!
//! Write `struct Price { value: u64 }`: names are a part of the layout.

#[message(topic = "prices", id = 1)]
struct Price(u64);
