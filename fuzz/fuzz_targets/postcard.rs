//! `mycelium_fuzz::postcard` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mycelium_fuzz::postcard(data));
