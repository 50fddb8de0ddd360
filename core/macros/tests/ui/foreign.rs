//! Types without `#[message]`, types that contain each other, and `Copy` on a message with a text.

use mycelium_core::{Message, message};

struct Leg {
    price: i64,
}

#[message(topic = "orders")]
struct Order {
    id: u64,
    legs: Vec<Leg>,
}

#[message]
enum Either {
    Left(Leg),
    Right { text: String },
}

#[message(topic = "b")]
#[derive(Clone, Copy)]
struct Copied {
    name: String,
}

#[message(topic = "c")]
struct Unordered {
    by_price: std::collections::BTreeMap<f64, u64>,
}

fn send<M: Message>() {}

fn main() {
    send::<Leg>();
}
