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

fn main() {}
