//! Compile errors of the macro, and their texts.
#![cfg(all(target_endian = "little", not(miri)))]

#[test]
fn refusals_say_what_to_do() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/ui/pass.rs");
    for case in ["arguments", "fields", "foreign", "large", "shared_items", "padding", "shapes"] {
        cases.compile_fail(format!("tests/ui/{case}.rs"));
    }
}
