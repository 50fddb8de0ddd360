//! Defaults of fields that older programs do not have.

use mycelium_core::message;

#[message(topic = "orders")]
struct Unknown {
    id: u64,
    #[message(standard = 5)]
    priority: u8,
}

#[message(topic = "orders")]
struct NotFixed {
    id: u64,
    #[message(default = String::new())]
    note: String,
}

#[message(topic = "orders", pad)]
struct OtherType {
    id: u64,
    #[message(default = 300)]
    priority: u8,
    #[message(default = "high")]
    venue: u16,
}

fn main() {}
