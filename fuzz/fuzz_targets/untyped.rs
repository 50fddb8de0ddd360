//! `mycelium_fuzz::untyped` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mycelium_fuzz::untyped(data));
