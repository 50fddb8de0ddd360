//! Each named ordering of the core has a twin: a model that must fail without it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The strings behind each `mark` in the sources below a directory.
fn strings_after(directory: &Path, marks: &[&str]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            found.append(&mut strings_after(&entry.path(), marks));
            continue;
        }
        let text = fs::read_to_string(entry.path()).unwrap();
        for piece in marks.iter().flat_map(|mark| text.split(mark).skip(1)) {
            let string = piece.trim_start().strip_prefix('"').and_then(|it| it.split_once('"'));
            found.extend(string.map(|(string, _)| string.to_owned()));
        }
    }
    found
}

#[test]
fn each_ordering_has_a_twin() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sites = strings_after(&root.join("../core/src"), &["order!(", "barrier!(", "needed!("]);
    // Leaves out the placeholder of a comment, which has no dot.
    sites.retain(|site| site.contains('.'));
    let twins = strings_after(&root.join("tests"), &["weaken(", ": "]);
    let missing: Vec<_> = sites.difference(&twins).collect();
    assert!(sites.len() > 50, "{} sites", sites.len());
    assert!(missing.is_empty(), "orderings without a twin: {missing:?}");
}
