//! A decoder in another language, written from `docs/wire-format.md` alone, reads the examples of
//! that page, which are the bytes of links (`link/document.rs`).

use std::path::Path;
use std::process::Command;

#[test]
fn it_reads_every_example_of_the_document() {
    let documents = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let output = Command::new("python3")
        .arg(documents.join("wire_decoder.py"))
        .arg("--self-test")
        .arg(documents.join("wire-format.md"))
        .output()
        .expect("this test needs python3 (3.9 or later) in the path, to run wire_decoder.py");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
