//! A refused type is one error. Its uses are none, and other mistakes are still found.
#![deny(warnings)]

use std::rc::Rc;

use mycelium_core::{FixedStr, Message, encoded_len, message};

#[message(topic = "swaps", id = 1)]
#[derive(Debug, Clone, PartialEq)]
pub struct Swap {
    pub name: Rc<str>,
    pub symbol: Option<FixedStr<8>>,
    pub side: Side,
}

#[message]
#[derive(Debug, PartialEq)]
pub enum Side {
    Buy,
    Limit(usize),
}

impl Side {
    fn flip(self) -> Self {
        match self {
            Self::Buy => Side::Limit(1),
            Side::Limit(_) => Side::Buy,
        }
    }
}

#[message(topic = "orders", id = 2)]
pub struct Order {
    swap: Swap,
}

mod inner {
    use super::{Side, Swap};

    pub(super) fn make(side: Side) -> Swap {
        Swap { name: "a".into(), symbol: None, side: side.flip() }
    }
}

fn send<M: Message>(message: M) -> Option<usize> {
    encoded_len(&message).ok()
}

fn main() {
    #[message(id = 3)]
    struct Local {
        value: u64,
    }
    send(Local { value: 1 });
    let swap = inner::make(Side::Buy);
    println!("{swap:?} {}", swap.name);
    send(swap);
    let wrong: u8 = "text";
}
