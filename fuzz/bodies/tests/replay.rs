//! Replays the corpus through the bodies, so that stable tests keep what the fuzzer found.

use std::{fs, path::Path};

#[expect(clippy::print_stdout, reason = "shown only where a body panics: the file to blame")]
fn replay(target: &str, body: fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus").join(target);
    let files =
        fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut count = 0;
    for file in files {
        let path = file.unwrap().path();
        let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        println!("{}", path.display());
        body(&bytes);
        // Each prefix is a test too.
        (0..bytes.len().min(512)).for_each(|len| body(&bytes[..len]));
        count += 1;
    }
    assert!(count > 0, "{} is empty", directory.display());
}

macro_rules! replays {
    ($($target:ident)*) => {$(
        #[test]
        fn $target() {
            replay(stringify!($target), mycelium_fuzz::$target);
        }
    )*};
}

replays!(arena counters frame extensions message link legacy packet postcard recording region untyped variable);
