//! The keys of `docs/topology.schema.json` are those that the parser knows.
//!
//! A deserializer without a file notes what each type expects: a struct has named keys, a map any,
//! everything else is a value. So a key that is added to a section is found wherever it is.

use std::cell::RefCell;
use std::collections::BTreeSet;

use mycelium_bundle::Restart;
use serde::de::value::{Error, MapDeserializer};
use serde::de::{
    self, Deserialize, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::Value;

use super::*;
use crate::supervision::{Lifetime, Strategy};

/// A key of sections that have any keys.
const ANY: &str = "*";

/// The keys of the parser, each with the keys on the way to it.
fn keys_of_the_parser() -> BTreeSet<String> {
    // It is taken out before the sections are read.
    let mut keys = BTreeSet::from(["include".to_owned()]);
    let mut new = vec![Vec::new()];
    while let Some(way) = new.pop() {
        let found = RefCell::default();
        let _ = Sections::deserialize(Probe { way: &way, found: &found });
        for key in found.into_inner() {
            let way: Vec<String> = way.iter().cloned().chain([key]).collect();
            keys.insert(way.join("."));
            new.push(way);
        }
    }
    keys
}

/// Goes the way to a key, and notes the keys behind it.
#[derive(Clone, Copy)]
struct Probe<'a> {
    way: &'a [String],
    found: &'a RefCell<Vec<String>>,
}

/// The error of a probe that has found its keys, or none.
fn stopped() -> Error {
    de::Error::custom("stopped")
}

impl<'de> Probe<'de> {
    /// One of these keys is the next one on the way.
    fn keys<V: Visitor<'de>>(self, keys: &[&str], visitor: V) -> Result<V::Value, Error> {
        let Some((next, way)) = self.way.split_first() else {
            self.found.borrow_mut().extend(keys.iter().map(|&key| key.to_owned()));
            return Err(stopped());
        };
        visitor.visit_map(OneEntry { key: next, probe: Probe { way, ..self } })
    }
}

impl<'de> Deserializer<'de> for Probe<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(stopped())
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.keys(&[ANY], visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match value_of_spanned(name, fields) {
            Some(value) => visitor.visit_map(OneEntry { key: value, probe: self }),
            None => self.keys(fields, visitor),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct enum identifier ignored_any
    }
}

/// The field of `toml::Spanned` that has its value.
fn value_of_spanned(name: &str, fields: &[&'static str]) -> Option<&'static str> {
    let value = fields.iter().find(|field| field.ends_with("value"));
    value.filter(|_| name.contains("spanned")).copied()
}

/// A table with one key.
struct OneEntry<'a> {
    key: &'a str,
    probe: Probe<'a>,
}

impl<'de> MapAccess<'de> for OneEntry<'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        seed.deserialize(Key(self.key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(self.probe)
    }
}

/// A key, which may have a span.
struct Key<'a>(&'a str);

impl<'de> Deserializer<'de> for Key<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_borrowed_str(self.0)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let value = value_of_spanned(name, fields).ok_or_else(stopped)?;
        let parts = fields.iter().map(|field| {
            let part = if *field == value { Part::Text(self.0) } else { Part::Zero };
            (Part::Text(field), part)
        });
        visitor.visit_map(MapDeserializer::new(parts))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct enum identifier ignored_any option newtype_struct map
    }
}

/// A part of a key with a span.
#[derive(Clone, Copy)]
enum Part<'a> {
    Zero,
    Text(&'a str),
}

impl<'de> Deserializer<'de> for Part<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Part::Zero => visitor.visit_u64(0),
            Part::Text(text) => visitor.visit_borrowed_str(text),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct enum identifier ignored_any option newtype_struct map struct
    }
}

impl<'de> IntoDeserializer<'de, Error> for Part<'de> {
    type Deserializer = Part<'de>;

    fn into_deserializer(self) -> Part<'de> {
        self
    }
}

fn schema() -> Value {
    serde_json::from_str(include_str!("../../../docs/topology.schema.json")).expect("a JSON text")
}

/// The keys of the schema, each with the keys on the way to it.
fn keys_of_the_schema(schema: &Value) -> BTreeSet<String> {
    fn add(root: &Value, schema: &Value, way: &str, keys: &mut BTreeSet<String>) {
        if let Some(name) = schema["$ref"].as_str().and_then(|it| it.strip_prefix("#/$defs/")) {
            add(root, &root["$defs"][name], way, keys);
        }
        let named = schema["properties"].as_object().into_iter().flatten();
        let named = named.map(|(key, schema)| (key.as_str(), schema));
        let any = Some((ANY, &schema["additionalProperties"])).filter(|(_, it)| it.is_object());
        for (key, schema) in named.chain(any) {
            let way = if way.is_empty() { key.to_owned() } else { format!("{way}.{key}") };
            add(root, schema, &way, keys);
            keys.insert(way);
        }
    }
    let mut keys = BTreeSet::new();
    add(schema, schema, "", &mut keys);
    keys
}

#[test]
fn the_schema_has_the_keys_of_the_parser() {
    let (parser, schema) = (keys_of_the_parser(), keys_of_the_schema(&schema()));
    assert!(
        parser.contains("node.*.services") && parser.contains("service.*.ports.*"),
        "{parser:?}"
    );
    let missing: Vec<_> = parser.difference(&schema).collect();
    assert!(missing.is_empty(), "add to docs/topology.schema.json: {missing:?}");
    let unknown: Vec<_> = schema.difference(&parser).collect();
    assert!(unknown.is_empty(), "the parser does not know: {unknown:?}");
}

/// A file with the defaults of a section of the schema.
fn defaults(section: &str) -> String {
    let schema = schema();
    let keys = schema["$defs"][section]["properties"].as_object().expect("keys");
    let defaults = keys.iter().filter_map(|(key, schema)| {
        // Texts, numbers and truth values are written in TOML as in JSON.
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
