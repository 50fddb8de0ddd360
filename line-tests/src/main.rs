//! Prints the table "Lines that change hands" of `docs/performance.md`; `--write` writes it there,
//! `--details` prints all counts.
#![allow(clippy::print_stdout)]

use std::{env, fs};

use mycelium_line_tests::table::{details, replaced, table};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/performance.md");

fn main() -> Result<(), String> {
    let words: Vec<String> = env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => print!("{}", table()),
        ["--details"] => print!("{}", details()),
        ["--write"] => {
            let document = fs::read_to_string(DOCUMENT).map_err(|error| error.to_string())?;
            let document = replaced(&document, &table())?;
            fs::write(DOCUMENT, document).map_err(|error| error.to_string())?;
        }
        _ => return Err("usage: mycelium-line-tests [--details | --write]".into()),
    }
    Ok(())
}
