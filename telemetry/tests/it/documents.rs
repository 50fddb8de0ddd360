//! The dashboard and the document use only names of metrics that exist. The table of the document
//! is written by `UPDATE_METRICS=1 cargo test -p mycelium-bus-telemetry --test it documents`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fs};

use mycelium_telemetry::metrics::{Described, FamilyKind, described};

/// The name of a family in the document.
fn shown(family: &Described) -> String {
    match family.kind {
        FamilyKind::Counter => format!("{}_total", family.name),
        FamilyKind::Gauge | FamilyKind::Histogram => family.name.to_owned(),
    }
}

/// The names of a family's samples.
fn samples_of(family: &Described) -> Vec<String> {
    match family.kind {
        FamilyKind::Counter | FamilyKind::Gauge => vec![shown(family)],
        FamilyKind::Histogram => {
            ["_bucket", "_count", "_sum"].map(|end| format!("{}{end}", family.name)).to_vec()
        }
    }
}

fn samples() -> BTreeSet<String> {
    described().iter().flat_map(samples_of).collect()
}

/// The names of this project in a text.
fn used(text: &str) -> BTreeSet<String> {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c| !is_letter(c));
    words.filter(|word| word.starts_with("mycelium_")).map(str::to_owned).collect()
}

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

#[test]
fn each_metric_of_the_dashboard_exists() {
    let path = docs().join("dashboards/mycelium.json");
    let text = fs::read_to_string(path).unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut queries = Vec::new();
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let title = panel["title"].as_str().expect("a panel has a title");
        let targets = panel["targets"].as_array().expect(title);
        assert!(!targets.is_empty(), "{title}");
        queries.extend(targets.iter().map(|it| it["expr"].as_str().expect(title).to_owned()));
        assert!(panel["description"].as_str().is_some_and(|it| it.ends_with('.')), "{title}");
    }
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        queries.extend(variable["definition"].as_str().map(str::to_owned));
    }
    assert!(queries.len() > 15, "{} queries", queries.len());
    let known = samples();
    for query in &queries {
        let names = used(query);
        assert!(!names.is_empty(), "{query}");
        assert!(names.is_subset(&known), "{:?} in {query}", names.difference(&known));
    }
}

#[test]
fn the_table_of_the_document_is_that_of_the_program() {
    let path = docs().join("observability.md");
    let mut text = fs::read_to_string(&path).unwrap();
    let old = text.clone();
    let rows = described().into_iter().map(|family| {
        let labels: Vec<_> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        let (name, kind, labels) = (shown(&family), family.kind.name(), labels.join(", "));
        format!("| `{name}` | {kind} | {labels} | {} |\n", family.help.trim_end_matches('.'))
    });
    let head = "\n| metric | kind | labels | meaning |\n| --- | --- | --- | --- |\n";
    let table = format!("{head}{}\n", rows.collect::<String>());
    let (begin, end) = ("<!-- metrics -->\n", "<!-- end of metrics -->");
    let start = text.find(begin).expect(begin) + begin.len();
    let length = text[start..].find(end).expect(end);
    text.replace_range(start..start + length, &table);
    if text != old && env::var_os("UPDATE_METRICS").is_some() {
        fs::write(&path, &text).unwrap();
        return;
    }
    assert!(
        text == old,
        "docs/observability.md has another table: write it by \
         `UPDATE_METRICS=1 cargo test -p mycelium-bus-telemetry --test it documents`"
    );
    let mut used = used(&text);
    // The begin of all names.
    used.remove("mycelium_");
    let known: BTreeSet<_> = described().iter().map(shown).chain(samples()).collect();
    let unknown: Vec<_> = used.difference(&known).cloned().collect();
    assert_eq!(unknown, Vec::<String>::new());
}
