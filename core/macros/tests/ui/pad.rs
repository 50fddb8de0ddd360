//! Mistakes with `pad`.

use mycelium_core::message;

#[message(topic = "swaps", id = 1, pad)]
struct Swap {
    open: bool,
    price: u64,
}

#[message(topic = "orders", id = 2, pad)]
struct Order {
    open: bool,
    price: u64,
}

impl Order {
    fn new() -> Self {
        todo!()
    }
}

mod types {
    #[mycelium_core::message(topic = "private", id = 3, pad)]
    pub(super) struct Private {
        pub open: bool,
        price: u64,
    }
}

fn main() {
    let swap = Swap { open: true, price: 1 };
    let Swap { open, price } = swap;
    types::Private::new(true, 1);
}
