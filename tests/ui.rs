//! What `#[service]` and `#[actor]` say about mistakes.

#[test]
fn c7_mistakes_are_compile_errors_that_say_what_to_do() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
