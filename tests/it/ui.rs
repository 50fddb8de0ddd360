//! Mistakes: what the compiler says about them, and that `docs/mistakes.md` quotes what is printed.

#[cfg(all(feature = "signals", feature = "topology"))]
mod page;

#[test]
fn c7_mistakes_are_compile_errors_that_say_what_to_do() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
