use mycelium_core::message;

#[message]
struct Batch {
    id: u64,
    count: u32,
}

fn main() {}
