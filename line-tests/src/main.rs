//! Prints the table "Lines that change hands" of `docs/performance.md`.
#![allow(clippy::print_stdout)]

fn main() {
    print!("{}", mycelium_line_tests::table::table());
}
