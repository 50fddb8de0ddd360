use mycelium_core::message;

#[message(topic = "blobs", id = 1)]
struct Blob {
    at: u64,
    bytes: [u8; 70000],
}

#[message(topic = "wide", id = 3)]
struct Wide {
    digest: Digest,
}

type Digest = u128;

#[message]
struct Signal {}

#[message(topic = "items", id = 4)]
struct Items {
    signals: Vec<Signal>,
    digests: Vec<Digest>,
}

#[message(topic = "ticks", max = "1 KiB")]
struct Tick {
    price: u64,
}

#[message(topic = "notes", max = "16 B")]
struct Note {
    at: u64,
    author: String,
    text: String,
}

fn main() {}
