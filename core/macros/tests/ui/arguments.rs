use mycelium_core::message;

#[message(topic = "a", id = 0)]
struct LinkId {
    value: u64,
}

#[message(topic = "a", id = 65536)]
struct LargeId {
    value: u64,
}

#[message(topic = "a", id = "1")]
struct TextId {
    value: u64,
}

#[message(topic = "a", id = 1, version = 2)]
struct Unknown {
    value: u64,
}

#[message("a", 1)]
struct Unnamed {
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

#[message(topic, id = 1)]
struct NoValue {
    value: u64,
}

#[message(topic = , id = 1)]
struct EmptyValue {
    value: u64,
}

#[message(topic = "a" id = 1)]
struct NoComma {
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

#[message(topic = "0123456789012345678901234567890123456789012345678901234567890123456789\
                   0123456789012345678901234567890123456789012345678901234567890123456789\
                   0123456789012345678901234567890123456789012345678901234567890123456789\
                   0123456789012345678901234567890123456789012345678901234567890123456789", id = 1)]
struct LongTopic {
    value: u64,
}

#[message(topic = "a b", id = 1)]
struct Blank {
    value: u64,
}

#[message(topic = swaps, id = 1)]
struct NameAsTopic {
    value: u64,
}

#[message(pad)]
#[repr(u8)]
enum PaddedEnum {
    A,
}

fn main() {}
