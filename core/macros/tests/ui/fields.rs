use std::sync::Arc;

use mycelium_core::{FixedStr, FixedVec, message};

#[message(topic = "a", id = 1)]
struct Borrowed {
    forever: &'static str,
    name: &str,
    items: &[u8],
    level: &u64,
}

#[message(topic = "b", id = 2)]
struct Text {
    name: String,
}

#[message(topic = "f", id = 6)]
struct Sizes {
    count: usize,
    counts: [isize; 2],
    nested: FixedVec<core::primitive::usize, 4>,
}

#[message(topic = "c", id = 3)]
struct Collections {
    list: Vec<u8>,
    map: std::collections::HashMap<u32, FixedStr<4>>,
    set: std::collections::HashSet<u32>,
    next: Option<Box<Collections>>,
    shared: Arc<u64>,
}

#[message(topic = "d", id = 4)]
struct Others {
    wide: u128,
    price: Option<u64>,
    letter: char,
    pair: (u32, u32),
    nothing: (),
    slice: [u8],
    function: fn(u8) -> u8,
    after: std::time::Duration,
    outcome: Result<u8, u8>,
}

#[message(topic = "e", id = 5)]
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
