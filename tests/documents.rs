//! Topologies in the documents are valid, and README.md names packages that exist. Rust in them is
//! tested as the crate's doctests, the shell commands of README.md by the job `readme`.
#![cfg(feature = "topology")]

use std::fs;
use std::path::{Path, PathBuf};

use mycelium::Topology;

#[test]
fn topologies_in_the_documents_are_valid() {
    let mut found = 0;
    for path in documents() {
        let text = fs::read_to_string(&path).expect("a readable document");
        // The others are parts of a manifest.
        let off = [
            ("[tls]", cfg!(feature = "tls")),
            ("listen_metrics", cfg!(feature = "prometheus")),
            ("traces = ", cfg!(feature = "otlp")),
            ("metrics = ", cfg!(feature = "otlp")),
        ];
        let needs_more =
            |text: &String| off.iter().any(|(key, is_on)| text.contains(key) && !is_on);
        let topologies = blocks(&text, "toml").into_iter();
        let topologies = topologies.filter(|it| !it.contains("dependencies]") && !needs_more(it));
        for block in topologies {
            found += 1;
            // Files that include others are not in the documents.
            let block = block.replace("include = ", "# include = ");
            let address = |name: &str| name.ends_with("_ADDRESS").then_some("10.0.0.1");
            let user = move |name: &str| address(name).or((name == "USER").then_some("me"));
            let options = Topology::options().environment(user);
            if let Err(error) = options.parse(&path, &block) {
                panic!("{}: {error}, in:\n{block}", path.display());
            }
        }
    }
    assert!(found > 0, "docs/topology.md has a topology");
}

#[test]
fn c6_dependencies_of_the_readme_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("README.md")).expect("a README");
    let [manifest] = &*blocks(&text, "toml") else { panic!("README.md has one manifest") };
    let manifest: toml::Table = manifest.parse().expect("the manifest is TOML");
    let dependencies = manifest["dependencies"].as_table().expect("a table of dependencies");
    let mut found = 0;
    for (name, dependency) in dependencies {
        let Some(path) = dependency.get("path").and_then(toml::Value::as_str) else { continue };
        let directory = path.strip_prefix("mycelium").expect("a path in a clone of the repository");
        let manifest = root.join(directory.trim_start_matches('/')).join("Cargo.toml");
        let manifest = fs::read_to_string(&manifest)
            .unwrap_or_else(|error| panic!("{name}: {}: {error}", manifest.display()));
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{path} is not {name}");
        found += 1;
    }
    assert!(found > 0, "README.md names the packages to depend on");
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
