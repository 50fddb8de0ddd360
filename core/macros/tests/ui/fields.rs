use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use mycelium_core::{FixedStr, FixedVec, message};

#[message(topic = "a", id = 1)]
struct Borrowed {
    forever: &'static str,
    name: &str,
    items: &[u8],
    level: &u64,
}

#[message(topic = "f", id = 6)]
struct Sizes {
    count: usize,
    counts: [isize; 2],
    nested: FixedVec<core::primitive::usize, 4>,
}

#[message(topic = "listings")]
struct Listing {
    venue: &'static str,
    pools: HashMap<u32, String>,
}

#[message(topic = "c", id = 3)]
struct Collections {
    map: std::collections::HashMap<u32, FixedStr<4>>,
    set: std::collections::HashSet<u32>,
    queue: Option<std::collections::VecDeque<String>>,
    shared: Arc<u64>,
    name: Rc<str>,
    boxed: Vec<Box<[u8]>>,
    of_references: Vec<&str>,
}

#[message(topic = "d", id = 4)]
struct Others {
    wide: u128,
    wider: Vec<i128>,
    nothing: (),
    slice: [u8],
    function: fn(u8) -> u8,
    since: std::time::Instant,
    outcome: Result<u8, u8>,
    path: std::path::PathBuf,
}

/// Types that contain themselves.
#[message(topic = "trees")]
struct Tree {
    name: String,
    children: Vec<Tree>,
}

#[message]
struct Chain {
    next: Option<Box<Self>>,
}

#[message]
enum Expression {
    Number(f64),
    Sum(Vec<Expression>),
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
