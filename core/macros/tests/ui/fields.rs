use std::sync::Arc;

use mycelium_core::{FixedStr, FixedVec, message};

#[message(topic = "a", id = 1)]
struct Reference {
    name: &'static str,
}

#[message(topic = "b", id = 2)]
struct Text {
    name: String,
}

#[message(topic = "c", id = 3)]
struct Heap {
    items: Vec<u8>,
}

#[message(topic = "d", id = 4)]
struct Width {
    count: usize,
}

#[message(topic = "e", id = 5)]
struct SignedWidth {
    counts: [isize; 2],
}

#[message(topic = "f", id = 6)]
struct Wide {
    id: u128,
}

#[message(topic = "g", id = 7)]
struct Maybe {
    price: Option<u64>,
}

#[message(topic = "h", id = 8)]
struct Nested {
    counts: FixedVec<core::primitive::usize, 4>,
}

#[message(topic = "i", id = 9)]
struct Borrowed {
    name: &str,
    items: &[u8],
    level: &u64,
}

#[message(topic = "j", id = 10)]
struct Collections {
    map: std::collections::HashMap<u32, FixedStr<4>>,
    set: std::collections::HashSet<u32>,
    next: Option<Box<Collections>>,
    shared: Arc<u64>,
}

#[message(topic = "k", id = 11)]
struct Others {
    letter: char,
    pair: (u32, u32),
    nothing: (),
    slice: [u8],
    function: fn(u8) -> u8,
    after: std::time::Duration,
    outcome: Result<u8, u8>,
}

#[message(topic = "a", id = 1)]
struct Conditional {
    value: u64,
    #[cfg(debug_assertions)]
    debug: u64,
}

#[message]
#[repr(u8)]
enum ConditionalVariant {
    Always,
    #[cfg(debug_assertions)]
    Debug,
}

fn main() {}
