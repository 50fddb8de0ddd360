//! `mycelium_fuzz::link` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mycelium_fuzz::link(data));
