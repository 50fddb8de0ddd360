//! Mistakes in the arguments of `#[message]`.

use mycelium_core::message;

#[message(topic = "a", id = 0)]
struct LinkId;

#[message(topic = "a", id = 65536)]
struct LargeId;

#[message(topic = "a", id = 65535)]
struct LastId;

#[message(topic = "a", id = "1")]
struct TextId;

#[message(topic = "a", id = 1, version = 2)]
struct Unknown;

#[message("a", 1)]
struct Unnamed;

#[message(id = 1)]
struct NoTopic;

#[message(max = "1 KiB")]
struct OnlyMax;

#[message(reply = NoTopic)]
struct OnlyReply;

#[message(topic = "a", max = "65 MiB")]
struct TooLong;

#[message(topic = "a", max = 1024)]
struct NoUnit;

#[message(topic, id = 1)]
struct NoValue;

#[message(topic = , id = 1)]
struct EmptyValue;

#[message(topic = "a" id = 1)]
struct NoComma;

#[message(topic = "a", id = 1, id = 2)]
struct Twice;

#[message(topic = "", id = 1)]
struct EmptyTopic;

#[message(topic = "0123456789012345678901234567890123456789012345678901234567890123456789\
                   0123456789012345678901234567890123456789012345678901234567890123456789\
                   0123456789012345678901234567890123456789012345678901234567890123456789\
                   0123456789012345678901234567890123456789012345678901234567890123456789", id = 1)]
struct LongTopic;

#[message(topic = "a b", id = 1)]
struct Blank;

#[message(topic = swaps, id = 1)]
struct NameAsTopic;

#[message(pad)]
#[repr(u8)]
enum PaddedEnum {
    A,
}

fn main() {}
