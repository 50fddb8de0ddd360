//! Topologies in the documents are valid, also by the schema for editors, and manifests name
//! packages that exist. Rust code in the documents is tested by the crate's doctests, the shell
//! commands of README.md by the job `readme`.
#![cfg(all(feature = "metrics", feature = "signals", feature = "topology"))]

use std::fs;
use std::path::{Path, PathBuf};

use mycelium::Topology;

use crate::topology::schema;

#[test]
fn topologies_in_the_documents_are_valid() {
    let mut found = 0;
    for path in documents() {
        let text = fs::read_to_string(&path).expect("a readable document");
        let off = [
            ("[tls]", cfg!(feature = "tls")),
            ("listen_metrics", cfg!(feature = "prometheus")),
            ("traces = ", cfg!(feature = "otlp")),
            ("metrics = ", cfg!(feature = "otlp")),
        ];
        let needs_more = |text: &str| off.iter().any(|(key, is_on)| text.contains(key) && !is_on);
        // The skipped blocks are parts of a manifest.
        for block in blocks(&text, "toml").iter().filter(|it| !it.contains("dependencies]")) {
            schema::check(block, &path);
            found += 1;
            if needs_more(block) {
                continue;
            }
            // The documents do not have the included files.
            let block = block.replace("include = ", "# include = ");
            let address = |name: &str| name.ends_with("_ADDRESS").then_some("10.0.0.1");
            let user = move |name: &str| address(name).or((name == "USER").then_some("me"));
            let options = Topology::options().environment(user);
            if let Err(error) = options.parse(&path, &block) {
                panic!("{}: {error}, in:\n{block}", path.display());
            }
        }
    }
    assert!(found > 10, "{found} topologies");
}

/// Dependencies are paths: in the registry, `mycelium` is a package of another project.
#[test]
fn c6_dependencies_in_the_documents_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let others = ["README.md", "src/lib.rs", "src/testing/mod.rs"].map(|file| root.join(file));
    let mut found = 0;
    for page in documents().into_iter().chain(others) {
        let text = fs::read_to_string(&page).expect("a readable document").replace("//! ", "");
        let manifests = blocks(&text.replace("//!\n", "\n"), "toml").into_iter();
        for manifest in manifests.filter(|it| it.contains("dependencies]")) {
            let manifest: toml::Table = manifest.parse().expect("a manifest is TOML");
            let sections = manifest.iter().filter(|(section, _)| section.ends_with("dependencies"));
            let dependencies = sections.flat_map(|(_, section)| section.as_table().expect("one"));
            for (name, of) in dependencies.filter(|(name, _)| name.starts_with("mycelium")) {
                let page = page.display();
                let path = of.get("path").and_then(toml::Value::as_str);
                let path = path.unwrap_or_else(|| panic!("{page}: {name} is not a path: {of}"));
                let directory = path.strip_prefix("mycelium").expect("a path in a clone");
                let manifest = root.join(directory.trim_start_matches('/')).join("Cargo.toml");
                let manifest = fs::read_to_string(&manifest)
                    .unwrap_or_else(|error| panic!("{page}: {}: {error}", manifest.display()));
                let says_it = manifest.contains(&format!("name = \"{name}\""));
                assert!(says_it, "{page}: {path} is not {name}");
                found += 1;
            }
        }
    }
    assert!(found > 2, "the documents name the packages to depend on");
}

/// Returns the pages of `docs` except `mistakes.md`.
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

/// The root of the crate has the names that a first program needs; other names are in modules.
#[test]
fn the_root_has_at_most_45_names() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs");
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with("//"));
    let text: String = lines.flat_map(|line| [line, "\n"]).collect();
    let mut names: Vec<&str> = Vec::new();
    for (at, _) in text.match_indices("\npub ") {
        let item = &text[at + 5..];
        let item = &item[..item.find([';', '{']).unwrap_or_default() + 1];
        if let Some(module) = item.strip_prefix("mod ") {
            names.push(module.trim_end_matches([' ', '{', ';']));
            continue;
        }
        let end = text[at..].find(';').unwrap() + at;
        let used = text[at..end].rsplit("::").next().unwrap();
        names.extend(used.trim_matches(['{', '}', '\n']).split(',').map(str::trim));
    }
    names.retain(|name| !name.is_empty() && *name != "__private");
    assert!(names.contains(&"Context") && names.contains(&"supervision"), "{names:?}");
    assert!(names.len() <= 45, "{} names: {names:?}", names.len());
}
