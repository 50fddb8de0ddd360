use mycelium_core::message;

#[message(topic = "a", id = 1)]
struct Generic<T> {
    value: T,
}

#[message(topic = "b", id = 2)]
struct Borrowed<'a> {
    value: &'a u8,
}

#[message(topic = "e", id = 5)]
struct Tuple(u64);

#[message]
enum NoInteger {
    A,
}

#[message]
#[repr(u8)]
enum DataAndInteger {
    A,
    B(u8),
}

#[message]
enum DataAndNumber {
    A = 1,
    B(u8),
}

#[message(topic = "f", id = 6)]
#[repr(u8)]
enum Topic {
    A,
}

#[message(topic = "g", id = 7)]
#[repr(C, packed)]
struct Packed {
    value: u64,
}

#[message]
#[repr(C, align(16))]
struct Aligned {
    value: u64,
}

#[message]
#[repr(u8)]
enum Never {}

#[message]
fn function() {}

fn main() {}
