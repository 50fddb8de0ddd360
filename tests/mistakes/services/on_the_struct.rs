//! `#[service]` on the struct.
//!
//! Write it over the `impl` block that has `run`.

#[service(emits(Tick))]
struct Feed {
    price: u64,
}
