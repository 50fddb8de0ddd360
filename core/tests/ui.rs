//! Compile errors of the macro, and their texts.
#![cfg(all(target_endian = "little", not(miri)))]

const CASES: [&str; 9] = [
    "arguments",
    "fields",
    "foreign",
    "large",
    "pad",
    "padding",
    "refused",
    "shapes",
    "shared_items",
];

#[test]
fn refusals_say_what_to_do() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/ui/pass.rs");
    for case in CASES {
        cases.compile_fail(format!("tests/ui/{case}.rs"));
    }
}
