use std::sync::Arc;

use mycelium_core::{FixedStr, FixedVec, message};

#[message(topic = "a", id = 1)]
struct Fields {
    lasting: &'static str,
    text: &str,
    slice: &[u8],
    level: &u64,
    owned: String,
    items: Vec<u8>,
    count: usize,
    counts: [isize; 2],
    nested: FixedVec<core::primitive::usize, 4>,
    wide: u128,
    price: Option<u64>,
    map: std::collections::HashMap<u32, FixedStr<4>>,
    set: std::collections::HashSet<u32>,
    next: Option<Box<Fields>>,
    shared: Arc<u64>,
    letter: char,
    pair: (u32, u32),
    nothing: (),
    unsized_items: [u8],
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
