//! Compile errors of the macros, and their texts.
#![cfg(all(target_endian = "little", not(miri)))]

#[test]
fn refusals_say_what_to_do() {
    trybuild::TestCases::new().compile_fail("ui/*.rs");
}
