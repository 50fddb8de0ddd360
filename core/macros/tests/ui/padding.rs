//! One error for each struct, also where it is used.

use mycelium_core::{FixedStr, FixedVec, Message, message};

const LEVELS: usize = 3;

/// Padding at the end alone.
#[message]
struct Batch {
    id: u64,
    count: u32,
}

#[message]
#[repr(u8)]
#[derive(Debug, PartialEq)]
pub enum Side {
    Buy,
    Sell,
}

/// Padding between fields, at the end, and still at the end after sorting.
#[message(topic = "swaps", id = 1)]
#[derive(Debug, PartialEq)]
pub struct Swap {
    pub open: bool,
    pub price: u64,
    pub(crate) levels: FixedVec<u64, LEVELS>,
    side: Side,
    pub r#type: u32,
    name: FixedStr<{ 2 + 2 }>,
}

/// No padding after sorting; a field has the name of the padding.
#[message(topic = "sorted", id = 2)]
pub struct Sorted {
    pub count: u32,
    pub price: u64,
    pub _pad: [u16; 2],
}

fn send<M: Message>(message: M) -> M {
    message
}

fn main() {
    let swap = Swap {
        open: true,
        price: 1,
        levels: FixedVec::new(),
        side: Side::Buy,
        r#type: 1,
        name: FixedStr::new(),
    };
    println!("{swap:?} {}", swap.price);
    assert_eq!(send(swap), swap);
    send(Sorted { count: 1, price: 2, _pad: [0; 2] });
}
