//! Tests that `docs/topology.schema.json` has the same keys as the parser, and the same defaults as
//! the program.

use std::collections::BTreeSet;

use mycelium_bundle::Restart;
use serde_json::Value;

use super::*;
use crate::supervise::{Lifetime, Strategy};

fn schema() -> Value {
    serde_json::from_str(include_str!("../../../docs/topology.schema.json")).expect("a JSON text")
}

/// Returns the keys that the parser lists as known, in the error of an unknown key in `text`.
fn keys_beside_an_unknown_one(text: &str) -> BTreeSet<String> {
    let error = toml::from_str::<Sections>(text).expect_err("no section has this key");
    let (_, known) = error.message().split_once("expected ").expect("the known keys");
    known.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn keys_of(schema: &Value) -> BTreeSet<String> {
    schema["properties"].as_object().expect("keys").keys().cloned().collect()
}

#[test]
fn the_schema_has_the_keys_of_the_parser() {
    let schema = schema();
    let mut sections = keys_beside_an_unknown_one("no_such_key = 1");
    // `include` is removed before the sections are parsed.
    sections.insert("include".to_owned());
    assert_eq!(keys_of(&schema), sections);
    sections.remove("include");
    for section in sections {
        let named = &schema["properties"][&section]["additionalProperties"]["$ref"];
        let own = &schema["properties"][&section]["$ref"];
        let (header, definition) = match named.as_str() {
            // An engine has a known name.
            Some(definition) if section == "engine" => ("[engine.zenoh]".to_owned(), definition),
            Some(definition) => (format!("[{section}.x]"), definition),
            None => (format!("[{section}]"), own.as_str().expect("a definition")),
        };
        let definition = schema.pointer(&definition[1..]).expect("a definition");
        let parser = keys_beside_an_unknown_one(&format!("{header}\nno_such_key = 1"));
        assert_eq!(keys_of(definition), parser, "{section}");
    }
}

/// Returns the text of a file with the defaults of a section of the schema.
fn defaults(section: &str) -> String {
    let schema = schema();
    let keys = schema["$defs"][section]["properties"].as_object().expect("keys");
    let defaults = keys.iter().filter_map(|(key, schema)| {
        // Texts, numbers and booleans have the same form in TOML and JSON.
        Some(format!("{key} = {}\n", schema.get("default")?))
    });
    defaults.collect()
}

#[test]
fn the_defaults_of_the_schema_are_those_of_the_program() {
    let text = ["node", "service", "supervisor", "topic"]
        .map(|it| format!("[{it}.x]\n{}", defaults(it)))
        .concat();
    let text = format!("{text}[link.default]\n{}", defaults("link"));
    let set = Topology::parse("t.toml", &text).unwrap();
    let unset = Topology::parse("t.toml", "").unwrap();
    let coded = Execution::default;
    assert_eq!(set.shutdown("x"), unset.shutdown("x"));
    assert_eq!(set.memory("x"), unset.memory("x"));
    assert_eq!(set.huge_pages("x"), unset.huge_pages("x"));
    let (service, supervisor) = (set.supervised("x"), &set.supervisors()[0]);
    assert_eq!(service.restart.with_limit(10), Restart::default());
    assert_eq!(supervisor.restart.with_limit(10), Restart::default());
    assert_eq!(service.lifetime.unwrap_or_default(), Lifetime::default());
    assert_eq!(supervisor.strategy.unwrap_or_default(), Strategy::default());
    assert_eq!(set.execution("x", coded()).unwrap(), unset.execution("x", coded()).unwrap());
    assert_eq!(set.capacity("x"), unset.capacity("x"));
    assert_eq!(set.threshold("x").unwrap_or_default(), Threshold::default());
    assert_eq!(set.on_stall("x").unwrap_or_default(), OnStall::default());
    assert_eq!(set.redelivery("x"), unset.redelivery("x"));
    assert_eq!(set.default_link(), unset.default_link());
    assert_eq!(set.trusts_network("x", "y"), unset.trusts_network("x", "y"));
}
