//! The output of `check` for bandit's topologies, and its pictures.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fs};

use roxmltree::Document;

use super::{check, directory, program, write};

pub(crate) const TOPOLOGIES: [&str; 4] = ["bandit", "bundled", "distributed", "observed"];

/// The sizes of rings are for 64-bit hosts with cache lines of 64 bytes.
#[cfg(target_arch = "x86_64")]
#[test]
fn bandits_topologies_are_those_of_the_golden_files() {
    let directory = directory();
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    for name in TOPOLOGIES {
        let file = format!("{name}.toml");
        for (form, ending) in [("text", "txt"), ("json", "json"), ("svg", "svg")] {
            let arguments = [&file, "-o", form, "--", "./bandit", "member", "{node}"];
            let found = check(directory.path(), &arguments).expect_success();
            compare(&root.join(format!("tests/it/check/{name}.{ending}")), &found);
            if (name, form) == ("distributed", "svg") {
                compare(&root.join("../docs/pictures/topology.svg"), &found);
            }
        }
    }
}

fn compare(path: &Path, found: &str) {
    if env::var_os("UPDATE_CHECK").is_some() {
        fs::write(path, found).unwrap();
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    assert!(
        found == expected,
        "{} differs; `UPDATE_CHECK=1 cargo test -p mycelium-bus-cli --test it check` writes \
         it\n{found}",
        path.display()
    );
}

/// Returns the texts of all `title` elements of a picture.
fn titles(svg: &str) -> BTreeSet<String> {
    let document = Document::parse(svg).unwrap();
    assert_eq!(document.root_element().tag_name().name(), "svg");
    let titles = document.descendants().filter(|node| node.has_tag_name("title"));
    titles.filter_map(|node| node.text().map(str::to_owned)).collect()
}

/// Names with characters that have a meaning in XML, and long names.
#[test]
fn names_are_escaped_in_pictures_and_texts() {
    let directory = directory();
    let long = format!("Long{}", "er".repeat(60));
    let description = fs::read_to_string(directory.path().join("description.json")).unwrap();
    let description = description.replace("\"PolygonAdapter\"", r#""A<b>&'c\"]]>\u202e""#);
    let description = description.replace("\"SignalWriter\"", &format!("\"{long}\""));
    write(directory.path(), "hostile.json", &description);
    program(directory.path(), "hostile", "cat hostile.json");
    write(directory.path(), "hostile.toml", "[node.\"main-1.x\"]\n");
    let of = |form| {
        check(directory.path(), &["hostile.toml", "-o", form, "--", "./hostile"]).expect_success()
    };
    let titles = titles(&of("svg"));
    assert!(titles.contains("service A<b>&'c\"]]>\u{202e}"), "{titles:?}");
    assert!(titles.contains(&format!("service {long}")), "{titles:?}");
    assert!(of("text").contains(r#"A<b>&'c"]]>\u{202e}"#));
}
