//! What `check` prints of bandit's topologies, and its pictures.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fs};

use roxmltree::Document;
use serde_json::Value;

use super::{check, directory, program, success, write};

pub(crate) const TOPOLOGIES: [&str; 4] = ["bandit", "bundled", "distributed", "observed"];

/// The sizes of rings are those of 64-bit hosts with cache lines of 64 bytes.
#[cfg(target_arch = "x86_64")]
#[test]
fn bandits_topologies_are_those_of_the_golden_files() {
    let directory = directory();
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    for name in TOPOLOGIES {
        let file = format!("{name}.toml");
        for (form, ending) in [("text", "txt"), ("json", "json"), ("svg", "svg")] {
            let arguments = [&file, "-o", form, "--", "./bandit", "member", "{node}"];
            let found = success(check(directory.path(), &arguments));
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
        "{} differs; `UPDATE_CHECK=1 cargo test -p mycelium-cli --test it check` writes it\n{found}",
        path.display()
    );
}

/// The texts of all elements `title` of a picture.
fn titles(svg: &str) -> BTreeSet<String> {
    let document = Document::parse(svg).unwrap();
    assert_eq!(document.root_element().tag_name().name(), "svg");
    let titles = document.descendants().filter(|node| node.has_tag_name("title"));
    titles.filter_map(|node| node.text().map(str::to_owned)).collect()
}

#[test]
fn a_picture_names_all_nodes_services_and_links() {
    let directory = directory();
    for name in TOPOLOGIES {
        let file = format!("{name}.toml");
        let of = |form| {
            success(check(directory.path(), &[&file, "-o", form, "--", "./bandit", "{node}"]))
        };
        let titles = titles(&of("svg"));
        let json: Value = serde_json::from_str(&of("json")).unwrap();
        assert_eq!(json["mycelium_overview"], 1);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let mut found = 0;
        for node in json["nodes"].as_array().unwrap() {
            assert!(titles.contains(&format!("node {}", text(&node["name"]))), "{titles:?}");
            for service in node["services"].as_array().unwrap() {
                let title = format!("service {}", text(&service["name"]));
                assert!(titles.contains(&title), "{title}: {titles:?}");
                found += 1;
            }
        }
        assert_eq!(found, 4);
        for link in json["links"].as_array().unwrap() {
            let (one, other) = (text(&link["nodes"][0]), text(&link["nodes"][1]));
            let is_it = |title: &&String| {
                title.starts_with(&format!("link {one} - {other}:"))
                    || title.starts_with(&format!("link {other} - {one}:"))
            };
            assert_eq!(titles.iter().filter(is_it).count(), 1, "{titles:?}");
        }
    }
}

/// Names that mean something to XML, and long ones.
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
    let of =
        |form| success(check(directory.path(), &["hostile.toml", "-o", form, "--", "./hostile"]));
    let titles = titles(&of("svg"));
    assert!(titles.contains("service A<b>&'c\"]]>\u{202e}"), "{titles:?}");
    assert!(titles.contains(&format!("service {long}")), "{titles:?}");
    assert!(of("text").contains(r#"A<b>&'c"]]>\u{202e}"#));
}
