//! Operations on both sides of a link, among them bytes that the peer never sent.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mycelium_fuzz::link(data));
