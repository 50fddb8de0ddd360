use mycelium_core::message;

#[message(topic = "blobs", id = 1)]
struct Blob {
    bytes: [u8; 70000],
}

fn main() {}
