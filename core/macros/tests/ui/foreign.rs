use mycelium_core::{Field, Message};

struct Unmarked(u64);

fn send<M: Message>() {}

fn nest<F: Field>() {}

fn main() {
    send::<Unmarked>();
    nest::<String>();
}
