use mycelium_core::message;

#[message(topic = "blobs", id = 1)]
struct Blob {
    at: u64,
    bytes: [u8; 70000],
}

#[message(topic = "empty", id = 2)]
struct Empty {
    bytes: [u8; 0],
}

#[message(topic = "wide", id = 3)]
struct Wide {
    digest: Digest,
}

type Digest = u128;

fn main() {}
