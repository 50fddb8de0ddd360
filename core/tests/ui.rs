//! What the compiler refuses, and in which words.
#![cfg(all(target_endian = "little", not(miri)))]

#[test]
fn refusals_say_what_to_do() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/ui/pass.rs");
    for case in ["arguments", "borrowed", "fields", "foreign", "large", "padding", "shapes"] {
        cases.compile_fail(format!("tests/ui/{case}.rs"));
    }
}
