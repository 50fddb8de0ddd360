//! Topologies in the documents are valid. Their Rust is tested as the crate's doctests, their shell
//! commands by the job `readme`.

use std::fs;
use std::path::{Path, PathBuf};

use mycelium::Topology;

#[test]
fn topologies_in_the_documents_are_valid() {
    let mut found = 0;
    for path in documents() {
        let text = fs::read_to_string(&path).expect("a readable document");
        for block in blocks(&text, "toml") {
            found += 1;
            if let Err(error) = Topology::parse(&path, &block) {
                panic!("{}: {error}, in:\n{block}", path.display());
            }
        }
    }
    assert!(found > 0, "docs/topology.md has a topology");
}

/// The pages of `docs`, without the one of mistakes.
fn documents() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let files = fs::read_dir(directory).expect("a directory of documents");
    let paths = files.map(|file| file.expect("a readable directory").path());
    let pages = paths.filter(|path| path.extension().is_some_and(|suffix| suffix == "md"));
    pages.filter(|path| !path.ends_with("mistakes.md")).collect()
}

fn blocks(text: &str, kind: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(info) = line.strip_prefix("```") {
            let block: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
            if info == kind {
                blocks.push(block.join("\n"));
            }
        }
    }
    blocks
}
