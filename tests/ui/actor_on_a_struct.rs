use mycelium::*;

#[actor]
struct Account {
    cents: u64,
}

fn main() {}
