use mycelium_core::message;

#[message(topic = "a", id = 0)]
struct LinkId {
    value: u64,
}

#[message(topic = "a", id = 65536)]
struct LargeId {
    value: u64,
}

#[message(topic = "a", id = 1, version = 2)]
struct Unknown {
    value: u64,
}

#[message(id = 1)]
struct NoTopic {
    value: u64,
}

#[message(topic = "a")]
struct NoId {
    value: u64,
}

#[message(topic = "a", id = 1, id = 2)]
struct Twice {
    value: u64,
}

#[message(topic = "", id = 1)]
struct EmptyTopic {
    value: u64,
}

#[message(topic = "a b", id = 1)]
struct Blank {
    value: u64,
}

fn main() {}
