//! Messages that are types of serde.

use mycelium_core::message;

#[message(topic = "a", codec = "postcard")]
#[derive(serde::Serialize, serde::Deserialize)]
struct WithoutSchema {
    price: u64,
}

#[message(topic = "a", codec = "json")]
struct OtherCodec;

#[message(topic = "a", codec = postcard)]
struct NameAsCodec;

#[message(topic = "a", schema = 1)]
struct SchemaOnly;

#[message(topic = "a", codec = "postcard", schema = "1")]
struct TextAsSchema;

#[message(topic = "a", codec = "postcard", schema = 1, pad)]
struct Padded;

#[message(codec = "postcard", schema = 1, max = "1 KiB")]
struct LimitedPart;

#[message(topic = "a", codec = "postcard", schema = 1)]
struct Generic<T>(T);

#[message(topic = "a", codec = "postcard", schema = 1)]
union Union {
    a: u8,
}

#[message(topic = "a", codec = "postcard", schema = 1)]
#[derive(serde::Serialize, serde::Deserialize)]
struct Shifted {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    list: Vec<u8>,
}

#[message(topic = "a", codec = "postcard", schema = 1)]
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(tag = "kind")]
enum Tagged {
    One,
}

fn main() {}
