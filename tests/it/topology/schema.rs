//! The schema for editors, `docs/topology.schema.json`: it accepts the files that the parser
//! accepts, and the parser accepts the examples of its keys. `UPDATE_TOPOLOGY=1 cargo test --test
//! it topology::` writes the tables of `docs/topology.md` from it.

use std::path::Path;
use std::sync::LazyLock;
use std::{env, fs};

use jsonschema::Validator;
use mycelium::Topology;
use serde_json::{Map, Value};

use crate::support::files_below;
use crate::topology::without_code;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn schema() -> Value {
    let text = fs::read_to_string(root().join("docs/topology.schema.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

static VALIDATOR: LazyLock<Validator> = LazyLock::new(|| {
    assert!(jsonschema::meta::is_valid(&schema()), "it is a schema of the draft that it names");
    jsonschema::draft202012::new(&schema()).unwrap()
});

/// Returns whether the schema accepts a file.
pub(crate) fn accepts(text: &str) -> bool {
    toml::from_str(text).is_ok_and(|file: Value| VALIDATOR.is_valid(&file))
}

/// Checks that the schema accepts a file.
pub(crate) fn check(text: &str, name: &Path) {
    let file: Value = toml::from_str(text).unwrap();
    if let Err(error) = VALIDATOR.validate(&file) {
        panic!("{}: {error} at {}, in:\n{text}", name.display(), error.instance_path());
    }
}

#[test]
fn the_schema_accepts_the_files_of_the_examples() {
    let mut found = 0;
    let files = files_below(&root().join("examples"), "toml").into_iter();
    let other = ["Cargo.toml", "deny.toml"];
    for path in files.filter(|path| !other.iter().any(|name| path.ends_with(name))) {
        let text = fs::read_to_string(&path).unwrap();
        let has = |section, is_known| is_known || !text.contains(section);
        let collects = cfg!(feature = "prometheus") && cfg!(feature = "otlp");
        if has("[tls]", cfg!(feature = "tls")) && has("[telemetry]", collects) {
            Topology::load(&path).unwrap();
        }
        check(&text, &path);
        let (line, _) = text.split_once('\n').unwrap();
        let named = line.strip_prefix("#:schema ").expect("its first line names the schema");
        let named = path.parent().unwrap().join(named).canonicalize().unwrap();
        assert_eq!(named, root().canonicalize().unwrap().join("docs/topology.schema.json"));
        found += 1;
    }
    assert!(found >= 4, "{found} files");
}

/// Returns the keys of each section, with their schemas.
fn sections(schema: &Value) -> Vec<(&str, &Map<String, Value>)> {
    let sections = schema["properties"].as_object().unwrap().iter();
    let named = sections.filter_map(|(name, section)| {
        // A section with named entries, or a single one.
        let by_name = section["additionalProperties"]["$ref"].as_str();
        let reference = by_name.or(section["$ref"].as_str())?;
        let keys =
            schema["$defs"][reference.strip_prefix("#/$defs/")?]["properties"].as_object()?;
        Some((name.as_str(), keys))
    });
    named.collect()
}

#[test]
fn each_key_has_a_meaning_and_examples_that_the_parser_accepts() {
    let schema = schema();
    for (section, keys) in sections(&schema) {
        for (key, of_key) in keys {
            let meaning = of_key["description"].as_str().unwrap_or_default();
            assert!(meaning.ends_with('.'), "{section}.{key} has a description");
            let examples = of_key["examples"].as_array().expect("examples");
            assert!(!examples.is_empty(), "{section}.{key} has no examples");
            // Each value may have a variable in it.
            let mut value = examples[0].clone();
            put_in_variables(&mut value);
            let text = toml::to_string(&with_key(section, key, &value)).unwrap();
            assert!(accepts(&text), "{text}");
            for example in examples.iter().chain(of_key.get("default")) {
                let text = toml::to_string(&with_key(section, key, example)).unwrap();
                assert!(accepts(&text), "the schema refuses its example:\n{text}");
                if !is_compiled(section, key) {
                    continue;
                }
                if let Err(error) = Topology::parse("t.toml", &text) {
                    panic!("{error}, in:\n{text}");
                }
            }
        }
    }
}

/// Returns whether this build has the feature that a key needs.
fn is_compiled(section: &str, key: &str) -> bool {
    let (endpoint, facade) = (cfg!(feature = "prometheus"), cfg!(feature = "facade"));
    let otlp = cfg!(feature = "otlp");
    match (section, key) {
        ("tls", _) => cfg!(feature = "tls"),
        ("node", "listen_metrics") | ("telemetry", "expose") => endpoint,
        ("telemetry", "interval") => facade || otlp,
        ("telemetry", "sample") => true,
        ("topic", "latency_sample") => cfg!(feature = "metrics"),
        ("telemetry", "traces" | "metrics" | "headers" | "namespace" | "timeout" | "flush") => otlp,
        ("telemetry", _) => endpoint || facade || otlp,
        _ => true,
    }
}

/// Returns a file with this key, and the keys that it requires.
fn with_key(section: &str, key: &str, value: &Value) -> Value {
    let name = match section {
        "link" => "default",
        "subscription" => "A.b",
        "engine" => "zenoh",
        _ => "a",
    };
    if section == "recorder" {
        let node = serde_json::json!({ "services": ["Recorder"] });
        return serde_json::json!({ section: { key: value }, "node": { name: node } });
    }
    if section == "tls" {
        let files = ["certificate", "key", "authorities"].map(|key| (key.to_owned(), "a".into()));
        let mut files: Map<String, Value> = files.into_iter().collect();
        files.insert(key.to_owned(), value.clone());
        return serde_json::json!({ section: files });
    }
    if matches!(section, "bundle" | "telemetry") {
        return serde_json::json!({ section: { key: value } });
    }
    let mut file = serde_json::json!({ section: { name: { key: value } } });
    let needed: &[[&str; 4]] = match (section, key) {
        ("node", "host") => &[["host", "desk", "address", "10.0.0.1"]],
        ("node", "port") => {
            &[["host", "desk", "address", "10.0.0.1"], ["node", "a", "host", "desk"]]
        }
        ("node", "listen") => &[["node", "a", "address", "10.0.0.1:7400"]],
        _ => &[],
    };
    let lists: &[&str] = match (section, key) {
        ("node", "actors_for") => &["a", "desk"],
        ("node", "description") => &["a"],
        _ => &[],
    };
    for name in lists {
        file["node"][name]["services"] = Value::Array(Vec::new());
    }
    for [section, name, key, value] in needed {
        file[section][name][key] = (*value).into();
    }
    if section == "legacy" {
        add_rest_of_listener(&mut file, key);
    }
    file
}

/// Adds the keys that each listener needs beside this one.
fn add_rest_of_listener(file: &mut Value, key: &str) {
    let listener = &mut file["legacy"]["a"];
    let address = match key {
        "listen" | "socket" => None,
        "users" | "group" | "mode" => Some(("socket", "/run/me/floor.sock".into())),
        _ => Some(("listen", "10.0.0.1:7401".into())),
    };
    let types = serde_json::json!({ "11": "swaps" });
    let all = [address, Some(("wire", "plain".into())), Some(("types", types))];
    for (needed, value) in all.into_iter().flatten().filter(|(needed, _)| *needed != key) {
        listener[needed] = value;
    }
    if key == "node" {
        file["node"] = serde_json::json!({ "main": {} });
    }
}

#[test]
fn the_names_of_a_key_are_those_that_the_parser_lists() {
    let schema = schema();
    let mut found = 0;
    for (section, keys) in sections(&schema) {
        for (key, of_key) in keys {
            let Some(names) = of_key["anyOf"][0]["enum"].as_array() else { continue };
            let text = toml::to_string(&with_key(section, key, &"?".into())).unwrap();
            let error = without_code(Topology::parse("t.toml", &text).unwrap_err());
            let (_, listed) = error.rsplit_once("expected one of: ").expect(&error);
            let mut listed: Vec<&str> = listed.split(", ").collect();
            let mut names: Vec<&str> = names.iter().map(|name| name.as_str().unwrap()).collect();
            listed.sort_unstable();
            names.sort_unstable();
            assert_eq!(names, listed, "{section}.{key}");
            found += 1;
        }
    }
    assert!(found >= 5, "{found} keys with names");
}

fn put_in_variables(value: &mut Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(put_in_variables),
        Value::Object(table) => table.values_mut().for_each(put_in_variables),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            *value = "${NAME:-default}".into();
        }
    }
}

#[test]
fn the_tables_of_the_document_are_those_of_the_schema() {
    let path = root().join("docs/topology.md");
    let (schema, mut text) = (schema(), fs::read_to_string(&path).unwrap());
    let old = text.clone();
    for (section, keys) in sections(&schema) {
        let (begin, end) = (format!("<!-- keys of {section} -->\n"), "<!-- end of keys -->");
        let start = text.find(&begin).expect(&begin) + begin.len();
        let length = text[start..].find(end).expect(end);
        text.replace_range(start..start + length, &table(&schema, keys));
    }
    if text != old && env::var_os("UPDATE_TOPOLOGY").is_some() {
        fs::write(&path, &text).unwrap();
    } else {
        assert!(
            text == old,
            "docs/topology.md has other tables: write them by \
             `UPDATE_TOPOLOGY=1 cargo test --test it topology::`"
        );
    }
}

fn table(schema: &Value, keys: &Map<String, Value>) -> String {
    let rows = keys.iter().map(|(key, of_key)| {
        let meaning = of_key["description"].as_str().unwrap().trim_end_matches('.');
        let absent = match (of_key.get("default"), of_key["x-absent"].as_str()) {
            (Some(default), _) => format!("`{default}`"),
            (None, Some(absent)) => absent.to_owned(),
            (None, None) => "–".to_owned(),
        };
        let kind = kind(schema, of_key);
        format!("| `{key}` | {kind} | {absent} | {meaning} |\n")
    });
    let head = "\n| key | value | default | meaning |\n| --- | --- | --- | --- |\n";
    format!("{head}{}\n", rows.collect::<String>())
}

/// Describes in words which values a schema accepts.
fn kind(root: &Value, schema: &Value) -> String {
    if let Some(title) = schema["title"].as_str() {
        return title.to_owned();
    }
    if let Some(name) = schema["$ref"].as_str() {
        return kind(root, &root["$defs"][name.strip_prefix("#/$defs/").unwrap()]);
    }
    if let Some(names) = schema["anyOf"][0]["enum"].as_array() {
        let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
        return names.join(", ");
    }
    match schema["type"].as_str() {
        Some("object") => "table".to_owned(),
        other => panic!("no words for the type {other:?}"),
    }
}
